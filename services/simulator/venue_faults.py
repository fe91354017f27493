"""What a named fault does to an HTTP request of the fake venue."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from services.simulator.arrivals import Arrival
from services.simulator.faults import Armed
from services.simulator.orders_intake import Refused
from services.simulator.rate_limits import limit_headers
from services.simulator.refusal_texts import DUPLICATED, REFUSALS
from services.simulator.restricted_modes import restricted
from services.simulator.venue import Venue, answer, error

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_STATUSES: Final[Mapping[str, tuple[int, str]]] = {
    "http_425": (425, "service not ready"),
    "http_429": (429, "Too Many Requests"),
    "http_500": (500, "could not insert order"),
    "http_503": REFUSALS["disabled"],
}
_ARRIVED: Final = web.RequestKey("arrived", list[Arrival])
_CLOUDFLARE: Final = (
    "<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head>"
    "<body><h1>Sorry, you have been blocked</h1></body></html>"
)


def arrival_middleware(venue: Venue) -> Middleware:
    """Return a middleware that notes every posted order the moment it arrives, before any fault can lose it."""

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method != "POST" or request.path not in ("/order", "/orders"):
            return await handler(request)
        arrived_ms = venue.now_ms()
        body = await request.read()
        try:
            arrived = venue.arrivals.note(json.loads(body), arrived_ms)
        except ValueError:
            return await handler(request)
        request[_ARRIVED] = arrived
        response = await handler(request)
        transport = request.transport
        told = transport is not None and not transport.is_closing()
        for arrival in arrived:
            arrival.answered_ms, arrival.http = venue.now_ms(), response.status if told else None
        return response

    return note


def fault_middleware(venue: Venue, host: str) -> Middleware:
    """Return a middleware that lets armed faults strike requests of one host (``clob``, ``gamma`` …)."""
    faults = venue.faults

    @web.middleware
    async def strike(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not faults:  # one armed while the request is served does not strike it
            return await handler(request)
        facts = {
            "host": host,
            "method": request.method,
            "path": request.path,
            **await _asked_by(venue, request),
        }
        before = faults.take("request", **facts)
        if before is not None:
            _struck(request, before)
            return await _instead(venue, before, request, handler)
        response = await handler(request)
        after = faults.take("answer", **facts)
        if after is None:
            return response
        _struck(request, after)
        return await _spoilt(venue, after, request)

    return strike


def _struck(request: web.Request, armed: Armed) -> None:
    for arrival in request.get(_ARRIVED, ()):
        arrival.fault = armed.kind.name


async def _asked_by(venue: Venue, request: web.Request) -> dict[str, Collection[str]]:
    """Return whose request it is and what it trades, as far as it says; nothing of it is proved yet."""
    wallets = {request.query[key] for key in ("user", "maker_address") if key in request.query}
    if key := request.headers.get("POLY_API_KEY"):
        wallets.update(venue.wallets_of_key(key))
    if request.method != "POST" or not request.body_exists:
        return {"wallet": _lower(wallets)}
    orders, batch = _orders_in(await request.read())
    wallets.update(str(order.get("maker")) for order in orders)
    wallets.update(batch)
    return {
        "wallet": _lower(wallets),
        "side": {str(order.get("side")) for order in orders},
        "order_type": {str(order.get("orderType")) for order in orders},
    }


def _orders_in(body: bytes) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the posted orders of a body, each with its type, and the wallet of a relayer's batch."""
    try:
        payload = json.loads(body)
    except ValueError:
        return [], []
    posted = payload if isinstance(payload, list) else [payload]
    orders = [
        {**leg["order"], "orderType": leg.get("orderType")}
        for leg in posted
        if isinstance(leg, dict) and isinstance(leg.get("order"), dict)
    ]
    batch = payload.get("depositWalletParams") if isinstance(payload, dict) else None
    return orders, [str(batch.get("depositWallet"))] if isinstance(batch, dict) else []


def _lower(wallets: Iterable[str]) -> set[str]:
    return {wallet.lower() for wallet in wallets}


async def _instead(venue: Venue, armed: Armed, request: web.Request, handler: Handler) -> web.StreamResponse:
    """Return what is answered before anything is processed."""
    name = armed.kind.name
    if name == "idle_closed":
        return _cut(request)  # what a sender sees whose bytes meet a socket closed just before
    if name == "html_403":
        return web.Response(status=403, text=_CLOUDFLARE, content_type="text/html")
    if name == "duplicated_not_placed":
        return error(400, DUPLICATED.format(id=await _order_id(venue, request)))
    if name in _STATUSES:
        retry_s = _retry_after_s(armed)
        refused = (
            restricted(armed.options["text"], retry_s) if name == "http_503" else error(*_STATUSES[name])
        )
        refused.headers["Retry-After"] = str(retry_s)
        if name == "http_429":
            refused.headers.update(limit_headers(0, venue.now_ms() // 1000 + retry_s))
        return refused
    if name == "late_arrival":
        await request.read()
    await asyncio.sleep(armed.seconds)
    if name == "late_arrival":
        await handler(request)
    return _cut(request)


async def _spoilt(venue: Venue, armed: Armed, request: web.Request) -> web.StreamResponse:
    """Return what is answered although everything was processed."""
    match armed.kind.name:
        case "accept_then_timeout" | "accept_then_reset" as name:
            if name == "accept_then_timeout":
                await asyncio.sleep(armed.seconds)
            return _cut(request)
        case "duplicated":
            return error(400, DUPLICATED.format(id=await _order_id(venue, request)))
        case "unreadable_answer":
            return web.Response(text="<html>\0ok</html>", content_type="text/html")
        case "region_blocked":
            return answer({"blocked": True, "ip": "127.0.0.1", "country": "US", "region": "NY"})
        case "clock_ahead":
            return answer(venue.now_ms() // 1000 + int(armed.seconds))
        case _:
            return error(500, "could not insert order")


async def _order_id(venue: Venue, request: web.Request) -> str:
    """Return the id of the order a request posts."""
    try:
        return venue.exchange.identity(json.loads(await request.read()))
    except (Refused, ValueError):
        return "null"


def _retry_after_s(armed: Armed) -> int:
    return max(1, int(armed.seconds))


def _cut(request: web.Request) -> web.Response:
    """Close the connection without an answer; what is returned can no longer be written."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
