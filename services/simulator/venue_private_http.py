"""The private side of the fake CLOB's REST: keys, orders, cancels, own orders and trades, balances, heartbeats."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

from aiohttp import web

from services.simulator import wire
from services.simulator.accounts import COLLATERAL, Wallet
from services.simulator.orders import Answer, Order, Trade
from services.simulator.orders_intake import Caller
from services.simulator.restricted_modes import refusal, restarting
from services.simulator.signatures import EXCHANGE, EXCHANGE_NEG_RISK, EXCHANGE_V3
from services.simulator.venue import Venue, answer, error
from services.simulator.venue_auth import Unauthorized

BATCH_MAX: Final = 15
CANCELS_MAX: Final = 1000
PAGE: Final = 100
FIRST_CURSOR: Final = "MA=="
LAST_CURSOR: Final = "LTE="
ANSWER_WITHIN_S: Final = 30.0
_UNLIMITED: Final = str((1 << 256) - 1)

Private = Callable[[web.Request, Caller, Any], Awaitable[web.Response]]


def private_routes(venue: Venue) -> list[web.RouteDef]:
    """Return the routes that need a login signature or an API key."""
    guard = _guard(venue)
    return [
        *_key_routes(venue, guard),
        web.post("/order", guard(_post_order(venue))),
        web.post("/orders", guard(_post_orders(venue))),
        web.delete("/order", guard(_cancel_order(venue))),
        web.delete("/orders", guard(_cancel_orders(venue))),
        web.delete("/cancel-all", guard(_cancel_all(venue))),
        web.delete("/cancel-market-orders", guard(_cancel_market(venue))),
        web.get("/data/order/{id}", guard(_own_order(venue))),
        web.get("/data/orders", guard(_own_orders(venue))),
        web.get("/data/trades", guard(_own_trades(venue))),
        web.get("/balance-allowance", guard(_balance(venue))),
        web.get("/balance-allowance/update", guard(_update_balance(venue))),
        web.post("/v1/heartbeats", guard(_heartbeat(venue))),
    ]


def _guard(venue: Venue) -> Callable[[Private], Callable[[web.Request], Awaitable[web.Response]]]:
    """Return a wrapper that checks the L2 headers over the exact bytes and reads the JSON body."""

    def wrap(route: Private) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def guarded(request: web.Request) -> web.Response:
            body = await request.read()
            try:
                caller = venue.keys.caller(
                    request.headers, request.method, request.rel_url.raw_path, body, venue.now_ms() // 1000
                )
            except Unauthorized as unauthorized:
                return error(401, str(unauthorized))
            try:
                payload = json.loads(body) if body else None
            except ValueError:
                return error(400, "Invalid order payload")
            return await route(request, caller, payload)

        return guarded

    return wrap


def _key_routes(
    venue: Venue, guard: Callable[[Private], Callable[[web.Request], Awaitable[web.Response]]]
) -> list[web.RouteDef]:
    def login(make: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def route(request: web.Request) -> web.Response:
            now_s = venue.now_ms() // 1000
            try:
                keys = venue.keys
                made = (keys.create if make == "create" else keys.derive)(request.headers, now_s)
            except Unauthorized as unauthorized:
                return error(401, str(unauthorized))
            return error(400, f"Could not {make} api key!") if made is None else answer(made.wire())

        return route

    async def list_keys(_request: web.Request, caller: Caller, _body: Any) -> web.Response:
        return answer({"apiKeys": venue.keys.keys_of(caller.address)})

    async def delete_key(_request: web.Request, caller: Caller, _body: Any) -> web.Response:
        venue.keys.delete(caller.api_key)
        return answer("OK")

    async def ban_status(_request: web.Request, caller: Caller, _body: Any) -> web.Response:
        mine = [wallet for wallet in venue.exchange.wallets.values() if wallet.owner == caller.address]
        return answer({"closed_only": any(wallet.restriction == "closed_only" for wallet in mine)})

    return [
        web.post("/auth/api-key", login("create")),
        web.get("/auth/derive-api-key", login("derive")),
        web.get("/auth/api-keys", guard(list_keys)),
        web.delete("/auth/api-key", guard(delete_key)),
        web.get("/auth/ban-status/closed-only", guard(ban_status)),
    ]


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
        return _cancel(venue, caller, [order.order_id for order in live if _concerns(order, wanted)])

    return route


def _own_order(venue: Venue) -> Private:
    async def route(request: web.Request, caller: Caller, _body: Any) -> web.Response:
        found = venue.exchange.orders.get(request.match_info["id"])
        if found is None or found.owner != caller.api_key:
            return error(404, "order not found")
        return answer(wire.order(found))

    return route


def _own_orders(venue: Venue) -> Private:
    async def route(request: web.Request, caller: Caller, _body: Any) -> web.Response:
        wanted = {key: request.query.get(key) for key in ("id", "market", "asset_id")}
        live = venue.exchange.live_orders(caller.api_key)
        return _page(request, [wire.order(order) for order in live if _concerns(order, wanted)])

    return route


def _concerns(order: Order, wanted: Mapping[str, str | None]) -> bool:
    shown = {"id": order.order_id, "market": order.market.condition_id, "asset_id": order.token}
    return all(value is None or shown[key] == value for key, value in wanted.items())


def _own_trades(venue: Venue) -> Private:
    async def route(request: web.Request, caller: Caller, _body: Any) -> web.Response:
        query = request.query
        for bound in ("before", "after"):
            if not query.get(bound, "0").isdecimal():
                return error(400, f"invalid {bound}")
        rows = [
            wire.trade(trade, caller.api_key)
            for trade in reversed(venue.exchange.settlement.trades.values())
            if any(leg.owner == caller.api_key for leg in trade.own_legs()) and _wanted_trade(trade, query)
        ]
        return _page(request, rows)

    return route


def _wanted_trade(trade: Trade, query: Mapping[str, str]) -> bool:
    tokens = {trade.market.token(is_up=leg.is_up) for leg in trade.own_legs()}
    matched_s = trade.matched_ms // 1000
    return (
        query.get("id", trade.trade_id) == trade.trade_id
        and query.get("market", trade.market.condition_id) == trade.market.condition_id
        and ("asset_id" not in query or query["asset_id"] in tokens)
        and (
            "maker_address" not in query
            or query["maker_address"] in {leg.address for leg in trade.own_legs()}
        )
        and ("before" not in query or matched_s < int(query["before"]))
        and ("after" not in query or matched_s > int(query["after"]))
    )


def _page(request: web.Request, rows: list[wire.Json]) -> web.Response:
    """Return one page; the cursor is the base64 of an offset, the last one means the end."""
    cursor = request.query.get("next_cursor", FIRST_CURSOR)
    start = 0 if cursor == FIRST_CURSOR else wire.offset(cursor)
    if start is None:
        return error(400, "invalid next_cursor")
    shown = rows[start : start + PAGE]
    following = wire.cursor(start + PAGE) if start + PAGE < len(rows) else LAST_CURSOR
    return answer({"limit": PAGE, "count": len(shown), "next_cursor": following, "data": shown})


def _wallet(venue: Venue, request: web.Request, caller: Caller) -> Wallet | None:
    kind = request.query.get("signature_type", "0")
    for wallet in venue.exchange.wallets.values():
        if wallet.owner == caller.address and str(wallet.signature_type) == kind:
            return wallet
    return None


def _asset(request: web.Request) -> str:
    return (
        COLLATERAL if request.query.get("asset_type") == "COLLATERAL" else request.query.get("token_id", "")
    )


def _balance(venue: Venue) -> Private:
    async def route(request: web.Request, caller: Caller, _body: Any) -> web.Response:
        wallet = _wallet(venue, request, caller)  # a type that is not the wallet's shows zeros
        seen = _seen(venue, wallet, _asset(request)) if wallet is not None else 0
        allowance = _UNLIMITED if wallet is not None and wallet.approved else "0"
        exchanges = (EXCHANGE, EXCHANGE_NEG_RISK, EXCHANGE_V3)
        return answer({"balance": str(seen), "allowances": dict.fromkeys(exchanges, allowance)})

    return route


def _seen(venue: Venue, wallet: Wallet, asset: str) -> int:
    """Return the cached balance, as it is or as old as a fault has it."""
    stale = venue.faults.take("balance", wallet=wallet.address.lower(), asset=asset)
    if stale is None:
        return wallet.seen.get(asset, 0)
    return wallet.seen_at(asset, venue.now_ms() - int(stale.seconds * 1000))


def _update_balance(venue: Venue) -> Private:
    async def route(request: web.Request, caller: Caller, _body: Any) -> web.Response:
        wallet = _wallet(venue, request, caller)
        if wallet is not None:
            wallet.refresh(_asset(request))
            wallet.remember(venue.now_ms())
        return answer("")

    return route


def _heartbeat(venue: Venue) -> Private:
    async def route(_request: web.Request, caller: Caller, payload: Any) -> web.Response:
        said = payload.get("heartbeat_id", "") if isinstance(payload, dict) else ""
        accepted, expected = venue.exchange.heartbeats.beat(caller.api_key, str(said), venue.now_ms())
        if not accepted:
            return answer({"error_msg": "Invalid Heartbeat ID", "heartbeat_id": expected}, 400)
        return answer({"heartbeat_id": expected})

    return route
