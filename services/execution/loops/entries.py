"""Signals become orders: facts → gate → prepare → claim → send → record."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.execution import actions
from services.execution.decide import EntryDecision, entry_intent, judge_entry
from services.execution.loops.desk import Desk, SendTicket, send
from services.execution.metrics import CLAIM_S, SIGNAL_TO_SENT_S, SIGNALS
from shared.bus.channels import SignalCreated
from shared.db.lock import LockSession
from shared.domain.ids import SignalId
from shared.domain.readings import GateRead
from shared.domain.refusals import Refusal
from shared.domain.signals import SignalState
from shared.observability.logs import get_logger
from shared.runtime.faultpoints import fault_point
from shared.runtime.pulse import LoopPulse
from shared.venue.executor import Executor
from shared.venue.refusals import Refusal as VenueRefusal

POLL_S = 0.25
AT_ONCE_MAX = 8
log = get_logger()


@dataclass(slots=True)
class _Under:
    """The signals somebody is working on this very moment, so that a second look does not start them again.

    It decides nothing: a signal is decided by its row, and a second claim of it is refused there.
    """

    way: set[SignalId] = field(default_factory=set)
    turned_away: bool = False
    """A signal found no room: whoever is done next has the table looked at."""
    ended: bool = False
    """The loop is over, or one of them failed and the lead with it: nobody begins on what is heard now."""


async def enter(desk: Desk, session: LockSession, pulse: LoopPulse) -> None:
    """Decide every new signal until asked to stop; sends under way are finished. Raises LockLost."""
    if problem := await actions.warm_up(session):
        log.warning("claims_not_warm", reason=problem)
    under = _Under()
    async with asyncio.TaskGroup() as group:

        def begin(signals: Iterable[SignalId]) -> None:
            for signal in signals:
                if signal in under.way or under.ended:
                    continue
                if len(under.way) >= AT_ONCE_MAX:
                    under.turned_away = True
                    return
                under.way.add(signal)
                group.create_task(_work_on(desk, session, signal, under))

        # A notification names its signal, which is begun on at once; the table is looked at when anything else woke us,
        # and as often as the poll says.
        await session.hear(SignalCreated.channel, lambda payload: begin([SignalId(payload)]))
        try:
            while not pulse.stopping.is_set():
                pulse.tick()
                await desk.wakeups.entries.wait(timeout_s=POLL_S)
                begin(await actions.new_signals(desk.database))
        finally:
            under.ended = True


async def _work_on(desk: Desk, session: LockSession, signal: SignalId, under: _Under) -> None:
    try:
        decided = await _decide(desk, session, signal)
    except BaseException:
        under.ended = True
        raise
    finally:
        under.way.discard(signal)
    if decided and under.turned_away:
        under.turned_away = False
        desk.wakeups.entries.add_everything()


async def _decide(desk: Desk, session: LockSession, signal: SignalId) -> bool:
    """Make a signal an order or refuse it; False when it is left as it is."""
    try:
        read = await actions.read_gate(session, signal)
    except actions.FactsUnreadable as problem:
        # Refused, not raised: who cannot read one signal has positions to look after (P3).
        await _refuse(desk, signal, Refusal.FACTS_UNREADABLE, {"unreadable": str(problem)})
        return True
    if read is None or read.signal_state is not SignalState.NEW:
        return False  # somebody's word, not a signal; or unreadable now; or decided by whoever was faster
    decision = judge_entry(read, ceiling=desk.ceiling, own_now=desk.clock.now())
    refused = decision.verdict.refused
    executor = desk.executors.find(read.signal.mode, read.signal.account_id)
    if refused is None and executor is None:
        refused = Refusal.MODE_NOT_ALLOWED
    if refused in _PASSING:
        return False  # nobody decides now: it stays NEW for the leader, or expires
    if refused is not None:
        await _refuse(desk, signal, refused, decision.evidence)
        return True
    assert executor is not None, "a mode nobody acts in is refused"
    await _order(desk, session, executor, read, decision)
    return True


_PASSING = frozenset({Refusal.NOT_LEADER, Refusal.RECONCILIATION_PENDING})


async def _refuse(desk: Desk, signal: SignalId, why: Refusal, evidence: Mapping[str, Any]) -> None:
    await actions.refuse(desk.database, signal, why, evidence)
    SIGNALS.labels(why).inc()
    log.info("signal_refused", correlation_id=signal, reason=why)


async def _order(
    desk: Desk, session: LockSession, executor: Executor, read: GateRead, decision: EntryDecision
) -> None:
    proposal, market, signal = decision.proposal, read.market, read.signal
    assert proposal is not None, "the gate refuses a signal without a lawful order"
    assert market is not None, "the gate refuses a market that was not read"
    assert decision.cap_usdc is not None, "the gate refuses what has no cap"
    try:
        prepared = executor.prepare(entry_intent(read, proposal))
    except VenueRefusal as problem:
        evidence = {**decision.evidence, "prepare": str(problem)}
        await _refuse(desk, signal.signal_id, Refusal.MARKET_UNSUPPORTED, evidence)
        return
    fault_point("prepare.done")
    claiming_at = desk.clock.boottime()
    claim = await actions.claim_entry(
        session,
        prepared,
        reserved_usdc=proposal.reservation_usdc,
        cap_usdc=decision.cap_usdc,
        evidence=decision.evidence,
        book=read.book,
    )
    fault_point("claim.committed")
    took_s = desk.clock.boottime() - claiming_at
    if claim.refused is None:
        ticket = SendTicket(session, desk.clock, claimed_at_boottime=claiming_at)
        await send(desk, executor, prepared, ticket, fee=market.fee, book=read.book)
        if ticket.sent_at is not None:
            SIGNAL_TO_SENT_S.observe((ticket.sent_at - read.created_at).total_seconds())
    else:
        if claim.refused == Refusal.SERIALIZATION_CONFLICT:
            await actions.refuse_in_conflict(desk.database, signal, decision.evidence)
        log.info("signal_refused", correlation_id=signal.signal_id, reason=claim.refused)
    # Counted last: nothing stands between a claim and its order.
    CLAIM_S.labels("ENTRY").observe(took_s)
    SIGNALS.labels(claim.refused or "ORDERED").inc()
