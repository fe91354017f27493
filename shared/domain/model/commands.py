"""What a person or a watchdog decides: exits, the breaker, the controls, and money from outside."""

from dataclasses import replace
from decimal import Decimal

from shared.domain.breaker import BreakerState, TripReason
from shared.domain.controls import DEFINITIONS, ControlInvalid, normalise
from shared.domain.ledger import Bucket
from shared.domain.model.book import Gate, ModelBook, Refused, balances
from shared.domain.model.steps import RETRIGGER, move_position, settle_facts, trip
from shared.domain.orders import POSSIBLY_LIVE
from shared.domain.positions import TRIGGER_OF, TRIGGERED, ExitReason, PositionState

FORCED = (ExitReason.FLATTEN, ExitReason.EMERGENCY)


def request_exit(book: ModelBook, position_id: str, reason: ExitReason) -> tuple[ModelBook, bool]:
    """Return the Book with one sticky trigger; a stronger reason only sharpens it (R4). False: nothing changed."""
    position = book.positions[position_id]
    if reason is ExitReason.EXPIRY:
        moved = settle_facts(book, position_id)
        return moved, moved.positions[position_id].state is not position.state
    if position.state is PositionState.MONITORING:
        book = book.with_position(position_id, replace(position, exit_reason=reason))
        return move_position(book, position_id, RETRIGGER[TRIGGER_OF[reason]]), True
    if position.state in TRIGGERED | {PositionState.EXIT_PENDING} and is_stronger(
        reason, position.exit_reason
    ):
        return book.with_position(position_id, replace(position, exit_reason=reason)), True
    return book, False


def is_stronger(reason: ExitReason, than: ExitReason | None) -> bool:
    """Return whether a switch outranks the reason an exit already has."""
    return reason in FORCED and (than is None or _RANK[reason] < _RANK[than])


_RANK = {reason: rank for rank, reason in enumerate(ExitReason)}


def trip_breaker(book: ModelBook, reason: TripReason) -> tuple[ModelBook, bool]:
    """Return the Book with the breaker open, and whether this opened it."""
    return trip(book, reason), book.gate.breaker is BreakerState.CLOSED


def reset_breaker(book: ModelBook, *, operator: str, reason: str) -> ModelBook:
    """Return the Book with the breaker closed by a named person (R1).

    Raises:
        Refused: OB104 without name and reason; OB102 while an order may be live or is Unknown.
    """
    if not operator or not reason:
        raise Refused("OB104")
    if any(order.state in POSSIBLY_LIVE for order in book.orders.values()):
        raise Refused("OB102")
    if book.gate.breaker is BreakerState.CLOSED:
        return book
    return replace(book, gate=Gate(ever=book.gate.ever))


def set_control(book: ModelBook, key: str, value: str, *, actor: str, reason: str) -> ModelBook:
    """Return the Book with a control set.

    Raises:
        Refused: OB106, no such control or not a lawful value; OB104 without name and reason.
    """
    if key not in DEFINITIONS:
        raise Refused("OB106")
    if not actor or not reason:
        raise Refused("OB104")
    try:
        kept = normalise(key, value)
    except ControlInvalid as error:
        raise Refused("OB106") from error
    return replace(book, controls={**book.controls, key: kept})


def book_external(book: ModelBook, kind: str, amount: Decimal, reference: str) -> tuple[ModelBook, bool]:
    """Return the Book with money that came (positive) or went outside trading, once per reference (E18)."""
    if reference in book.externals:
        return book, False
    book = replace(book, externals={**book.externals, reference: (kind, amount)})
    if amount < 0 and balances(book)[Bucket.CASH] < 0:
        book = trip(book, TripReason.CAPITAL_INVARIANT)
    return book, amount != 0
