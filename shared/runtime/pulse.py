"""A loop's sign of life: who waits must still say that it waits."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from shared.observability.metrics import LOOP_DURATION_S, LOOP_LAST_RUN_S
from shared.runtime.clock import Clock


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
        try:
            yield
        finally:
            took_s = self.clock.monotonic() - began
            self.slowest_turn_s = max(self.slowest_turn_s, took_s)
            LOOP_DURATION_S.labels(self.name).observe(took_s)

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
