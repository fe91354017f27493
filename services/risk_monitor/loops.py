"""What the risk monitor waits for: moves of the market, changes of positions and gates, and the clock."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

from services.risk_monitor import actions, metrics, queries
from services.risk_monitor.decide import (
    Blindness,
    Judgement,
    Watched,
    has_price_rule,
    judge,
)
from services.risk_monitor.queries import Account
from shared.bus.channels import MarketMoved
from shared.bus.listen import Wakeup, Woken
from shared.db.engine import Database
from shared.db.patience import endure, endure_every, is_passing
from shared.domain.exits import ExitDecision
from shared.domain.ids import PositionId
from shared.domain.money import Price
from shared.observability.logs import get_logger
from shared.runtime.clock import Clock
from shared.runtime.pulse import LoopPulse

POLL_S = 0.25
LOOKS_APART_S = 0.02
"""Moves of the market that come closer together are looked at together."""
VERIFY_EVERY_S = 2.0
VERIFY_WITHIN_S = 8.0
LOOKS_MAX = 3
"""How often a verification starts anew because the Book moved under it."""
CHECK_EVERY_S = 2.0
BEAT_EVERY_S = 2.0
SILENT_AFTER_S = 5.0
"""A watch that has not looked for so long is not fit to be traded under."""
BLIND_GRACE_S = 1.0
"""A position just opened is verified within this; only what lasts longer is told to a person."""
log = get_logger()


@dataclass(slots=True)
class Progress:
    """What the loops tell /health and the heartbeat; nothing is decided from it."""

    clock: Clock
    watched_at: float = 0.0
    verified: bool = False
    """The verifier has looked at everything held, at least once."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Accounts whose holdings could not be read at the venue, and why."""
    broken: Mapping[str, str] = field(default_factory=dict)
    """Books that were not whole when last checked: each stands tripped by itself, and stops nobody else."""

    def problems(self) -> list[str]:
        """Return why entries should wait; empty when this service is fit."""
        found = [f"{name}: {why}" for name, why in self.unreadable.items()]
        if self.clock.monotonic() - self.watched_at > SILENT_AFTER_S:
            found.append("positions were not looked at")
        return found


@dataclass(slots=True)
class Watch:
    """The exit loop: every position, one fresh read a turn."""

    database: Database
    wakeup: Wakeup
    clock: Clock
    progress: Progress
    _watching: bool = False
    _blind: dict[tuple[PositionId, Blindness], float | None] = field(default_factory=dict)
    """Since when each blindness lasts, None once a person was told; nothing is decided from it."""

    async def run(self, pulse: LoopPulse) -> None:
        """Look at every wake-up, and every quarter of a second whatever is announced (D6)."""

        async def turn() -> None:
            if self._matters(await self.wakeup.wait(timeout_s=POLL_S)):
                with pulse.working():
                    await self.look()
                await asyncio.sleep(LOOKS_APART_S)

        await endure(pulse, turn)

    def _matters(self, woken: Woken) -> bool:
        """Return whether to look: prices matter while one may decide, everything else is announced by itself."""
        others = any(not isinstance(message, MarketMoved) for message in woken.messages)
        # A market that never rests never lets the wait run out: the poll behind the channel is by the clock.
        overdue = self.clock.monotonic() - self.progress.watched_at >= POLL_S
        return self._watching or woken.everything or others or overdue

    async def look(self) -> None:
        """Judge every position on one fresh read, and act."""
        positions = await self.database.retry_read(queries.watched)
        self.progress.watched_at = self.clock.monotonic()
        self._watching = any(has_price_rule(watched.facts) for watched in positions)
        metrics.WATCHED.set(len(positions))
        blind: dict[tuple[PositionId, Blindness], float | None] = {}
        for watched in positions:
            judgement = judge(watched)
            if judgement.blind is not None:
                key = (watched.position_id, judgement.blind)
                since = self._blind.get(key, self.clock.monotonic())
                blind[key] = await self._tell(watched, judgement.blind, since=since)
            await self._act(watched, judgement)
        for position_id, why in self._blind.keys() - blind.keys():
            if self._blind[position_id, why] is None:
                await actions.report_seen(self.database, position_id, why)
        self._blind = blind
        metrics.BLIND.set(len(blind))

    async def _act(self, watched: Watched, judgement: Judgement) -> None:
        if judgement.peak is not None:
            await actions.note_peak(self.database, watched, Price(judgement.peak))
        if judgement.exit is not None and await actions.ask_exit(self.database, watched, judgement.exit):
            self._note(watched, judgement.exit)

    def _note(self, watched: Watched, decision: ExitDecision) -> None:
        metrics.EXITS.labels(decision.reason).inc()
        if decision.trigger_price is not None and watched.book is not None:
            age = self.clock.now() - watched.book.received_at
            metrics.BOOK_TO_EXIT_S.observe(max(age.total_seconds(), 0.0))
        log.info(
            "exit_requested",
            position_id=watched.position_id,
            account_id=watched.account_id,
            reason=decision.reason,
            trigger_price=decision.trigger_price,
            observed_price=decision.observed_price,
        )

    async def _tell(self, watched: Watched, why: Blindness, *, since: float | None) -> float | None:
        """Warn and alert once, after the grace of a position that has just opened; returns what to remember."""
        if since is None or self.clock.monotonic() - since < BLIND_GRACE_S:
            return since
        log.warning("exit_undecidable", position_id=watched.position_id, why=why)
        await actions.report_blind(self.database, watched, why)
        return None


