"""Acting on the fake CLOB: orders and cancels, alone or in batches, and the heartbeat that keeps them."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from aiohttp import web

from services.simulator import wire
from services.simulator.orders import Answer
from services.simulator.orders_intake import Caller
from services.simulator.rate_limits import Kind
from services.simulator.restricted_modes import refusal, restarting
from services.simulator.venue import Venue, answer, error
from services.simulator.venue_account_http import account_routes, concerns
from services.simulator.venue_guard import Private, guard
from services.simulator.venue_keys_http import key_routes

BATCH_MAX: Final = 15
CANCELS_MAX: Final = 1000
ANSWER_WITHIN_S: Final = 30.0


def private_routes(venue: Venue) -> list[web.RouteDef]:
    """Return the routes that need a login signature or an API key."""
    private = guard(venue)
    return [
        *key_routes(venue),
        *account_routes(venue),
        web.post("/order", private(_metered(venue, "orders", _post_order(venue)))),
        web.post("/orders", private(_metered(venue, "orders", _post_orders(venue)))),
        web.delete("/order", private(_metered(venue, "cancels", _cancel_order(venue)))),
        web.delete("/orders", private(_metered(venue, "cancels", _cancel_orders(venue)))),
        web.delete("/cancel-all", private(_metered(venue, "cancels", _cancel_all(venue)))),
        web.delete("/cancel-market-orders", private(_metered(venue, "cancels", _cancel_market(venue)))),
        web.post("/v1/heartbeats", private(_heartbeat(venue))),
        web.post("/heartbeats", private(_older_heartbeat(venue))),
    ]


def _metered(venue: Venue, kind: Kind, route: Private) -> Private:
    """Return a route that takes from the signer's bucket and says so; a batch costs as many as it holds."""

    async def metered(request: web.Request, caller: Caller, payload: Any) -> web.Response:
        cost = len(payload) if isinstance(payload, list) else 1
        if request.path == "/cancel-all":
            cost += sum(1 for _order in venue.exchange.live_orders(caller.api_key))
        spent = venue.limits.spend(caller.address, kind, cost, venue.now_ms())
        answered = error(429, "Too Many Requests") if spent.refused else await route(request, caller, payload)
        for name, value in spent.headers.items():
            answered.headers.setdefault(name, value)
        return answered

    return metered


async def _place(venue: Venue, caller: Caller, payload: Any) -> Answer:
    """Post one order and wait for its answer, over the taker's hold if it has one."""
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def done(found: Answer) -> None:
        if not future.done():  # whoever waited may have given up
            future.set_result(found)

    venue.exchange.place(payload, caller, venue.now_ms(), done)
    async with asyncio.timeout(ANSWER_WITHIN_S):
        return await future


def _post_order(venue: Venue) -> Private:
    async def route(_request: web.Request, caller: Caller, payload: Any) -> web.Response:
        post_only = isinstance(payload, dict) and payload.get("postOnly") is True
        refused = refusal(venue, post_only=post_only)
        if refused is not None:
            return refused
        found = await _place(venue, caller, payload)
        return answer(found.body, found.http)

    return route


def _post_orders(venue: Venue) -> Private:
    async def route(_request: web.Request, caller: Caller, payload: Any) -> web.Response:
        if not isinstance(payload, list):
            return error(400, "Invalid order payload")
        if len(payload) > BATCH_MAX:
            return error(400, f"Too many orders in payload: {len(payload)}, max allowed: {BATCH_MAX}")
        refused = refusal(venue, post_only=all(isinstance(p, dict) and p.get("postOnly") for p in payload))
        if refused is not None:
            return refused
        async with asyncio.TaskGroup() as group:
            legs = [group.create_task(_place(venue, caller, leg)) for leg in payload]
        return answer([_leg(leg.result()) for leg in legs])

    return route


def _leg(found: Answer) -> wire.Json:
    """Return a batch leg: a refused one is a success without an id, as seen in the wild."""
    if found.http == 200:  # noqa: PLR2004 - HTTP
        return found.body
    return {
        "errorMsg": found.body["error"],
        "orderID": "",
        "takingAmount": "",
        "makingAmount": "",
        "status": "",
        "success": True,
    }


def _cancel(venue: Venue, caller: Caller, order_ids: Iterable[str]) -> web.Response:
    if venue.exchange.mode == "restarting":
        return restarting()
    canceled: list[str] = []
    kept: dict[str, str] = {}
    for order_id in order_ids:
        reason = venue.exchange.cancel(order_id, caller.api_key)
        if reason is None:
            canceled.append(order_id)
        else:
            kept[order_id] = reason
    return answer({"canceled": canceled, "not_canceled": kept})


def _cancel_order(venue: Venue) -> Private:
    async def route(_request: web.Request, caller: Caller, payload: Any) -> web.Response:
        if not isinstance(payload, dict) or not isinstance(payload.get("orderID"), str):
            return error(400, "Invalid order payload")
        return _cancel(venue, caller, [payload["orderID"]])

    return route


def _cancel_orders(venue: Venue) -> Private:
    async def route(_request: web.Request, caller: Caller, payload: Any) -> web.Response:
        if not isinstance(payload, list) or not 0 < len(payload) <= CANCELS_MAX:
            return error(400, "Invalid order payload")
        return _cancel(venue, caller, [str(order_id) for order_id in payload])

    return route


def _cancel_all(venue: Venue) -> Private:
    async def route(_request: web.Request, caller: Caller, _payload: Any) -> web.Response:
        live = [order.order_id for order in venue.exchange.live_orders(caller.api_key)]
        return _cancel(venue, caller, live)

    return route


def _cancel_market(venue: Venue) -> Private:
    async def route(_request: web.Request, caller: Caller, payload: Any) -> web.Response:
        if not isinstance(payload, dict) or not (payload.get("market") or payload.get("asset_id")):
            return error(400, "Invalid order payload")
        wanted = {"market": payload.get("market"), "asset_id": payload.get("asset_id")}
        live = venue.exchange.live_orders(caller.api_key)
        return _cancel(venue, caller, [order.order_id for order in live if concerns(order, wanted)])

    return route


def _heartbeat(venue: Venue) -> Private:
    async def route(_request: web.Request, caller: Caller, payload: Any) -> web.Response:
        if venue.exchange.mode == "restarting":
            return restarting()
        said = payload.get("heartbeat_id", "") if isinstance(payload, dict) else ""
        accepted, expected = venue.exchange.heartbeats.beat(caller.api_key, str(said), venue.now_ms())
        if not accepted:
            return answer({"error_msg": "Invalid Heartbeat ID", "heartbeat_id": expected}, 400)
        return answer({"heartbeat_id": expected})

    return route


def _older_heartbeat(venue: Venue) -> Private:
    async def route(_request: web.Request, caller: Caller, _payload: Any) -> web.Response:
        if venue.exchange.mode == "restarting":
            return restarting()
        venue.exchange.heartbeats.beat_anonymously(caller.api_key, venue.now_ms())
        return answer({"status": "ok"})

    return route
