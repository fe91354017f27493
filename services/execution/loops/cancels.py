"""Orders that rest: followed by their own readings, and cancelled when they must be (E16, E20).

Cancel: claim → DELETE → record, then the order's reading and its trades end it, for no answer to a cancel says how much
had filled. A cancel this process finds half-way is read like that, too: another cancel of the same order harms nobody.
"""

from services.execution import actions
from services.execution.executors import LiveAccount
from services.execution.loops.desk import Desk
from services.execution.metrics import CANCELS
from shared.db.lock import LockSession
from shared.domain.cancels import CancelAnswer, Resting, end_of, is_untold, why_cancel
from shared.domain.modes import Mode
from shared.domain.money import ZERO
from shared.domain.orders import OrderEvent, OrderState
from shared.domain.outcomes import KnownFailure, Outcome, Success, Unknown
from shared.observability.logs import get_logger
from shared.runtime.faultpoints import fault_point
from shared.runtime.pulse import LoopPulse
from shared.venue.accounts import Cancellation, OrderReading
from shared.venue.executor import NOT_SENT
from shared.venue.refusals import ReadFailed, Refusal

POLL_S = 1.0
log = get_logger()


async def cancel(desk: Desk, session: LockSession, pulse: LoopPulse) -> None:
    """Look at every resting order until asked to stop. Raises LockLost."""
    while not pulse.stopping.is_set():
        pulse.tick()
        for order in await actions.resting_orders(desk.database):
            if order.mode is not Mode.LIVE:
                await _end_on_paper(desk, session, order)
                continue
            live = desk.executors.live(order.account_id)
            if live is not None:  # else ORPHANED_MODE is tripped where the lead begins
                await _look(desk, session, live, order)
        await desk.wakeups.cancels.wait(timeout_s=POLL_S)


async def _look(desk: Desk, session: LockSession, live: LiveAccount, order: Resting) -> None:
    reason = why_cancel(order)
    if reason is not None and not await _cancel(desk, session, live, order, reason):
        return
    for found in await actions.resting_orders(desk.database):
        if found.order_id == order.order_id:
            await _follow(desk, live, found)


async def _cancel(desk: Desk, session: LockSession, live: LiveAccount, order: Resting, reason: str) -> bool:
    refused = await actions.claim_cancel(session, order.order_id, reason)
    fault_point("cancel.claimed")
    if refused is not None:
        return False
    outcome = await live.cancelling.cancel(order.order_id)
    fault_point("cancel.answered")
    answer, details = read_cancel(order, outcome)
    state = await actions.record_cancel(desk.database, order.order_id, answer, {**details, "why": reason})
    fault_point("cancel.recorded")
    CANCELS.labels(reason, answer).inc()
    log.info("cancel_answered", order_id=order.order_id, why=reason, learnt=answer, state=state)
    return True


def read_cancel(order: Resting, outcome: Outcome[Cancellation]) -> tuple[CancelAnswer, dict[str, object]]:
    """Return what the answer to a cancel says, in the words of the Book."""
    match outcome:
        case Success(value=cancellation):
            ours = order.order_id.lower()
            if ours in {cancelled.lower() for cancelled in cancellation.cancelled}:
                return CancelAnswer.CANCELLED, {}
            kept = {name.lower(): why for name, why in cancellation.not_cancelled.items()}
            if ours in kept:
                return CancelAnswer.NOT_CANCELLED, {"reason": kept[ours]}
            return CancelAnswer.LOST, {"reason": "NOT_NAMED"}
        case KnownFailure(reason=reason, detail=detail, trips=trips):
            answer = CancelAnswer.NOT_SENT if reason == NOT_SENT else CancelAnswer.REFUSED
            return answer, {"reason": reason, "answer": dict(detail), "trips": trips}
        case Unknown(reason=reason, detail=detail):
            # Whoever records LOST trips the breaker in the same transaction (P4).
            return CancelAnswer.LOST, {"reason": reason, "answer": dict(detail)}


async def _follow(desk: Desk, live: LiveAccount, order: Resting) -> None:
    """Record what the venue shows of an order: its trades first, then its end."""
    try:
        reading = await live.reading.order(order.order_id)
        ended = reading is not None and await _record_end(desk, live, order, reading)
    except (ReadFailed, Refusal) as problem:
        log.warning("resting_order_unread", order_id=order.order_id, reason=str(problem))
        ended = False
    if not ended and is_untold(order):
        details = {"reason": "CANCEL_NOT_TOLD"}
        await actions.record_cancel(desk.database, order.order_id, CancelAnswer.LOST, details)


async def _record_end(desk: Desk, live: LiveAccount, order: Resting, reading: OrderReading) -> bool:
    """Return whether the order's state moved."""
    traded = ZERO
    if reading.matched_shares:
        listed = await live.reading.trades(order.condition_id, order.fee)
        ours = tuple(trade for trade in listed if trade.order_id.lower() == order.order_id.lower())
        await actions.record_trades(desk.database, ours, "cancel")
        traded = sum((trade.shares for trade in ours), ZERO)
    event = end_of(order, reading.event, all_traded=traded >= reading.matched_shares)
    if event is None:
        return False
    details = {
        "status": reading.status_text,
        "matched_shares": reading.matched_shares,
        "traded_shares": traded,
    }
    state = await actions.record_end(desk.database, order.order_id, event, details)
    log.info("resting_order_moved", order_id=order.order_id, learnt=event, state=state)
    return True


async def _end_on_paper(desk: Desk, session: LockSession, order: Resting) -> None:
    """Paper rests nowhere: what must go is gone at once."""
    reason = why_cancel(order)
    if order.state is OrderState.LIVE and (
        reason is None or await actions.claim_cancel(session, order.order_id, reason) is not None
    ):
        return
    await actions.record_end(desk.database, order.order_id, OrderEvent.KILLED, {"reason": "PAPER"})
