"""The only reader of time.

Everything else takes a ``Clock``, so a test says what time it is and a replay is the same twice.
"""

import time
from datetime import UTC, datetime
from typing import Protocol

_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Elsewhere than on Linux CLOCK_MONOTONIC is the one that counts through sleep."""


class Clock(Protocol):
    """Three times, because no one of them is right for everything."""

    def now(self) -> datetime:
        """Return the wall time, aware, UTC: what is written in rows. It may jump."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never run backwards: what durations are made of."""
        ...

    def boottime(self) -> float:
        """Return seconds since boot, counted through suspension too: what leases are made of (D7).

        ``CLOCK_MONOTONIC`` stands still while a laptop or a virtual machine sleeps, and a lease measured by it would
        outlive the server's patience.
        """
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def boottime(self) -> float:
        return time.clock_gettime(_BOOT_CLOCK)
