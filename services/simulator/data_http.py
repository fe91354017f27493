"""The fake Data API v2: positions, trades, activity, value and resolutions, a while behind the engine.

An indexer feeds it: everything younger than the lag is not there yet. It is folded from the chain's trades and
redemptions at each call, so it can lag but not contradict them.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from services.simulator import wire
from services.simulator.gamma_wire import iso
from services.simulator.matching import MICRO
from services.simulator.orders import Leg, Market, Redemption, Trade
from services.simulator.venue import Venue, answer

DUST: Final = MICRO // 10
"""Positions under a tenth of a share are hidden unless asked for."""
LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1000
_CENTS_OF_FRACTION: Final = 6
Route = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(slots=True)
class _Holding:
    """One wallet's token, folded from its history."""

    market: Market
    is_up: bool
    size: int = 0
    bought: int = 0
    cost: int = 0  # of what is still held, without fees
    fees: int = 0
    realized: int = 0
    first_ms: int = 0
    last_ms: int = 0


@dataclass(frozen=True, slots=True)
class Indexer:
    """What the indexer has seen by now."""

    venue: Venue
    lag_ms: int

    def trades(self, user: str | None) -> Iterator[tuple[Trade, Leg]]:
        """Yield users' legs of settled-or-matched trades, oldest first; failed ones never happened."""
        seen_ms = self.venue.now_ms() - self.lag_ms
        for trade in self.venue.exchange.settlement.trades.values():
            if trade.matched_ms <= seen_ms and trade.status != "FAILED":
                for leg in trade.own_legs():
                    if user is None or leg.address.lower() == user:
                        yield trade, leg

    def redemptions(self, user: str | None) -> Iterator[Redemption]:
        """Yield redemptions, oldest first."""
        seen_ms = self.venue.now_ms() - self.lag_ms
        for redemption in self.venue.exchange.settlement.redemptions:
            if redemption.at_ms <= seen_ms and (user is None or redemption.wallet.lower() == user):
                yield redemption

    def holdings(self, user: str) -> list[_Holding]:
        """Return every token a wallet ever held."""
        found: dict[str, _Holding] = {}
        for trade, leg in self.trades(user):
            token = trade.market.token(is_up=leg.is_up)
            holding = found.setdefault(token, _Holding(trade.market, leg.is_up, first_ms=trade.matched_ms))
            _book(holding, trade, leg)
        for redemption in self.redemptions(user):
            for token, shares in redemption.burnt.items():
                holding = found[token]
                paid = shares * redemption.market.payout(is_up=holding.is_up) // MICRO
                holding.realized += paid - holding.cost
                holding.size, holding.cost, holding.last_ms = holding.size - shares, 0, redemption.at_ms
        return list(found.values())


def data_routes(venue: Venue, lag_ms: int) -> list[web.RouteDef]:
    """Return all routes of the fake Data API."""
    indexer = Indexer(venue, lag_ms)
    return [
        web.get("/", _ok),
        web.get("/v2/positions", _positions(indexer)),
        web.get("/v2/trades", _trades(indexer)),
        web.get("/v2/activity", _activity(indexer)),
        web.get("/v2/value", _value(indexer)),
        web.get("/v2/resolutions", _resolutions(venue)),
    ]


async def _ok(_request: web.Request) -> web.Response:
    return answer({"data": "OK"})


def _book(holding: _Holding, trade: Trade, leg: Leg) -> None:
    holding.last_ms = trade.matched_ms
    holding.fees += leg.fee if leg.side == "BUY" else 0
    if leg.side == "BUY":
        holding.size, holding.cost = holding.size + trade.shares, holding.cost + leg.cash
        holding.bought += trade.shares
        return
    sold_cost = holding.cost * trade.shares // holding.size if holding.size > 0 else 0
    holding.size, holding.cost = holding.size - trade.shares, holding.cost - sold_cost
    holding.realized += leg.cash - leg.fee - sold_cost


def _positions(indexer: Indexer) -> Route:
    async def route(request: web.Request) -> web.Response:
        user = request.query.get("user", "").lower()
        if not user:
            return _bad("user is required")
        least = float(request.query.get("filter_amount", "nan"))
        smallest = DUST if least != least else int(least * MICRO)  # noqa: PLR0124 - nan: no filter was given
        status = request.query.get("status", "OPEN")
        conditions = _list(request, "condition_id") or _list(request, "condition")
        rows = [
            _position(holding, user)
            for holding in indexer.holdings(user)
            if (holding.size >= max(smallest, 1) or status == "CLOSED")
            and (not conditions or holding.market.condition_id in conditions)
        ]
        return _page(request, [row for row in rows if _has_status(row, status)])

    return route


