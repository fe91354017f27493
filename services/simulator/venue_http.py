"""The public side of the fake CLOB's REST: time, books, prices, market metadata."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from services.simulator import wire
from services.simulator.gamma_wire import iso, number
from services.simulator.matching import MICRO
from services.simulator.orders import Market
from services.simulator.venue import Venue, answer, error

CLOB_VERSION: Final = 2
NO_BOOK: Final = "No orderbook exists for the requested token id"

Route = Callable[[web.Request], Awaitable[web.Response]]


def public_routes(venue: Venue) -> list[web.RouteDef]:
    """Return the routes that need no key."""

    async def healthy(_request: web.Request) -> web.Response:
        return answer("OK")

    async def time(_request: web.Request) -> web.Response:
        return answer(venue.now_ms() // 1000)

    async def version(_request: web.Request) -> web.Response:
        return answer(CLOB_VERSION)

    return [
        web.get("/", healthy),
        web.get("/ok", healthy),
        web.get("/time", time),
        web.get("/version", version),
        web.get("/book", _of_token(venue, lambda market, is_up, _query: wire.book(market, is_up=is_up))),
        web.get("/midpoint", _of_token(venue, _midpoint)),
        web.get("/spread", _of_token(venue, _spread)),
        web.get("/price", _of_token(venue, _price)),
        web.get("/last-trade-price", _of_token(venue, _last_trade_price)),
        web.get("/tick-size", _of_token(venue, _tick_size)),
        web.get(
            "/neg-risk", _of_token(venue, lambda market, _up, _query: {"neg_risk": market.window.neg_risk})
        ),
        web.get("/fee-rate", _of_token(venue, lambda *_: {"base_fee": int(wire.LEGACY_FEE_BPS)})),
        web.get("/prices-history", _prices_history(venue)),
        web.post("/books", _books(venue)),
        web.post("/prices", _prices(venue)),
        web.post("/midpoints", _midpoints(venue)),
        web.get("/markets-by-token/{token}", _market_by_token(venue)),
        web.get(
            "/clob-markets/{condition}", _of_condition(venue, lambda market: _compact_market(market, venue))
        ),
        web.get("/markets/{condition}", _of_condition(venue, lambda market: _long_market(market, venue))),
    ]


def _of_token(venue: Venue, body: Callable[[Market, bool, Any], Any]) -> Route:
    """Return a route that answers for the token of its query; an unknown one is a 404."""

    async def route(request: web.Request) -> web.Response:
        found = venue.exchange.listing.by_token.get(request.query.get("token_id", ""))
        if found is None:
            return error(404, NO_BOOK)
        market, is_up = found
        return answer(body(market, is_up, request.query))

    return route


def _prices_history(venue: Venue) -> Route:
    async def route(request: web.Request) -> web.Response:
        found = venue.exchange.listing.by_token.get(request.query.get("market", ""))
        if found is None:
            return error(404, NO_BOOK)
        market, is_up = found
        bounds = [request.query.get(key, default) for key, default in (("startTs", "0"), ("endTs", "9" * 12))]
        if not all(bound.isdecimal() for bound in bounds):
            return error(400, "invalid time range")
        first_s, last_s = map(int, bounds)
        points = [
            {"t": at_s, "p": (price if is_up else MICRO - price) / MICRO}
            for at_s, price in market.history
            if first_s <= at_s <= last_s
        ]
        return answer({"history": points})

    return route


def _of_condition(venue: Venue, body: Callable[[Market], Any]) -> Route:
    async def route(request: web.Request) -> web.Response:
        market = venue.exchange.listing.markets.get(request.match_info["condition"])
        return error(404, "market not found") if market is None else answer(body(market))

    return route


def _midpoint(market: Market, is_up: bool, _query: object) -> wire.Json:
    return {"mid": _middle(market, is_up=is_up)}


def _spread(market: Market, is_up: bool, _query: object) -> wire.Json:
    bid, ask = market.book.best(is_up=is_up)
    return {"spread": wire.text((ask if ask is not None else MICRO) - (bid or 0))}


def _price(market: Market, is_up: bool, query: Any) -> wire.Json:
    """Return the best bid for BUY and the best ask for SELL: the side names the resting orders."""
    bid, ask = market.book.best(is_up=is_up)
    chosen = bid if query.get("side", "BUY").upper() == "BUY" else ask
    return {"price": wire.text(chosen or 0)}


def _last_trade_price(market: Market, is_up: bool, _query: object) -> wire.Json:
    last = market.last_price.get(is_up)
    return {"price": wire.text(last) if last is not None else "0.5", "side": market.last_side or ""}


def _tick_size(market: Market, _is_up: bool, _query: object) -> wire.Json:
    return {"minimum_tick_size": market.tick / MICRO}


def _middle(market: Market, *, is_up: bool) -> str:
    bid, ask = market.book.best(is_up=is_up)
    return wire.text(((bid or 0) + (ask if ask is not None else MICRO)) // 2)


def _books(venue: Venue) -> Route:
    async def route(request: web.Request) -> web.Response:
        known = venue.exchange.listing.by_token
        wanted = [known.get(str(item.get("token_id"))) for item in await _items(request)]
        return answer([wire.book(found[0], is_up=found[1]) for found in wanted if found is not None])

    return route


def _prices(venue: Venue) -> Route:
    async def route(request: web.Request) -> web.Response:
        prices: dict[str, dict[str, str]] = {}
        for item in await _items(request):
            found = venue.exchange.listing.by_token.get(str(item.get("token_id")))
            if found is not None:
                side = str(item.get("side", "BUY")).upper()
                market, is_up = found
                prices.setdefault(str(item["token_id"]), {})[side] = _price(market, is_up, {"side": side})[
                    "price"
                ]
        return answer(prices)

    return route


def _midpoints(venue: Venue) -> Route:
    async def route(request: web.Request) -> web.Response:
        middles: dict[str, str] = {}
        for item in await _items(request):
            found = venue.exchange.listing.by_token.get(str(item.get("token_id")))
            if found is not None:
                middles[str(item["token_id"])] = _middle(found[0], is_up=found[1])
        return answer(middles)

    return route


async def _items(request: web.Request) -> list[dict[str, Any]]:
    try:
        body = json.loads(await request.read())
    except ValueError:
        return []
    return [item for item in body if isinstance(item, dict)] if isinstance(body, list) else []


def _market_by_token(venue: Venue) -> Route:
    async def route(request: web.Request) -> web.Response:
        found = venue.exchange.listing.by_token.get(request.match_info["token"])
        if found is None:
            return error(404, "market not found")
        window = found[0].window
        primary, secondary = sorted((window.up_token, window.down_token), key=int)
        return answer(
            {
                "condition_id": window.condition_id,
                "primary_token_id": primary,  # the numerically smaller one, whatever its outcome
                "secondary_token_id": secondary,
            }
        )

    return route


def _compact_market(market: Market, venue: Venue) -> wire.Json:
    window = market.window
    body: wire.Json = {
        "r": {"mi": 50, "ma": 4.5, "moas": 30},
        "t": [{"t": window.up_token, "o": "Up"}, {"t": window.down_token, "o": "Down"}],
        "c": window.condition_id,
        "mos": number(window.min_size),
        "mts": market.tick / MICRO,
        "mbf": int(wire.LEGACY_FEE_BPS),
        "tbf": int(wire.LEGACY_FEE_BPS),
        "ao": market.accepts(venue.now_ms()),
        "cbos": True,
        "aot": iso(window.listed_at_ms),
        "itode": venue.exchange.rules.taker_hold_ms > 0,
        "fd": {"r": number(window.fee_rate), "e": window.fee_exponent, "to": window.fee_taker_only},
    }
    if window.neg_risk:
        body["nr"] = True
    if window.version != "v1":
        body["v"] = window.version
    return body


def _long_market(market: Market, venue: Venue) -> wire.Json:
    window, closed = market.window, market.resolved_ms is not None
    tokens = []
    for is_up in (True, False):
        bid, ask = market.book.best(is_up=is_up)
        price = (
            market.payout(is_up=is_up) if closed else ((bid or 0) + (ask if ask is not None else MICRO)) // 2
        )
        tokens.append(
            {
                "token_id": market.token(is_up=is_up),
                "outcome": wire.outcome(is_up=is_up),
                "price": price / MICRO,
                "winner": closed and market.payout(is_up=is_up) > 0,
            }
        )
    return {
        "enable_order_book": True,
        "active": True,
        "closed": closed,
        "archived": False,
        "accepting_orders": market.accepts(venue.now_ms()),
        "accepting_order_timestamp": iso(window.listed_at_ms),
        "minimum_order_size": number(window.min_size),
        "minimum_tick_size": number(window.tick),  # may lag behind the live tick, as at the venue
        "condition_id": window.condition_id,
        "question_id": window.question_id,
        "question": window.question,
        "market_slug": window.slug,
        "end_date_iso": iso(window.closes_at_ms),
        "game_start_time": iso(window.opens_at_ms),
        "seconds_delay": 0,
        "maker_base_fee": int(wire.LEGACY_FEE_BPS),
        "taker_base_fee": int(wire.LEGACY_FEE_BPS),
        "neg_risk": window.neg_risk,
        "is_50_50_outcome": False,
        "tokens": tokens,
    }
