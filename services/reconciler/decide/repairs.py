"""What our own intents explain: trades to record, and what the venue's word proves of unfinished orders (D3, X1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.reconciler.decide.sides import BookOrder, BookSide, VenueSide, token_range
from shared.domain.ids import OrderId
from shared.domain.money import ZERO
from shared.domain.orders import POSSIBLY_LIVE, OrderEvent, OrderState, OrderType
from shared.domain.orders import next_state as next_order_state
from shared.domain.trades import TRANSITIONS, VenueTrade

SUBMITTING_GRACE = timedelta(seconds=15)
"""A send of the current epoch may still be under way: it is left alone so long (X2)."""
TRADES_COMPLETE_AFTER = timedelta(seconds=15)
"""A FAK order nobody can find any more, with trades this old, has no more to come."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """An observation to keep; ``resolves`` ends an Unknown by it, else ``event`` moves the order where it may."""

    order_id: OrderId
    kind: str
    proves: str
    event: OrderEvent | None
    resolves: bool
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Repairs:
    """What our own intents explain: to be recorded through the Book's functions, trades first."""

    trades: tuple[VenueTrade, ...] = ()
    evidence: tuple[Evidence, ...] = ()


def period(now: datetime, every_s: int) -> str:
    """Return the name of the period of ``every_s`` seconds around ``now``; later ones sort after earlier ones (T5)."""
    seconds = int(now.timestamp())
    return f"{seconds - seconds % every_s:012d}"


def wants_look(order: BookOrder, now: datetime) -> bool:
    """Return whether to ask the venue for an order: it may be live, and its sender is not still at it."""
    if order.state not in POSSIBLY_LIVE:
        return False
    sending = order.state is OrderState.SUBMITTING and order.of_current_epoch
    return not (sending and now - order.claimed_at < SUBMITTING_GRACE)


def repairs(book: BookSide, venue: VenueSide) -> Repairs:
    """Return the trades the Book lacks or has in an older state, and what the venue proves of unfinished orders."""
    known = {order.order_id: order for order in book.orders}
    states = {(fill.order_id, fill.trade_id, fill.token_id): fill.state for fill in book.fills}
    trades = []
    for trade in venue.trades:
        order = known.get(trade.order_id)
        if order is None or (order.state is OrderState.SUBMITTING and not wants_look(order, book.now)):
            continue
        recorded = states.get((trade.order_id, trade.trade_id, trade.token_id))
        if recorded is None or (recorded, trade.state) in TRANSITIONS:
            trades.append(trade)
    evidence = [
        found
        for order in book.orders
        if order.order_id in venue.found and wants_look(order, book.now)
        if (found := _prove(order, book, venue)) is not None
    ]
    return Repairs(tuple(trades), tuple(evidence))


def _prove(order: BookOrder, book: BookSide, venue: VenueSide) -> Evidence | None:
    """Return what the venue's word proves of one unfinished order; None when it says nothing new."""
    ours = [trade for trade in venue.trades if trade.order_id == order.order_id]
    traded = sum((trade.shares for trade in ours), ZERO)
    reading = venue.found[order.order_id]
    unknown = order.state is OrderState.UNKNOWN
    if reading is None:
        return _prove_unfound(order, book, venue, ours) if unknown else None
    details = {
        "status": reading.status,
        "matched_shares": str(reading.matched_shares),
        "traded_shares": str(traded),
    }
    event = reading.event
    # The trades come first: an order that is done with a match we have not booked would give its capital back.
    if event is OrderEvent.REFUSED or (event is OrderEvent.MATCHED and traded < reading.matched_shares):
        return Evidence(order.order_id, "ORDER_READ", "PLACED", None, resolves=False, details=details)
    if next_order_state(order.state, event) is None:
        return None
    proves = "PLACED" if event in {OrderEvent.RESTS, OrderEvent.DELAYED} else "TERMINAL"
    return Evidence(order.order_id, "ORDER_READ", proves, event, resolves=unknown, details=details)


def _prove_unfound(
    order: BookOrder, book: BookSide, venue: VenueSide, ours: Sequence[VenueTrade]
) -> Evidence | None:
    """Return what a 404 means for an Unknown: nothing, unless trades or the closed market say more (D3)."""
    if ours:
        newest = max(trade.matched_at for trade in ours)
        never_rests = order.order_type in {OrderType.FAK, OrderType.FOK}
        complete = never_rests and venue.asked_at - newest > TRADES_COMPLETE_AFTER
        return Evidence(
            order.order_id,
            "TRADES",
            "TERMINAL" if complete else "PLACED",
            OrderEvent.MATCHED if complete else None,
            resolves=complete,
            details={"found": False, "trades": len(ours)},
        )
    balance = venue.tokens.get(order.token_id)
    allowed = token_range(book, order.token_id)
    proofs = {
        "venue_closed": order.window_over and order.window_id in venue.over,
        "order_unknown": True,
        "no_trade": order.window_id in venue.windows,
        "balance_equal": balance is not None and allowed.low == balance == allowed.high,
    }
    absent = all(proofs.values())
    return Evidence(
        order.order_id,
        "MARKET_CLOSED" if absent else "ORDER_READ",
        "NEVER_PLACED" if absent else "NOTHING",
        OrderEvent.PROVED_ABSENT if absent else None,
        resolves=absent,
        details=proofs,
    )