def _has_status(row: wire.Json, status: str) -> bool:
    if status == "OPEN":  # the default: everything held
        return row["status"] in ("OPEN", "REDEEMABLE")
    if status == "REDEEMABLE_LOST":
        return bool(row["status"] == "REDEEMABLE" and row["current_price"] == 0)
    return bool(row["status"] == status)


def _position(holding: _Holding, user: str) -> wire.Json:
    market, window = holding.market, holding.market.window
    resolved = market.resolved_ms is not None
    bid, ask = market.book.best(is_up=holding.is_up)
    price = market.payout(is_up=holding.is_up) if resolved else ((bid or 0) + (ask or bid or 0)) // 2
    value = holding.size * price // MICRO
    average = holding.cost * MICRO // holding.size if holding.size else 0
    unrealized = value - holding.cost
    state = "CLOSED" if holding.size == 0 else ("REDEEMABLE" if resolved else "OPEN")
    percent = round(100 * unrealized / holding.cost, 4) if holding.cost else 0.0
    return {
        "proxy_wallet": user,
        "token_id": market.token(is_up=holding.is_up),
        "condition_id": window.condition_id,
        "current_size": _dollars(holding.size),
        "avg_price": _dollars(average),
        "entry_cost_usdc": _dollars(holding.cost),
        "entry_fees_usdc": _dollars(holding.fees),
        "total_cost_usdc": _dollars(holding.cost + holding.fees),
        "current_price": _dollars(price),
        "current_value": _dollars(value),
        "total_size": _dollars(holding.bought),
        "realized_pnl": _dollars(holding.realized),
        "unrealized_pnl": _dollars(unrealized),
        "total_pnl": _dollars(holding.realized + unrealized),
        "percent_pnl": percent,
        "percent_realized_pnl": 0.0,
        "status": state,
        "redeemable": state == "REDEEMABLE",
        "mergeable": False,
        "negative_risk": window.neg_risk,
        "archived": False,
        "verified": False,
        "event_id": market.event_id,
        "opposite_outcome": wire.outcome(is_up=not holding.is_up),
        "opposite_token_id": market.token(is_up=not holding.is_up),
        "end_date": iso(window.closes_at_ms)[:10],
        "last_event_at": holding.last_ms // 1000,
        "first_entry_at": holding.first_ms // 1000,
        **_described(market, is_up=holding.is_up),
        "name": "",
        "profile_image": "",
    }


def _trades(indexer: Indexer) -> Route:
    async def route(request: web.Request) -> web.Response:
        user = request.query.get("user", "").lower() or None
        conditions = _list(request, "condition_id") or _list(request, "condition")
        rows = [
            _trade_row(trade, leg)
            for trade, leg in indexer.trades(user)
            if not conditions or trade.market.condition_id in conditions
        ]
        return _page(request, rows[::-1])

    return route


def _activity(indexer: Indexer) -> Route:
    async def route(request: web.Request) -> web.Response:
        user = request.query.get("user", "").lower()
        if not user:
            return _bad("user is required")
        kinds = _list(request, "type")
        conditions = _list(request, "condition_id") or _list(request, "condition")
        rows = [
            {**_trade_row(trade, leg), "type": "TRADE", "usdc_size": _dollars(leg.cash), "is_combo": False}
            for trade, leg in indexer.trades(user)
        ]
        rows += [_redeem_row(redemption) for redemption in indexer.redemptions(user)]
        rows = [
            row
            for row in rows
            if (not kinds or row["type"] in kinds) and (not conditions or row["condition_id"] in conditions)
        ]
        rows.sort(
            key=lambda row: row["timestamp"], reverse=request.query.get("sort_direction", "DESC") == "DESC"
        )
        return _page(request, rows)

    return route


