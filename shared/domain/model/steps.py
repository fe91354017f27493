"""Steps every fact ends in: an order moves, its position stands where its facts put it, and what must trip, trips."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from shared.domain.breaker import BreakerState, TripReason
from shared.domain.ledger import Bucket
from shared.domain.model.book import (
    ModelBook,
    ModelPosition,
    balances,
    effects,
    paid,
    shares_bought,
    shares_held,
    shares_owed,
    value_at_payout,
)
from shared.domain.money import ZERO
from shared.domain.orders import OrderEvent, OrderState
from shared.domain.orders import next_state as next_order_state
from shared.domain.positions import TRIGGER_OF, TRIGGERED, ExitReason, PositionEvent, PositionState
from shared.domain.positions import next_state as next_position_state

_S, _E = PositionState, PositionEvent
LOT = Decimal("0.01")
"""The venue sells in hundredths: less is dust, left to settlement (E19)."""


def trip(book: ModelBook, reason: TripReason) -> ModelBook:
    """Open the breaker; while it is open the first reason stands and the others are history."""
    gate = replace(book.gate, ever=book.gate.ever | {reason})
    if gate.breaker is BreakerState.CLOSED:
        gate = replace(gate, breaker=BreakerState.OPEN, reason=reason)
    return replace(book, gate=gate)


def move_order(book: ModelBook, order_id: str, event: OrderEvent) -> ModelBook | None:
    """Move an order by an event; None where the event changes nothing. Not knowing stops everything (P4)."""
    order = book.orders[order_id]
    state = next_order_state(order.state, event)
    if state is None:
        return None
    book = book.with_order(order_id, replace(order, state=state))
    if state is OrderState.UNKNOWN:
        book = trip(book, TripReason.ORDER_UNKNOWN)
    return settle_facts(book, order.position_id)


def settle_facts(book: ModelBook, position_id: str) -> ModelBook:
    """Put a position where its facts put it; trip on what breaks a limit, for a fact is never refused (P9)."""
    book = check_limits(book, position_id)
    for _ in range(len(PositionState)):
        event = due_event(book, position_id)
        if event is None:
            break
        position = book.positions[position_id]
        if event is _E.RESOLVED:
            payouts = book.windows[position.window_id].payouts
            assert payouts is not None
            book = book.with_position(position_id, replace(position, payout=payouts.of(position.side)))
        elif event is _E.PAID:
            book = paid(book, position_id, ZERO)
        book = move_position(book, position_id, event)
    return check_limits(book, position_id)


def move_position(book: ModelBook, position_id: str, event: PositionEvent) -> ModelBook:
    """Take one step of the position's table."""
    position = book.positions[position_id]
    state = next_position_state(position.state, event)
    assert state is not None, (position.state, event)
    reason = None if event in {_E.SELL_FAILED, _E.MATCHED} else position.exit_reason
    return book.with_position(position_id, replace(position, state=state, exit_reason=reason))


def check_limits(book: ModelBook, position_id: str) -> ModelBook:
    """Trip where a position cost more than was set aside for it, or the account has less than nothing."""
    buys = [each for each in effects(book, position_id) if each.is_buy]
    if sum((each.usdc + each.fee_usdc - each.reserved_usdc for each in buys), ZERO) > 0:
        book = trip(book, TripReason.LIMIT_EXCEEDED_BY_FACT)
    if balances(book)[Bucket.CASH] < 0:
        book = trip(book, TripReason.CAPITAL_INVARIANT)
    return book


def due_event(book: ModelBook, position_id: str) -> PositionEvent | None:
    """Return what its facts say must happen to a position next; None when it stands where it belongs."""
    position = book.positions[position_id]
    moved = effects(book, position_id)
    entry_live = any(each.possibly_live and each.is_buy for each in moved)
    bought = shares_bought(book, position_id)
    mortal = {_S.OPENING, _S.MONITORING, *TRIGGERED, _S.EXPIRED, _S.SETTLEMENT, _S.CLOSED}
    if bought == 0 and not entry_live and position.state in mortal:
        return _E.ENTRY_DEAD
    rule = _DUE.get(position.state)
    if rule is None:
        return None
    return rule(book, position_id, position, any(each.possibly_live for each in moved))


def _while_held(
    book: ModelBook, _position_id: str, position: ModelPosition, _any_live: bool
) -> PositionEvent | None:
    return _E.WINDOW_OVER if book.windows[position.window_id].over else None


def _opening(
    book: ModelBook, position_id: str, _position: ModelPosition, _any_live: bool
) -> PositionEvent | None:
    return _E.MATCHED if shares_bought(book, position_id) > 0 else None


def _void(
    book: ModelBook, position_id: str, position: ModelPosition, _any_live: bool
) -> PositionEvent | None:
    if shares_bought(book, position_id) == 0:
        return None
    return _E.WINDOW_OVER if book.windows[position.window_id].over else _E.MATCHED


def _exit_pending(
    book: ModelBook, position_id: str, position: ModelPosition, any_live: bool
) -> PositionEvent | None:
    if any_live:
        return None
    left = shares_held(book, position_id)
    if left <= 0:
        return _E.SOLD
    if book.windows[position.window_id].over or left < LOT:
        return _E.WINDOW_OVER
    return RETRIGGER[TRIGGER_OF[position.exit_reason or ExitReason.FLATTEN]]


def _expired(
    book: ModelBook, position_id: str, position: ModelPosition, any_live: bool
) -> PositionEvent | None:
    if any_live:
        return None
    if shares_owed(book, position_id) <= 0:
        return _E.SOLD
    return _E.RESOLVED if book.windows[position.window_id].payouts is not None else None


def _settlement(
    book: ModelBook, position_id: str, _position: ModelPosition, _any_live: bool
) -> PositionEvent | None:
    return _E.PAID if value_at_payout(book, position_id) <= 0 else None


def _closed(
    book: ModelBook, position_id: str, position: ModelPosition, _any_live: bool
) -> PositionEvent | None:
    if shares_owed(book, position_id) <= 0:
        return None
    return _E.WINDOW_OVER if book.windows[position.window_id].over else _E.SELL_FAILED


RETRIGGER = {
    _S.STOP_TRIGGERED: _E.STOP,
    _S.TAKE_PROFIT_TRIGGERED: _E.TAKE_PROFIT,
    _S.FLATTEN_TRIGGERED: _E.FLATTEN,
}
"""Killed or partly filled with sellable shares left: back to its trigger."""
_Rule = Callable[[ModelBook, str, ModelPosition, bool], PositionEvent | None]
_DUE: dict[PositionState, _Rule] = {
    _S.OPENING: _opening,
    _S.MONITORING: _while_held,
    _S.STOP_TRIGGERED: _while_held,
    _S.TAKE_PROFIT_TRIGGERED: _while_held,
    _S.FLATTEN_TRIGGERED: _while_held,
    _S.EXIT_PENDING: _exit_pending,
    _S.EXPIRED: _expired,
    _S.SETTLEMENT: _settlement,
    _S.CLOSED: _closed,
    _S.VOID: _void,
}
