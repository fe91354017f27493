"""What every loop of the leader works with, and the one way an order is sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from services.execution import actions
from services.execution.decide import Answer, read_answer
from services.execution.executors import Executors
from services.execution.metrics import SUBMIT_S, SUBMITS
from shared.bus.listen import Switchboard, Wakeup
from shared.db.engine import CommitUnknown, Database, is_connection_error
from shared.db.lock import LockSession
from shared.domain.books import Book
from shared.domain.breaker import TripReason
from shared.domain.modes import Mode
from shared.domain.orders import OrderState
from shared.domain.prepared import PreparedOrder
from shared.domain.windows import FeeSchedule
from shared.observability.logs import get_logger
from shared.runtime.clock import Clock
from shared.runtime.faultpoints import fault_point
from shared.venue.executor import Executor
from shared.venue.reading import PublicReading

RECORD_TRIES = 3
log = get_logger()


class RecordingFailed(Exception):
    """The venue answered and the Book could not be told: this process ends, and its successor finds the row (E7)."""


@dataclass(frozen=True, slots=True)
class Wakeups:
    """Each loop's own wake-up."""

    entries: Wakeup
    exits: Wakeup
    confirmations: Wakeup
    cancels: Wakeup
    redemptions: Wakeup
    balances: Wakeup


@dataclass(frozen=True, slots=True)
class Desk:
    """Connections and executors; no order, position or entry is ever kept here (P1)."""

    database: Database
    clock: Clock
    reading: PublicReading
    executors: Executors
    switchboard: Switchboard
    wakeups: Wakeups
    ceiling: Mode
    instance: str


class SendTicket:
    """Permission to begin one send: asked at the last moment, it remembers when that was (E3)."""

    def __init__(self, session: LockSession, clock: Clock, *, claimed_at_boottime: float) -> None:
        self._session = session
        self._clock = clock
        self._claimed_at_boottime = claimed_at_boottime
        self.sent_at: datetime | None = None

    def __call__(self) -> bool:
        """Return whether the send may begin now: within 100 ms of the claim and before the lease's deadline."""
        if not self._session.may_send(self._claimed_at_boottime):
            return False
        self.sent_at = self._clock.now()
        return True


async def send(
    desk: Desk,
    executor: Executor,
    prepared: PreparedOrder,
    ticket: SendTicket,
    *,
    fee: FeeSchedule,
    book: Book | None,
) -> OrderState:
    """Send one claimed order once and record what came of it; returns the order's state.

    Raises:
        RecordingFailed: the answer could not be recorded.
    """
    act = prepared.intent.purpose.lower()
    fault_point("post.before_check", act)
    outcome = await executor.submit(prepared, before_send=ticket, book=book)
    fault_point("post.answered", act)
    answered_at = desk.clock.now()
    answer = read_answer(outcome, fee=fee)
    if ticket.sent_at is not None:
        SUBMIT_S.labels(answer.event).observe((answered_at - ticket.sent_at).total_seconds())
    SUBMITS.labels(prepared.intent.purpose, answer.event).inc()
    details = {**answer.details, "sent_at": ticket.sent_at, "answered_at": answered_at}
    state = await _record(
        desk, prepared, answer, {key: value for key, value in details.items() if value is not None}
    )
    log.info(
        "order_answered",
        order_id=prepared.order_id,
        account_id=prepared.intent.account_id,
        mode=prepared.intent.mode,
        learnt=answer.event,
        reason=answer.details.get("reason"),
        state=state,
        correlation_id=prepared.intent.signal_id or prepared.intent.position_id,
    )
    return state


async def _record(
    desk: Desk, prepared: PreparedOrder, answer: Answer, details: Mapping[str, Any]
) -> OrderState:
    """Record an answer; a lost COMMIT is repeated, because repeating the record changes nothing."""
    intent = prepared.intent
    act = intent.purpose.lower()
    fault_point("record.before", act)
    for attempt in range(1, RECORD_TRIES + 1):
        try:
            state = await actions.record_answer(desk.database, prepared.order_id, answer.event, details)
        except CommitUnknown:
            continue
        except Exception as error:
            if is_connection_error(error) and attempt < RECORD_TRIES:
                continue
            log.critical("record_failed", order_id=prepared.order_id, learnt=answer.event, exc_info=True)
            if not is_connection_error(error):
                await _trip(desk, prepared, answer)
            raise RecordingFailed(prepared.order_id) from error
        fault_point("record.committed", act)
        return state
    raise RecordingFailed(prepared.order_id)


async def _trip(desk: Desk, prepared: PreparedOrder, answer: Answer) -> None:
    """Trip for an answer the Book refused; a trip that cannot be written must not save the process from its end."""
    intent = prepared.intent
    context = {"order_id": prepared.order_id, "learnt": answer.event}
    reason = TripReason.POSITION_TRACKING_FAILED
    try:
        await actions.trip(desk.database, intent.account_id, intent.mode, reason, context)
    except Exception:
        log.critical("trip_failed", order_id=prepared.order_id, exc_info=True)


def age_s(clock: Clock, asked_at_monotonic: float) -> Decimal:
    """Return the seconds since a question was sent, to the millisecond: the answer may be as old as that."""
    return Decimal(round((clock.monotonic() - asked_at_monotonic) * 1000)) / 1000