def _trade_row(trade: Trade, leg: Leg) -> wire.Json:
    return {
        "proxy_wallet": leg.address.lower(),
        "side": leg.side,
        "token_id": trade.market.token(is_up=leg.is_up),
        "condition_id": trade.market.condition_id,
        "size": _dollars(trade.shares),
        "price": _dollars(leg.price),
        "timestamp": trade.matched_ms // 1000,
        **_described(trade.market, is_up=leg.is_up),
        **_nobody(),
        "transaction_hash": trade.transaction_hash or f"0x{'0' * 64}",
    }


def _redeem_row(redemption: Redemption) -> wire.Json:
    return {
        "proxy_wallet": redemption.wallet.lower(),
        "type": "REDEEM",
        "condition_id": redemption.market.condition_id,
        "size": _dollars(sum(redemption.burnt.values())),
        "usdc_size": _dollars(redemption.paid),
        "timestamp": redemption.at_ms // 1000,
        **_described(redemption.market, is_up=redemption.market.window.winner == "UP"),
        "is_combo": False,
        **_nobody(),
        "transaction_hash": redemption.transaction_hash,
    }


def _value(indexer: Indexer) -> Route:
    async def route(request: web.Request) -> web.Response:
        user = request.query.get("user", "").lower()
        if not user:
            return _bad("user is required")
        rows = [_position(holding, user) for holding in indexer.holdings(user)]
        return answer(
            {"data": {"proxy_wallet": user, "value": round(sum(row["current_value"] for row in rows), 6)}}
        )

    return route


def _resolutions(venue: Venue) -> Route:
    async def route(request: web.Request) -> web.Response:
        wanted = [
            key for key in ("question_id", "condition_id", "condition", "event_id") if key in request.query
        ]
        if len(wanted) != 1:
            return _bad("exactly one of question_id, condition_id, event_id is required")
        values = set(_list(request, wanted[0]))
        if wanted[0].startswith("condition") and any(len(value) != 66 for value in values):  # noqa: PLR2004
            return _bad("invalid condition_id")
        rows = []
        for market in venue.exchange.listing.markets.values():
            ids = {market.condition_id, market.window.question_id, market.event_id}
            if values & ids and market.resolved_ms is not None:
                rows.append(_resolution(market, market.resolved_ms))
        return answer({"data": rows})

    return route


def _resolution(market: Market, resolved_ms: int) -> wire.Json:
    resolved_at = iso(resolved_ms // 1000 * 1000)
    return {
        "question_id": market.window.question_id,
        "condition_id": market.condition_id,
        "status": "resolved",
        "extended_review": False,
        "was_disputed": False,
        "new_version_q": False,
        "transaction_hash": market.window.question_id,
        "log_index": "993",
        "last_update_timestamp": resolved_at,
        "payouts": [market.payout(is_up=True), market.payout(is_up=False)],
        "resolution_source": "reported",
        "reporter": "CHAINLINK",
        "resolved_block": 95_000_000 + resolved_ms // 2000 % 1_000_000,
        "resolved_at": resolved_at,
    }


def _described(market: Market, *, is_up: bool) -> wire.Json:
    window = market.window
    return {
        "title": window.question,
        "slug": window.slug,
        "icon": "",
        "event_slug": window.slug,
        "outcome": wire.outcome(is_up=is_up),
        "outcome_index": 0 if is_up else 1,
    }


def _nobody() -> wire.Json:
    return dict.fromkeys(("name", "pseudonym", "bio", "profile_image", "profile_image_optimized"), "")


def _page(request: web.Request, rows: list[wire.Json]) -> web.Response:
    cursor = request.query.get("cursor")
    start = wire.offset(cursor) if cursor else int(request.query.get("offset", "0"))
    if start is None:
        return _bad("invalid cursor")
    limit = min(int(request.query.get("limit", str(LIMIT_DEFAULT))), LIMIT_MAX)
    more = start + limit < len(rows)
    pagination = {
        "limit": limit,
        "offset": start,
        "has_more": more,
        "next_cursor": wire.cursor(start + limit) if more else None,
    }
    return answer({"data": rows[start : start + limit], "pagination": pagination})


def _list(request: web.Request, key: str) -> list[str]:
    return [value for raw in request.query.getall(key, []) for value in raw.split(",") if value]


def _bad(text: str) -> web.Response:
    return answer({"error": text, "code": "bad_request", "retryable": False, "trace_id": "simulator"}, 400)


def _dollars(micro: int) -> float:
    """Return a JSON number, as this API has them."""
    return round(micro / MICRO, _CENTS_OF_FRACTION)
