"""The waiting of signal_engine: wake, look, ask, write."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.signal_engine import actions
from services.signal_engine.decide import (
    Instance,
    Question,
    Situation,
    build_view,
    is_primary_fresh,
    make_signal,
)
from services.signal_engine.metrics import (
    BOOK_TO_SIGNAL_S,
    EVALUATIONS,
    FAILURES,
    PRIMARY_FRESH,
    SIGNALS,
    TURN_S,
)
from shared.bus.listen import Wakeup
from shared.db.engine import Database
from shared.db.patience import endure
from shared.domain.ids import StrategyId, WindowId
from shared.domain.modes import Mode
from shared.domain.windows import Side
from shared.observability.health import CheckResult
from shared.observability.logs import get_logger
from shared.runtime.clock import Clock
from shared.runtime.pulse import LoopPulse
from shared.strategies.base import Strategy, WindowView, Wish

POLL_S = 0.25
TURN_EVERY_S = 0.01
"""Wakes closer together than this are one."""
BEAT_EVERY_S = 2.0
PRIMARY_AGE_MAX_S = 30
"""An older primary feed makes this process unfit to trade on."""

log = get_logger()


@dataclass(slots=True)
class Engine:
    """What the loops share. Nothing a decision is made from outlives a turn."""

    database: Database
    wakeup: Wakeup
    clock: Clock
    instances: Sequence[Instance]
    strategies: Mapping[StrategyId, Strategy]
    ceiling: Mode
    instance: str
    refused: Mapping[str, str]
    """Strategies that cannot run, and why."""
    last_look_at: datetime | None = None
    stale: frozenset[str] = frozenset()
    said: set[tuple[str, str]] = field(default_factory=set)
    """What was reported already: a failure is logged once, however often it happens."""

    async def evaluate(self, pulse: LoopPulse) -> None:
        """Ask every strategy in its time whenever a market moved, and at least four times a second."""

        async def turn() -> None:
            await self.wakeup.wait(timeout_s=POLL_S)
            began = self.clock.monotonic()
            with pulse.working():
                await self.look_and_ask()
            took_s = self.clock.monotonic() - began
            TURN_S.observe(took_s)
            await asyncio.sleep(max(TURN_EVERY_S - took_s, 0.0))

        await endure(pulse, turn)

    async def look_and_ask(self) -> int:
        """Read everything anew, ask who is to be asked, write what they wish; returns the signals made."""
        sight = await actions.look(self.database, self.instances, self.ceiling)
        self.last_look_at = self.clock.now()
        situation = sight.situation
        self._note_stale(situation)
        if situation is None or sight.market is None:
            return 0
        made = 0
        views: dict[WindowId, WindowView] = {}
        for question in sight.asked:
            window = question.window
            if window.window_id not in views:
                views[window.window_id] = build_view(situation, sight.market, window)
            view = views[window.window_id]
            wish = await self._ask(question, view)
            signal = None if wish is None else make_signal(question, wish, view, situation.now)
            if signal is not None and await actions.make(self.database, signal, ordinal=question.ordinal):
                made += 1
                self._note_made(question, view, signal.side)
        return made

    async def _ask(self, question: Question, view: WindowView) -> Wish | None:
        """Return what a strategy wishes; one that raises is reported once a window and asked no less."""
        strategy_id = question.instance.strategy_id
        EVALUATIONS.labels(strategy_id).inc()
        try:
            return self.strategies[strategy_id].evaluate(view)
        except Exception as error:
            FAILURES.labels(strategy_id).inc()
            key = (strategy_id, question.window.window_id)
            if key not in self.said:
                self.said.add(key)
                log.exception(
                    "strategy_failed",
                    strategy_id=strategy_id,
                    window_id=question.window.window_id,
                )
                await actions.alert(
                    self.database,
                    kind="strategy_failed",
                    key=f"strategy_failed:{strategy_id}",
                    details={
                        "window_id": question.window.window_id,
                        "error": f"{type(error).__name__}: {error}",
                    },
                )
            return None

    def _note_stale(self, situation: Situation | None) -> None:
        """Log when the primary feed of an open window falls silent, and when it is back (R12)."""
        stale: frozenset[str] = frozenset()
        if situation is not None:
            instruments = {window.instrument for window in situation.windows}
            stale = frozenset(name for name in instruments if not is_primary_fresh(situation, name))
            self._note_unreadable(situation)
        if stale - self.stale:
            log.warning(
                "signals_halted", reason="the primary feed is stale", instruments=sorted(stale - self.stale)
            )
        if self.stale - stale:
            log.info("signals_resumed", instruments=sorted(self.stale - stale))
        self.stale = stale
        PRIMARY_FRESH.set(0 if stale else 1)

    def _note_unreadable(self, situation: Situation) -> None:
        for account, reason in situation.unreadable.items():
            if (account, reason) not in self.said:
                self.said.add((account, reason))
                log.error("controls_unreadable", account=account, reason=reason)

    def _note_made(self, question: Question, view: WindowView, side: Side) -> None:
        strategy_id = question.instance.strategy_id
        SIGNALS.labels(strategy_id).inc()
        book = view.book(side)
        if book is not None:
            BOOK_TO_SIGNAL_S.observe(max((self.clock.now() - book.received_at).total_seconds(), 0.0))
        log.info(
            "signal_made",
            account=question.instance.account_id,
            strategy_id=strategy_id,
            window_id=question.window.window_id,
            mode=question.mode.value,
            side=side.value,
            ordinal=question.ordinal,
        )

    async def beat(self, pulse: LoopPulse) -> None:
        """Say every two seconds that the engine lives (R11)."""

        async def turn() -> None:
            await actions.beat(
                self.database,
                instance=self.instance,
                healthy=self.last_look_at is not None,
                details={"stale": sorted(self.stale), "refused_strategies": dict(self.refused)},
            )
            await asyncio.sleep(BEAT_EVERY_S)

        await endure(pulse, turn)

    async def check_primary(self) -> CheckResult:
        """Answer whether the primary feed was heard within 30 s (O1); signals halt earlier and resume by themselves."""
        age_s = await actions.primary_age_s(self.database)
        halted = f"; signals halted: {', '.join(sorted(self.stale))}" if self.stale else ""
        if age_s is None:
            return CheckResult(ok=False, detail="never heard")
        return CheckResult(ok=age_s <= PRIMARY_AGE_MAX_S, detail=f"{age_s:.1f} s old{halted}")

    async def check_breaker(self) -> CheckResult:
        """Answer whether the breaker of every account served here is closed (O1)."""
        accounts = {each.account_id for each in self.instances}
        tripped = await actions.open_breakers(self.database, accounts, self.ceiling)
        return CheckResult(ok=not tripped, detail=f"open: {', '.join(tripped)}" if tripped else "")

    async def describe(self) -> dict[str, object]:
        """Return what /health shows besides its checks."""
        return {
            "strategies": [
                {"account": each.account_id, "strategy": each.strategy_id, "instance": each.instance_id}
                for each in self.instances
            ],
            "refused_strategies": dict(self.refused),
            "mode_ceiling": self.ceiling.value,
            "last_look": None if self.last_look_at is None else self.last_look_at.isoformat(),
        }
