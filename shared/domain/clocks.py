"""Other clocks than ours: when one is off (C13)."""

from dataclasses import dataclass
from decimal import Decimal

OFF_MS = Decimal(1000)
"""Beyond this a person is told, and LIVE does not start."""


@dataclass(frozen=True, slots=True)
class MeasuredClock:
    """A clock minus the database's, milliseconds, give or take ``error_ms``."""

    source: str
    offset_ms: Decimal
    error_ms: Decimal

    @property
    def is_off(self) -> bool:
        """True when it is more than a second off, whatever its measurement's error."""
        return abs(self.offset_ms) - self.error_ms > OFF_MS
