"""What an API key may read at the fake CLOB: its orders, trades, balances, scores and notifications."""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from services.simulator import wire
from services.simulator.accounts import COLLATERAL, Wallet
from services.simulator.orders import Order, Trade
from services.simulator.orders_intake import Caller
from services.simulator.signatures import EXCHANGE, EXCHANGE_NEG_RISK, EXCHANGE_V3
from services.simulator.venue import Venue, answer, error
from services.simulator.venue_guard import Private, guard

PAGE: Final = 100
FIRST_CURSOR: Final = "MA=="
LAST_CURSOR: Final = "LTE="
_UNLIMITED: Final = str((1 << 256) - 1)


def account_routes(venue: Venue) -> list[web.RouteDef]:
    """Return the routes that read an account."""
    private = guard(venue)
    return [
        web.get("/data/order/{id}", private(_own_order(venue))),
        web.get("/data/orders", private(_own_orders(venue))),
        web.get("/data/trades", private(_own_trades(venue))),
        web.get("/balance-allowance", private(_balance(venue))),
        web.get("/balance-allowance/update", private(_update_balance(venue))),
        web.get("/order-scoring", private(_is_scoring(venue))),
        web.post("/orders-scoring", private(_are_scoring(venue))),
        web.get("/notifications", private(_notifications(venue))),
        web.delete("/notifications", private(_drop_notifications(venue))),
    ]


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
        return _page(request, [wire.order(order) for order in live if concerns(order, wanted)])

    return route


def concerns(order: Order, wanted: Mapping[str, str | None]) -> bool:
    """Return whether an order is of the market, token and id named; what is None may be any."""
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


def _is_scoring(venue: Venue) -> Private:
    async def route(request: web.Request, caller: Caller, _body: Any) -> web.Response:
        return answer({"scoring": _scores(venue, caller, request.query.get("order_id", ""))})

    return route


def _are_scoring(venue: Venue) -> Private:
    async def route(_request: web.Request, caller: Caller, payload: Any) -> web.Response:
        if not isinstance(payload, list):
            return error(400, "Invalid order payload")
        return answer({str(order_id): _scores(venue, caller, str(order_id)) for order_id in payload})

    return route


def _scores(venue: Venue, caller: Caller, order_id: str) -> bool:
    """Return whether an order earns rewards: here every resting one does."""
    return any(order.order_id == order_id for order in venue.exchange.live_orders(caller.api_key))


def _notifications(_venue: Venue) -> Private:
    async def route(_request: web.Request, _caller: Caller, _body: Any) -> web.Response:
        return answer([])  # what they look like is published nowhere; nobody is ever notified here

    return route


def _drop_notifications(_venue: Venue) -> Private:
    async def route(_request: web.Request, _caller: Caller, _body: Any) -> web.Response:
        return answer("OK")

    return route
