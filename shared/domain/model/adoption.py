"""Adoption: an order a person made elsewhere becomes one of ours, with its fills, by a name and a reason (X2)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from shared.domain.model.book import ModelBook, ModelFill, ModelOrder, ModelPosition, ModelSignal, Refused
from shared.domain.model.facts import apply_trade
from shared.domain.model.steps import settle_facts
from shared.domain.money import ZERO
from shared.domain.orders import POSSIBLY_LIVE, OrderEvent, OrderSide, OrderState, Purpose
from shared.domain.positions import INACTIVE
from shared.domain.signals import SignalState
from shared.domain.windows import Side

ADOPTED = "adopted"
"""The strategy adopted entries stand under: nobody's idea, so no strategy's figures change."""
ADOPTED_AS: Mapping[OrderEvent, OrderState] = {
    OrderEvent.RESTS: OrderState.LIVE,
    OrderEvent.DELAYED: OrderState.DELAYED,
    OrderEvent.MATCHED: OrderState.FILLED,
    OrderEvent.KILLED: OrderState.KILLED,
    OrderEvent.EXPIRED: OrderState.EXPIRED,
}


@dataclass(frozen=True, slots=True)
class FoundOrder:
    """An order as the venue shows it."""

    order_id: str
    window_id: str
    outcome: Side
    side: OrderSide
    price: Decimal
    shares: Decimal
    """What a SELL offers."""
    reserved_usdc: Decimal = ZERO
    """What a BUY may still cost, fee included."""


def adopt_order(
    book: ModelBook,
    found: FoundOrder,
    event: OrderEvent,
    trades: Mapping[tuple[str, str], ModelFill],
    *,
    actor: str,
) -> ModelBook:
    """Return the Book with a found order in it and its trades, by (trade, token).

    Raises:
        Refused: OB104 without a name; OB105 for an event no order is adopted as; OB110 when it is there already, or
            sells what no position holds, or is live while another sale is.
    """
    if not actor:
        raise Refused("OB104")
    state = ADOPTED_AS.get(event)
    if state is None:
        raise Refused("OB105")
    if found.order_id in book.orders:
        raise Refused("OB110")
    if found.side is OrderSide.BUY:
        book, position = _adopt_entry(book, found, state)
    else:
        book, position = _adopt_exit(book, found, state)
    for (trade, token), fill in trades.items():
        book, _ = apply_trade(book, found.order_id, trade, token, fill)
    return settle_facts(book, position)


def _adopt_entry(book: ModelBook, found: FoundOrder, state: OrderState) -> tuple[ModelBook, str]:
    signal, position = f"adopted-{found.order_id}", f"pos-adopted-{found.order_id}"
    wish = ModelSignal(
        found.window_id,
        ADOPTED,
        found.outcome,
        found.price,
        ZERO,
        found.reserved_usdc,
        expired=True,
        state=SignalState.ORDERED,
    )
    entry = ModelOrder(position, Purpose.ENTRY, reserved_usdc=found.reserved_usdc, state=state)
    book = book.with_signal(signal, wish).with_order(found.order_id, entry)
    return book.with_position(
        position, ModelPosition(found.window_id, ADOPTED, signal, found.outcome)
    ), position


def _adopt_exit(book: ModelBook, found: FoundOrder, state: OrderState) -> tuple[ModelBook, str]:
    holding = [
        (each.state not in INACTIVE, number, name)
        for number, (name, each) in enumerate(book.positions.items())
        if each.window_id == found.window_id and each.side is found.outcome
    ]
    if not holding:
        raise Refused("OB110")
    position = max(holding)[2]
    selling = any(
        each.position_id == position and each.purpose is Purpose.EXIT and each.state in POSSIBLY_LIVE
        for each in book.orders.values()
    )
    if selling and state in POSSIBLY_LIVE:
        raise Refused("OB110")
    order = ModelOrder(position, Purpose.EXIT, shares=found.shares)
    return book.with_order(found.order_id, replace(order, state=state)), position
