"""The truth of the fake world, exact to the micro-unit, for whoever compares books with it. PURE."""

from services.simulator import wire
from services.simulator.accounts import COLLATERAL, Wallet
from services.simulator.arrivals import Arrival, Arrivals, posted
from services.simulator.exchange import Exchange
from services.simulator.matching import MICRO
from services.simulator.orders import Leg, Order, Redemption, Trade
from services.simulator.orders_intake import Refused


def exact(micro: int) -> str:
    """Return micro-units with all six decimals."""
    sign = "-" if micro < 0 else ""
    return f"{sign}{abs(micro) // MICRO}.{abs(micro) % MICRO:06d}"


def truth(exchange: Exchange, arrivals: Arrivals, now_ms: int, wallet: str | None = None) -> wire.Json:
    """Return everything there is to know of users' money, of all or of one wallet: what arrived and what it became."""
    settlement, only = exchange.settlement, wallet.lower() if wallet else None

    def wanted(address: str) -> bool:
        return only is None or address.lower() == only

    orders = [order_truth(order) for order in exchange.orders.values() if wanted(order.maker)]
    live = {order.order_id for order in exchange.live_orders()}
    return {
        "now_ms": now_ms,
        "wallets": {
            address: wallet_truth(found) for address, found in exchange.wallets.items() if wanted(address)
        },
        "arrivals": [
            arrival_truth(arrival) for arrival in arrivals.of(only, lambda leg: _identity(exchange, leg))
        ],
        "orders": orders,
        "open_orders": [order for order in orders if order["id"] in live],
        "posts": dict(exchange.posts),
        "trades": [
            leg_truth(trade, leg)
            for trade in settlement.trades.values()
            for leg in trade.own_legs()
            if wanted(leg.address)
        ],
        "redemptions": [
            redemption_truth(redemption) for redemption in settlement.redemptions if wanted(redemption.wallet)
        ],
    }


def arrival_truth(arrival: Arrival) -> wire.Json:
    """Return when a posted order reached the venue, and what was answered; ``id`` is "" for what is no order."""
    return {
        "id": arrival.order_id,
        "wallet": posted(arrival.leg, "maker"),
        "side": posted(arrival.leg, "side"),
        "token": posted(arrival.leg, "tokenId"),
        "arrived_ms": arrival.arrived_ms,
        "answered_ms": arrival.answered_ms,
        "http": arrival.http,
        "fault": arrival.fault,
    }


def _identity(exchange: Exchange, leg: object) -> str:
    try:
        return exchange.identity(leg)
    except Refused:
        return ""


def wallet_truth(wallet: Wallet) -> wire.Json:
    """Return a wallet: ``cash`` on chain, ``cash_pending`` the signed sum of matched trades not mined yet."""
    coming = {movement.token for movement in wallet.on_the_way.values()}
    tokens = {
        token: {
            "mined": exact(wallet.tokens.get(token, 0)),
            "unmined": exact(wallet.unmined(token)),
            "leaving": exact(wallet.matched(token)),
        }
        for token in sorted(coming | {token for token, shares in wallet.tokens.items() if shares})
    }
    return {
        "owner": wallet.owner,
        "signature_type": wallet.signature_type,
        "deposited": exact(wallet.deposited),
        "cash": exact(wallet.cash),
        "cash_pending": exact(wallet.pending_cash()),
        "cash_reserved": exact(wallet.active(COLLATERAL)),
        "tokens": tokens,
    }


def order_truth(order: Order) -> wire.Json:
    """Return an order with what it gave and got; trades that FAILED are counted apart."""
    failed = [trade for trade in order.trades if trade.status == "FAILED"]
    return {
        "id": order.order_id,
        "wallet": order.maker,
        "status": order.status,
        "type": order.order_type,
        "market": order.market.condition_id,
        "slug": order.market.window.slug,
        "token": order.token,
        "outcome": wire.outcome(is_up=order.is_up),
        "side": order.side,
        "price": exact(order.price),
        "shares": exact(order.shares),
        "matched": exact(order.matched),
        "failed": exact(sum(trade.shares for trade in failed)),
        "cash": exact(order.cash),
        "fee": exact(order.fee),
        "created_ms": order.created_ms,
        "trades": [trade.trade_id for trade in order.trades],
    }


def leg_truth(trade: Trade, leg: Leg) -> wire.Json:
    """Return a user's side of a trade; ``cash`` is without the fee, ``net_cash`` the signed change of the wallet."""
    return {
        "id": trade.trade_id,
        "order": leg.order_id,
        "wallet": leg.address,
        "role": "TAKER" if leg is trade.taker else "MAKER",
        "market": trade.market.condition_id,
        "token": trade.market.token(is_up=leg.is_up),
        "side": leg.side,
        "price": exact(leg.price),
        "shares": exact(trade.shares),
        "cash": exact(leg.cash),
        "fee": exact(leg.fee),
        "net_cash": exact(leg.net_cash),
        "status": trade.status,
        "matched_ms": trade.matched_ms,
    }


def redemption_truth(redemption: Redemption) -> wire.Json:
    """Return a redemption: tokens burnt and cash paid."""
    return {
        "wallet": redemption.wallet,
        "market": redemption.market.condition_id,
        "slug": redemption.market.window.slug,
        "burnt": {token: exact(shares) for token, shares in redemption.burnt.items()},
        "paid": exact(redemption.paid),
        "at_ms": redemption.at_ms,
    }
