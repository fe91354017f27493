"""Winning tokens become cash: claim → ask → look at the balance → record (E21)."""

from datetime import timedelta
from decimal import Decimal

from services.execution import actions
from services.execution.decide import may_redeem_again
from services.execution.loops.desk import Desk
from services.execution.metrics import REDEMPTIONS
from shared.db.lock import LockSession
from shared.domain.ids import redemption_id
from shared.domain.modes import Mode
from shared.domain.outcomes import KnownFailure, Success, Unknown
from shared.domain.readings import PendingRedemption, Redeemable
from shared.domain.redemptions import RedemptionEvent, RedemptionState
from shared.observability.logs import get_logger
from shared.runtime.faultpoints import fault_point
from shared.runtime.pulse import LoopPulse
from shared.venue.executor import Executor, RedemptionRequest, RedemptionStage, RedemptionTicket
from shared.venue.refusals import ReadFailed, Refusal

POLL_S = 0.5
LATE_AFTER = timedelta(minutes=30)
LOST_AFTER = timedelta(minutes=1)
log = get_logger()


async def redeem(desk: Desk, session: LockSession, pulse: LoopPulse) -> None:
    """Redeem what is resolved, and follow each redemption to its cash, until asked to stop. Raises LockLost."""
    while not pulse.stopping.is_set():
        pulse.tick()
        for due in await actions.redeemable(desk.database):
            if may_redeem_again(now=due.now, last_finished_at=due.last_finished_at):
                await _begin(desk, session, due)
        for pending in await actions.pending_redemptions(desk.database):
            await _follow(desk, session, pending)
        await desk.wakeups.redemptions.wait(timeout_s=POLL_S)


async def _begin(desk: Desk, session: LockSession, due: Redeemable) -> None:
    executor = desk.executors.find(due.mode, due.account_id)
    if executor is None:
        return
    redemption = redemption_id(due.account_id, due.mode, due.window_id, attempt=due.attempts + 1)
    fault_point("redeem.before")
    claim = await actions.claim_redeem(session, due, redemption=redemption, cash_before_usdc=None)
    fault_point("redeem.claimed")
    if claim.refused is not None:
        return
    request = RedemptionRequest(
        redemption_id=redemption,
        window_id=due.window_id,
        condition_id=due.condition_id,
        up_token=due.up_token,
        down_token=due.down_token,
        version=due.version,
        neg_risk=due.neg_risk,
        up_shares=due.up_shares,
        down_shares=due.down_shares,
    )
    outcome = await executor.redeem(request)
    fault_point("redeem.answered")
    match outcome:
        case Success(value=ticket):
            event, details = RedemptionEvent.SUBMITTED, {"ticket": ticket.transaction_id}
        case KnownFailure(reason=reason, detail=detail):
            event, details = RedemptionEvent.FAILED, {"reason": f"{reason} {dict(detail)}"}
        case Unknown(reason=reason, detail=detail):
            # Recording LOST trips the breaker in the same transaction (P4).
            event, details = RedemptionEvent.LOST, {"reason": f"{reason} {dict(detail)}"}
    await actions.record_redemption(desk.database, redemption, event, details)
    fault_point("redeem.recorded")
    REDEMPTIONS.labels(event).inc()
    log.info("redemption_answered", redemption_id=redemption, window_id=due.window_id, learnt=event)


async def _follow(desk: Desk, session: LockSession, pending: PendingRedemption) -> None:
    """Record PAID when the tokens are gone from the wallet and the relayer is done; cash is then compared by others."""
    executor = desk.executors.find(pending.mode, pending.account_id)
    if executor is None:
        return
    if pending.state is RedemptionState.CLAIMED and pending.epoch == session.epoch:
        return  # being asked for right now
    if pending.now > pending.claimed_at + LATE_AFTER:
        await actions.alert(
            desk.database,
            kind="redemption_unpaid",
            key=f"unpaid:{pending.redemption_id}",
            account=pending.account_id,
            mode=pending.mode,
            details={"window_id": pending.window_id, "expected_usdc": pending.expected_usdc},
        )
    try:
        event, details = await _look(executor, pending)
    except (ReadFailed, Refusal) as problem:
        log.warning("redemption_unread", redemption_id=pending.redemption_id, reason=str(problem))
        return
    if event is None:
        return
    fault_point("redeem.proved")
    await actions.record_redemption(desk.database, pending.redemption_id, event, details)
    fault_point("redeem.closed")
    REDEMPTIONS.labels(event).inc()
    log.info(
        "redemption_ended", redemption_id=pending.redemption_id, window_id=pending.window_id, learnt=event
    )


async def _look(
    executor: Executor, pending: PendingRedemption
) -> tuple[RedemptionEvent | None, dict[str, Decimal | str]]:
    """Return what the relayer and the token balance prove.

    PAID is the receipt confirmed and the tokens gone, or, without a receipt, the tokens gone: whoever redeemed them,
    the venue paid. The amount is what the payout owes; the reconciler compares it with the cash that is there.
    """
    stage = RedemptionStage.PENDING
    if pending.ticket is not None:
        reading = await executor.redemption_state(RedemptionTicket(pending.ticket))
        stage = reading.stage
        if stage is RedemptionStage.FAILED:
            return RedemptionEvent.FAILED, {"reason": f"RELAYER {reading.detail}"}
    if pending.mode is not Mode.LIVE:
        paid = pending.state is RedemptionState.SUBMITTED
        return (RedemptionEvent.PAID if paid else RedemptionEvent.FAILED), {
            "paid_usdc": pending.expected_usdc,
            "reason": "PAPER" if paid else "EXECUTOR_CHANGED",
        }
    held = [
        token
        for token, shares in (
            (pending.up_token, pending.up_shares),
            (pending.down_token, pending.down_shares),
        )
        if shares > 0
    ]
    balances = await executor.balances(held, refresh=True)
    if balances is None:
        return None, {}
    gone = all(balances.tokens.get(token, Decimal(1)) == 0 for token in held)
    return _judge(pending, stage, gone=gone)


def _judge(
    pending: PendingRedemption, stage: RedemptionStage, *, gone: bool
) -> tuple[RedemptionEvent | None, dict[str, Decimal | str]]:
    """Return what receipt and token balance prove together; None while they prove nothing."""
    if gone and (pending.ticket is None or stage is RedemptionStage.CONFIRMED):
        return RedemptionEvent.PAID, {"paid_usdc": pending.expected_usdc, "reason": f"TOKENS_GONE {stage}"}
    if not gone and pending.ticket is None and pending.now > pending.claimed_at + LOST_AFTER:
        # Nobody has a receipt and the tokens are still ours: asking again is safe, a second payout pays nothing.
        return RedemptionEvent.FAILED, {"reason": "NO_RECEIPT"}
    return None, {}
