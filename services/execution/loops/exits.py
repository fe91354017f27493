"""Triggered positions are sold: plan → prepare → claim → send → record, until sold or the window is over (E15)."""

from services.execution import actions
from services.execution.decide import Wait, plan_exit
from services.execution.loops.desk import Desk, SendTicket, send
from services.execution.metrics import CLAIM_S, UNSELLABLE
from shared.db.lock import LockSession
from shared.domain.prepared import OrderIntent
from shared.domain.readings import ExitDue
from shared.observability.logs import get_logger
from shared.runtime.faultpoints import fault_point
from shared.runtime.pulse import LoopPulse

POLL_S = 0.25
_SHOWN = frozenset({"UNSELLABLE", "BELOW_VENUE_MINIMUM"})
log = get_logger()


async def leave(desk: Desk, session: LockSession, pulse: LoopPulse) -> None:
    """Sell every triggered position until asked to stop. Raises LockLost."""
    while not pulse.stopping.is_set():
        pulse.tick()
        unsellable = 0
        for due in await actions.exits_due(desk.database):
            plan = plan_exit(due)
            if isinstance(plan, OrderIntent):
                await _sell(desk, session, due, plan)
            elif plan.why in _SHOWN:
                unsellable += 1
                await _show(desk, due, plan)
        UNSELLABLE.set(unsellable)
        await desk.wakeups.exits.wait(timeout_s=POLL_S)


async def _show(desk: Desk, due: ExitDue, plan: Wait) -> None:
    """Tell a person that nobody buys: the window will settle it, but its stop did not hold (E19)."""
    await actions.alert(
        desk.database,
        kind="position_unsellable",
        key=f"unsellable:{due.position_id}",
        account=due.account_id,
        mode=due.mode,
        details={"position_id": due.position_id, "why": plan.why, "shares": due.held_shares},
    )


async def _sell(desk: Desk, session: LockSession, due: ExitDue, intent: OrderIntent) -> None:
    executor = desk.executors.find(due.mode, due.account_id)
    if executor is None:
        return  # ORPHANED_MODE is tripped where the lead begins
    prepared = executor.prepare(intent)
    fault_point("exit.prepared")
    claiming_at = desk.clock.boottime()
    evidence = {
        "reason": due.reason,
        "best_bid": None if due.book is None else due.book.best_bid,
        "attempt": due.attempts + 1,
        "mined_shares": due.mined_shares,
        "selling_shares": due.selling_shares,
    }
    claim = await actions.claim_exit(session, prepared, evidence=evidence, book=due.book)
    fault_point("exit.claimed")
    CLAIM_S.labels("EXIT").observe(desk.clock.boottime() - claiming_at)
    if claim.refused is not None:
        log.warning("exit_refused", position_id=due.position_id, reason=claim.refused)
        return
    ticket = SendTicket(session, desk.clock, claimed_at_boottime=claiming_at)
    await send(desk, executor, prepared, ticket, fee=due.fee, book=due.book)
