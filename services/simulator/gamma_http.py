"""The fake Gamma API: markets, events and series by slug, id and list.

Lists hide closed markets unless asked (``closed`` is false by default); slug and id paths show everything.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from services.simulator import gamma_wire, wire
from services.simulator.orders import Market
from services.simulator.venue import Venue, answer

LIMIT_DEFAULT: Final = 20
LIMIT_MAX: Final = 500
KEYSET_LIMIT_MAX: Final = 100
Shape = Callable[[Market, int], wire.Json]
Route = Callable[[web.Request], Awaitable[web.Response]]


def gamma_routes(venue: Venue) -> list[web.RouteDef]:
    """Return all routes of the fake Gamma."""
    routes = [web.get("/status", _ok), web.get("/series", _series_list(venue))]
    routes.append(web.get("/series/{id}", _series_one(venue)))
    routes.append(web.get("/api/geoblock", _geoblock))  # the venue's own site is served here, too
    for kind, shape in (("markets", gamma_wire.market), ("events", gamma_wire.event)):
        routes += [
            web.get(f"/{kind}", _list(venue, shape)),
            web.get(f"/{kind}/keyset", _keyset(venue, kind, shape)),
            web.get(f"/{kind}/slug/{{slug}}", _one(venue, shape, lambda market: market.window.slug, "slug")),
            web.get(f"/{kind}/{{id}}", _one(venue, shape, _id_of(kind), "id")),
        ]
    return routes


def _id_of(kind: str) -> Callable[[Market], str]:
    return lambda market: market.market_id if kind == "markets" else market.event_id


async def _geoblock(_request: web.Request) -> web.Response:
    return answer({"blocked": False, "ip": "127.0.0.1", "country": "CH", "region": "ZH"})


async def _ok(_request: web.Request) -> web.Response:
    return web.Response(text="OK")


def _one(venue: Venue, shape: Shape, key: Callable[[Market], str], name: str) -> Route:
    async def route(request: web.Request) -> web.Response:
        for market in venue.exchange.listing.markets.values():
            if key(market) == request.match_info[name]:
                return answer(shape(market, venue.now_ms()))
        return answer({"type": "not found error", "error": "not found"}, 404)

    return route


def _list(venue: Venue, shape: Shape) -> Route:
    async def route(request: web.Request) -> web.Response:
        found = _wanted(venue, request)
        start, limit = _number(request, "offset", 0), _number(request, "limit", LIMIT_DEFAULT)
        page = found[start : start + min(limit, LIMIT_MAX)]
        return answer([shape(market, venue.now_ms()) for market in page])

    return route


def _keyset(venue: Venue, kind: str, shape: Shape) -> Route:
    async def route(request: web.Request) -> web.Response:
        found = _wanted(venue, request)
        after = wire.offset(request.query.get("after_cursor", wire.cursor(0)))
        if after is None:
            return answer({"type": "validation error", "error": "invalid after_cursor"}, 422)
        limit = min(_number(request, "limit", LIMIT_DEFAULT), KEYSET_LIMIT_MAX)
        body: wire.Json = {
            kind: [shape(market, venue.now_ms()) for market in found[after : after + limit]],
        }
        if after + limit < len(found):
            body["next_cursor"] = wire.cursor(after + limit)
        return answer(body)

    return route


def _wanted(venue: Venue, request: web.Request) -> list[Market]:
    """Return the markets a list call asks for, in its order; by default open ones, oldest first."""
    query = request.query
    closed = query.get("closed", "false").lower() == "true"
    found = [
        market
        for market in venue.exchange.listing.markets.values()
        if (market.resolved_ms is not None) == closed and _fits(market, request)
    ]
    order = query.get("order", "")
    if order in ("endDate", "startDate", "end_date", "start_date"):
        ends = order.lower().startswith("end")
        found.sort(key=lambda market: market.window.closes_at_ms if ends else market.window.listed_at_ms)
    if order and query.get("ascending", "true").lower() == "false":
        found.reverse()
    return found


def _fits(market: Market, request: web.Request) -> bool:
    window = market.window
    wanted = {
        "id": {market.market_id, market.event_id},
        "slug": {window.slug},
        "series_id": {window.series_id},
        "series_slug": {window.series_slug},
        "condition_ids": {window.condition_id},
        "clob_token_ids": {window.up_token, window.down_token},
        "version": {window.version},
    }
    if any(
        not have.intersection(_values(request, key)) for key, have in wanted.items() if key in request.query
    ):
        return False
    ends = gamma_wire.iso(window.closes_at_ms)
    return request.query.get("end_date_min", "") <= ends <= request.query.get("end_date_max", "9999")


def _values(request: web.Request, key: str) -> list[str]:
    """Return the values of a repeated, comma-separated or JSON-list parameter."""
    values: list[str] = []
    for raw in request.query.getall(key):
        if raw.startswith("["):
            values.extend(str(item) for item in json.loads(raw))
        else:
            values.extend(raw.split(","))
    return values


def _number(request: web.Request, key: str, default: int) -> int:
    raw = request.query.get(key, "")
    return int(raw) if raw.isdecimal() else default


def _series(venue: Venue) -> dict[str, wire.Json]:
    markets = venue.exchange.listing.markets.values()
    return {market.window.series_id: gamma_wire.series(market) for market in markets}


def _series_list(venue: Venue) -> Route:
    async def route(request: web.Request) -> web.Response:
        slug = request.query.get("slug")
        return answer([body for body in _series(venue).values() if slug is None or body["slug"] == slug])

    return route


def _series_one(venue: Venue) -> Route:
    async def route(request: web.Request) -> web.Response:
        found = _series(venue).get(request.match_info["id"])
        return (
            answer({"type": "not found error", "error": "not found"}, 404) if found is None else answer(found)
        )

    return route