@dataclass(slots=True)
class Integrity:
    """Proves, on a schedule, that ledger and history are whole, keeps the day's figures, and drops old looks."""

    database: Database
    instance: str
    progress: Progress

    async def run(self, pulse: LoopPulse) -> None:
        await endure_every(pulse, CHECK_EVERY_S, self.check)

    async def check(self) -> None:
        """Do what is due; the actions claim it, so that two instances do it once (T5)."""
        broken, now = dict(self.progress.broken), self.progress.clock.now()
        gates = await self.database.retry_read(queries.gates)
        for account, group in groupby(gates, key=lambda gate: gate[0]):
            modes = [mode for _, mode in group]
            await self._prove(
                broken,
                f"audit:{account}",
                (account, modes[0]),
                partial(actions.check_audit, self.database, account, modes, now=now, instance=self.instance),
            )
        for gate in gates:
            await self._prove(
                broken,
                f"ledger:{gate[0]}/{gate[1]}",
                gate,
                partial(actions.check_ledger, self.database, gate, now=now, instance=self.instance),
            )
        self.progress.broken = {name: why for name, why in broken.items() if why}
        metrics.CAPITAL_INVARIANT.set(0 if self.progress.broken else 1)
        await actions.keep_performance(self.database, now=now, instance=self.instance)
        if gone := await actions.drop_old_looks(self.database, now=now, instance=self.instance):
            log.info("old_looks_dropped", rows=gone)

    async def _prove(
        self,
        broken: dict[str, str],
        name: str,
        account: Account,
        check: Callable[[], Awaitable[list[str] | None]],
    ) -> None:
        """Note what a check found. One that could not be made is told, and the book is not called whole (P3)."""
        try:
            found = await check()
        except Exception as error:
            if not is_passing(error):
                raise
            log.warning("integrity_unchecked", check=name, reason=type(error).__name__)
            broken[name] = "could not be checked"
            await actions.alert_unreadable(self.database, "integrity_unchecked", account, name)
            return
        if found:
            log.error("integrity_broken", check=name, found=found)
        if found is not None:
            broken[name] = "; ".join(found)


@dataclass(slots=True)
class Heart:
    """Beats while the other loops are fit: who cannot report must not be traded under (R11)."""

    database: Database
    instance: str
    progress: Progress

    async def run(self, pulse: LoopPulse) -> None:
        await endure_every(pulse, BEAT_EVERY_S, self.beat)

    async def beat(self) -> None:
        """Write the row entries wait for."""
        problems = self.progress.problems()
        await actions.beat(
            self.database, instance=self.instance, healthy=not problems, details={"problems": problems}
        )
