"""What a person or a watchdog decides: exits, the breaker, the controls, and money from outside."""

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from shared.domain.breaker import BreakerState, TripReason
from shared.domain.controls import DEFINITIONS, ControlInvalid, normalise
from shared.domain.escalation import AFTER, Stage
from shared.domain.ledger import Bucket
from shared.domain.model.book import Gate, ModelBook, Refused, balances, is_active, shares_owed
from shared.domain.model.steps import RETRIGGER, move_position, settle_facts, trip
from shared.domain.modes import RANK, Mode
from shared.domain.orders import POSSIBLY_LIVE
from shared.domain.positions import TRIGGER_OF, TRIGGERED, ExitReason, PositionState
from shared.domain.windows import Side

ORPHANED_MAX = timedelta(minutes=2)
"""How long the venue may not show what the Book holds, before trading stops (D19)."""
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


def escalate(book: ModelBook, stage: Stage) -> tuple[ModelBook, bool]:
    """Return the Book a stage further, and whether it was: due by the trip's age, once a trip (R2)."""
    gate = book.gate
    if gate.breaker is BreakerState.CLOSED or stage in gate.escalated or gate.open_for < AFTER[stage]:
        return book, False
    halted = gate.halted or stage is Stage.HALT
    book = replace(book, gate=replace(gate, escalated=gate.escalated | {stage}, halted=halted))
    if stage is Stage.HALT and min(RANK[book.mode], RANK[book.in_force.trading_mode]) > RANK[Mode.PAPER]:
        book = replace(book, controls={**book.controls, "trading_mode": Mode.PAPER.value})
    return book, True


def flag_orphans(book: ModelBook, sides: Collection[Side]) -> tuple[ModelBook, list[str]]:
    """Return the Book with what the venue does not show flagged, and the flagged positions (R3).

    ``sides`` names the tokens of which it shows too little. What has been flagged for two minutes trips.
    """
    flagged = []
    for name, position in sorted(book.positions.items()):
        missed = position.side in sides and is_active(book, name) and shares_owed(book, name) > 0
        lasted = (position.orphaned_for or timedelta()) if missed else None
        book = book.with_position(name, replace(position, orphaned_for=lasted))
        if missed:
            flagged.append(name)
        if lasted is not None and lasted >= ORPHANED_MAX:
            book = trip(book, TripReason.RECONCILIATION_MISMATCH)
    return book, flagged


def stop_strategy(book: ModelBook, strategy_id: str, pnl_usdc: Decimal) -> tuple[ModelBook, bool]:
    """Return the Book with a strategy stopped that has lost its limit, and whether this stopped it (R8)."""
    stop = (strategy_id, book.in_force.max_strategy_loss_usdc)
    if pnl_usdc >= 0 or -pnl_usdc < stop[1] or stop in book.stopped:
        return book, False
    return replace(book, stopped=book.stopped | {stop}), True


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
