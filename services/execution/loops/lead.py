"""One executor: wait for the lock, lead while it is held, give it up cleanly (E1, E2, D7)."""

import asyncio
from collections.abc import Callable
from functools import partial

from services.execution import actions
from services.execution.loops.cancels import cancel
from services.execution.loops.confirmations import confirm
from services.execution.loops.desk import Desk
from services.execution.loops.entries import enter
from services.execution.loops.exits import leave
from services.execution.loops.halting import Halting
from services.execution.loops.heartbeats import keep_alive
from services.execution.loops.readings import (
    compare_dry_runs,
    keep_warm,
    read_balances,
    read_clock,
    read_markets,
)
from services.execution.loops.redemptions import redeem
from services.execution.loops.user_channel import hear
from services.execution.metrics import EPOCH, LEADING
from shared.db.lock import LockCandidate, LockLost, LockSession
from shared.db.patience import endure, is_passing
from shared.domain.breaker import TripReason
from shared.domain.modes import RANK, Mode
from shared.observability.logs import get_logger
from shared.runtime.pulse import LoopPulse

ASK_EVERY_S = 0.1
BEAT_EVERY_S = 2.0
log = get_logger()


class Leadership:
    """Whether this process leads, for /health and the heartbeat; nothing decides by it."""

    def __init__(self) -> None:
        self.session: LockSession | None = None
        self.orphaned: frozenset[Mode] = frozenset()

    @property
    def epoch(self) -> int:
        return 0 if self.session is None else self.session.epoch


async def lead(
    desk: Desk,
    leadership: Leadership,
    make_candidate: Callable[[], LockCandidate],
    halting: Halting,
    pulse: LoopPulse,
) -> None:
    """Stand by until the lock is free, then trade under it; when it is lost, stand by again."""
    candidate = make_candidate()
    try:
        while not pulse.stopping.is_set():
            pulse.tick()
            try:
                session = await candidate.try_acquire()
            except LockLost as lost:
                log.warning("lock_unreachable", reason=str(lost))
                await asyncio.sleep(ASK_EVERY_S)
                continue
            if session is None:
                await asyncio.sleep(ASK_EVERY_S)
                continue
            await _trade(desk, leadership, session, halting, pulse)
    finally:
        await candidate.close()


async def _trade(
    desk: Desk, leadership: Leadership, session: LockSession, halting: Halting, pulse: LoopPulse
) -> None:
    """Run every loop of the leader until the lock, or the database under it, is lost or we are asked to stop.

    Every loop of the lead has ended then, whatever it was at: the next epoch, ours or another's, holds what was being
    sent, as it does after a crash.
    """
    leadership.session = session
    LEADING.set(1)
    EPOCH.set(session.epoch)
    try:
        await _listen(desk, session)
        await _check_orphans(desk, leadership)
        await _run_loops(desk, session, halting, pulse)
    except Exception as ended:
        reasons = _reasons(ended)
        if not all(isinstance(reason, LockLost) or is_passing(reason) for reason in reasons):
            raise
        log.critical("lead_lost", epoch=session.epoch, reasons=[str(reason) for reason in reasons])
    finally:
        leadership.session = None
        LEADING.set(0)
        EPOCH.set(0)
        await session.close()


async def _listen(desk: Desk, session: LockSession) -> None:
    """Hear on the lock session whatever wakes a loop; a standby needs no waking. Raises LockLost."""
    for channel in desk.switchboard.channels:
        await session.hear(channel, partial(desk.switchboard.hand_on, channel))
    desk.switchboard.wake_all()  # what was said while nobody listened is in the tables


def _reasons(ended: Exception) -> list[Exception]:
    """Return every single failure of a group, or the one there was."""
    if isinstance(ended, ExceptionGroup):
        return [reason for each in ended.exceptions for reason in _reasons(each)]
    return [ended]


class LeadPulse(LoopPulse):
    """The pulse of the leading loop, for the loops of one lead: they stop with the process, or with their lead.

    They are cancelled, too, but before Python 3.12 asyncio.wait_for, by which a connection of the pool is waited for,
    forgets a cancellation that meets its result: a loop that only waited to be cancelled would go on for ever.
    """

    def __init__(self, pulse: LoopPulse) -> None:
        super().__init__(pulse.name, pulse.clock, pulse.stale_after_s)
        self._whole = pulse

    def tick(self) -> None:
        """Say it of the loop that leads: that one is looked at."""
        self._whole.tick()

    async def last(self) -> None:
        """Wait for the process to stop; ended, by that or with its lead, it stops the loops."""
        try:
            await self._whole.stopping.wait()
        finally:
            self.stopping.set()


async def _run_loops(desk: Desk, session: LockSession, halting: Halting, whole: LoopPulse) -> None:
    """Let what may be in the middle of a send come to its own end; what only reads is cut off after it."""
    pulse = LeadPulse(whole)
    async with asyncio.TaskGroup() as keeping:
        kept = [
            keeping.create_task(activity)
            for activity in (
                pulse.last(),
                session.hold(pulse),
                read_markets(desk, pulse),
                read_balances(desk, pulse),
                read_clock(desk, pulse),
                keep_warm(desk),
                compare_dry_runs(desk, pulse),
                halting.watch(desk, pulse),
                keep_alive(desk, pulse),
                *(hear(desk, account) for account in desk.executors.live_accounts()),
            )
        ]
        async with asyncio.TaskGroup() as working:
            working.create_task(enter(desk, session, pulse))
            working.create_task(leave(desk, session, pulse))
            working.create_task(redeem(desk, session, pulse))
            working.create_task(confirm(desk, pulse))
            working.create_task(cancel(desk, session, pulse))
        for task in kept:
            task.cancel()


async def _check_orphans(desk: Desk, leadership: Leadership) -> None:
    """Trip for rows of a mode this process may not act in: somebody's money is open and nobody minds it (D5)."""
    open_modes = await actions.open_modes(desk.database)
    orphaned = frozenset(mode for mode in open_modes if RANK[mode] > RANK[desk.ceiling])
    leadership.orphaned = orphaned
    for mode in sorted(orphaned):
        log.critical("mode_orphaned", mode=mode, ceiling=desk.ceiling)
        for account in await actions.accounts(desk.database):
            await actions.trip(
                desk.database, account.account_id, mode, TripReason.ORPHANED_MODE, {"ceiling": desk.ceiling}
            )


async def beat(desk: Desk, leadership: Leadership, pulse: LoopPulse) -> None:
    """Say every two seconds that execution lives and whether it leads."""

    async def turn() -> None:
        details = {"leading": leadership.session is not None, "epoch": leadership.epoch}
        await actions.beat(
            desk.database, instance=desk.instance, healthy=not leadership.orphaned, details=details
        )
        await asyncio.sleep(BEAT_EVERY_S)

    await endure(pulse, turn)
