"""Facts: whatever the venue did is recorded, once, in any order, whoever leads by now (P9, E8, E23)."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from shared.domain.breaker import TripReason
from shared.domain.model.book import (
    ModelBook,
    ModelFill,
    Refused,
    Report,
    paid,
    trades_of,
    value_at_payout,
)
from shared.domain.model.steps import move_order, move_position, settle_facts, trip
from shared.domain.modes import Mode
from shared.domain.money import ZERO
from shared.domain.orders import NO_TRADE_EXPECTED, OrderEvent, OrderState
from shared.domain.positions import PositionEvent, PositionState
from shared.domain.redemptions import TRANSITIONS as REDEMPTION_TRANSITIONS
from shared.domain.redemptions import RedemptionEvent, RedemptionState
from shared.domain.settlement import Payouts
from shared.domain.trades import TRANSITIONS as FILL_TRANSITIONS
from shared.domain.trades import FillState
from shared.domain.windows import WindowState

ANSWERS = frozenset(
    {
        OrderEvent.RESTS,
        OrderEvent.DELAYED,
        OrderEvent.MATCHED,
        OrderEvent.KILLED,
        OrderEvent.REFUSED,
        OrderEvent.NOT_SENT,
        OrderEvent.LOST,
    }
)
RESOLUTIONS = frozenset(
    {
        OrderEvent.RESTS,
        OrderEvent.DELAYED,
        OrderEvent.MATCHED,
        OrderEvent.KILLED,
        OrderEvent.EXPIRED,
        OrderEvent.PROVED_ABSENT,
    }
)
OURS_TO_KNOW = frozenset({OrderEvent.PROVED_ABSENT, OrderEvent.NOT_SENT, OrderEvent.REFUSED})
"""No observation of the venue proves these."""


def record_outcome(
    book: ModelBook, order_id: str, event: OrderEvent, *, report: Report | None = None, trips: bool = False
) -> ModelBook:
    """Return the Book with the answer to a send in it. The first totals are kept, and explained by trades.

    Raises:
        Refused: OB105, no answer is called so.
    """
    if event not in ANSWERS:
        raise Refused("OB105")
    order = book.orders[order_id]
    if report is not None and report.shares > 0 and order.report is None:
        book = book.with_order(order_id, replace(order, report=report))
    moved = move_order(book, order_id, event)
    book = settle_facts(book, order.position_id) if moved is None else moved
    return trip(book, TripReason.VENUE_REFUSES) if trips else book


def apply_trade(
    book: ModelBook, order_id: str, trade_id: str, token_id: str, fill: ModelFill
) -> tuple[ModelBook, str]:
    """Return the Book with a venue trade in it, and NEW, CHANGED or SAME.

    Raises:
        Refused: OB103, a trade of no order of ours.
    """
    if order_id not in book.orders:
        raise Refused("OB103")
    key, order = (order_id, trade_id, token_id), book.orders[order_id]
    known = book.fills.get(key)
    if known is not None:
        state = FILL_TRANSITIONS.get((known.state, fill.state))
        if state is None:
            return book, "SAME"
        fill = replace(known, state=state)
    book = replace(book, fills={**book.fills, key: fill})
    if known is None and fill.state is not FillState.FAILED and order.state in NO_TRADE_EXPECTED:
        book = trip(book, TripReason.LATE_FILL)
    return settle_facts(book, order.position_id), "NEW" if known is None else "CHANGED"


def reverse_trade(book: ModelBook, order_id: str, trade_id: str, token_id: str) -> tuple[ModelBook, str]:
    """Return the Book without what a failed match had moved.

    Raises:
        Refused: OB103, there is no such trade.
    """
    known = book.fills.get((order_id, trade_id, token_id))
    if known is None:
        raise Refused("OB103")
    return apply_trade(book, order_id, trade_id, token_id, replace(known, state=FillState.FAILED))


def apply_order_evidence(book: ModelBook, order_id: str, proves: str, event: OrderEvent | None) -> ModelBook:
    """Return the Book after an observation; only one that proves a placement or an end moves the order (E6).

    Raises:
        Refused: OB108, no observation proves this event.
    """
    if event in OURS_TO_KNOW:
        raise Refused("OB108")
    if event is None or proves not in {"PLACED", "TERMINAL"}:
        return book
    return move_order(book, order_id, event) or book


def resolve_unknown(
    book: ModelBook, order_id: str, event: OrderEvent, *, proofs: Mapping[str, bool]
) -> ModelBook:
    """Return the Book with an Unknown resolved to what was proved; absence needs all proofs of D3.

    Raises:
        Refused: OB108, the event resolves nothing, or the absence is not proved.
    """
    order = book.orders[order_id]
    if order.state is not OrderState.UNKNOWN:
        return book
    if event not in RESOLUTIONS:
        raise Refused("OB108")
    if event is OrderEvent.PROVED_ABSENT:
        over = book.windows[book.positions[order.position_id].window_id].over
        traded = any(fill.state is not FillState.FAILED for fill in trades_of(book, order_id).values())
        named = ("venue_closed", "order_unknown", "no_trade", "balance_equal")
        if not all(proofs.get(name, False) for name in named) or not over or traded:
            raise Refused("OB108")
    return move_order(book, order_id, event) or book


def take_epoch(book: ModelBook) -> ModelBook:
    """Return the Book under a new leader: what the old one may have been sending is Unknown, on paper unsent (D5)."""
    event = OrderEvent.LOST if book.mode is Mode.LIVE else OrderEvent.NOT_SENT
    for order_id in sorted(book.orders):
        if book.orders[order_id].state is OrderState.SUBMITTING:
            book = move_order(book, order_id, event) or book
    return book


def settle(book: ModelBook, window_id: str, payouts: Payouts) -> tuple[ModelBook, bool]:
    """Return the Book with the venue's word on a window, and whether it was new.

    Raises:
        Refused: OB109, the window is not over, or was resolved otherwise.
    """
    window = book.windows[window_id]
    if window.payouts is not None:
        if window.payouts != payouts:
            raise Refused("OB109")
        return book, False
    if not window.over:
        raise Refused("OB109")
    resolved = replace(window, state=WindowState.RESOLVED, payouts=payouts)
    book = replace(book, windows={**book.windows, window_id: resolved})
    for position_id in sorted(book.positions):
        if book.positions[position_id].window_id == window_id:
            book = settle_facts(book, position_id)
    return book, True


def record_redemption(
    book: ModelBook, redemption_id: str, event: RedemptionEvent, *, paid_usdc: Decimal = ZERO
) -> ModelBook:
    """Return the Book with what became of a redemption: PAID books the cash that came and no other amount (E21)."""
    redemption = book.redemptions[redemption_id]
    state = REDEMPTION_TRANSITIONS.get((redemption.state, event))
    if state is None:
        return book
    book = book.with_redemption(redemption_id, replace(redemption, state=state))
    if state is RedemptionState.UNKNOWN:
        return trip(book, TripReason.ORDER_UNKNOWN)
    if state is RedemptionState.SUBMITTED:
        return book
    waiting = sorted(
        name
        for name, position in book.positions.items()
        if position.window_id == redemption.window_id and position.state is PositionState.REDEEMING
    )
    if state is RedemptionState.PAID:
        values = [value_at_payout(book, name) for name in waiting]
        difference = paid_usdc - sum(values, ZERO)
        for name, value in zip(waiting, values, strict=True):
            book = move_position(paid(book, name, value + difference), name, PositionEvent.PAID)
            difference = ZERO
    else:
        for name in waiting:
            book = move_position(book, name, PositionEvent.REDEEM_FAILED)
    for name in waiting:
        book = settle_facts(book, name)
    return book
