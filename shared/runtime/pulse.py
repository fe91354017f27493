"""A loop's sign of life: who waits must still say that it waits."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.observability.metrics import LOOP_DURATION_S, LOOP_LAST_RUN_S
from shared.runtime.clock import Clock

QUICK_STALE_AFTER_S = 15.0
"""A loop that promised a sign of life this often waits for nobody outside: it is held to its turns."""
SLOW_AFTER_S = 5.0
SLOW_KEPT_FOR = timedelta(seconds=15)


class SlowTurns:
    """The turns of this process that took too long (R10), kept long enough to be told in the next heartbeats."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, datetime]] = {}

    def note(self, name: str, took_s: float, at: datetime) -> None:
        """Remember a turn, if it was slow."""
        if took_s > SLOW_AFTER_S:
            self._last[name] = (took_s, at)

    def recent(self, now: datetime) -> Mapping[str, str]:
        """Return the seconds of each loop's last slow turn, as text, if it was lately."""
        return {
            name: f"{took_s:.3f}" for name, (took_s, at) in self._last.items() if now - at <= SLOW_KEPT_FOR
        }


SLOW_TURNS = SlowTurns()
"""The process's own, as its metrics are."""


@dataclass(slots=True)
class LoopPulse:
    """Given to one loop; read by /health, /livez and /metrics.

    ``stopping`` is set when the process has been asked to end: a loop that drains looks at it between turns.
    """

    name: str
    clock: Clock
    stale_after_s: float
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    turns: int = 0
    last_run_at: datetime | None = None
    slowest_turn_s: float = 0.0
    _last_run_monotonic: float = 0.0

    def __post_init__(self) -> None:
        self._last_run_monotonic = self.clock.monotonic()

    def tick(self) -> None:
        """Say that a turn begins; call it at least every ``stale_after_s`` seconds, idle or not."""
        self.turns += 1
        self.last_run_at = self.clock.now()
        self._last_run_monotonic = self.clock.monotonic()
        LOOP_LAST_RUN_S.labels(self.name).set(self.last_run_at.timestamp())

    @contextmanager
    def working(self) -> Iterator[None]:
        """Tick, and measure how long the work of this turn takes; waiting belongs outside."""
        self.tick()
        began = self._last_run_monotonic
        ended = False
        try:
            yield
            ended = True
        finally:
            took_s = self.clock.monotonic() - began
            self.slowest_turn_s = max(self.slowest_turn_s, took_s)
            LOOP_DURATION_S.labels(self.name).observe(took_s)
            # A turn that failed waited for what failed, and is tried again: that is another matter.
            if ended and self.stale_after_s <= QUICK_STALE_AFTER_S:
                SLOW_TURNS.note(self.name, took_s, self.clock.now())

    @property
    def silent_for_s(self) -> float:
        """Return the seconds since the last tick, or since the pulse was made."""
        return self.clock.monotonic() - self._last_run_monotonic

    @property
    def is_stale(self) -> bool:
        """True when the loop has been silent longer than it promised."""
        return self.silent_for_s > self.stale_after_s

    def describe(self) -> dict[str, object]:
        """Return what /health shows of this loop."""
        return {
            "last_run": self.last_run_at.isoformat() if self.last_run_at else None,
            "silent_s": round(self.silent_for_s, 3),
            "turns": self.turns,
            "slowest_turn_s": round(self.slowest_turn_s, 6),
            "ok": not self.is_stale,
        }


RUNNING: list[LoopPulse] = []
"""The loops of this process while it serves: what its heartbeat answers for."""


def silent_loops() -> list[str]:
    """Return the loops that have been silent longer than they promised: who has one is not fit (R11)."""
    return [pulse.name for pulse in RUNNING if pulse.is_stale]
