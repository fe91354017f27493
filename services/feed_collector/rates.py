"""PURE: how many events came a second lately, told from counters that only grow (C14)."""

from collections import deque
from collections.abc import Mapping
from decimal import Decimal

NOTES_KEPT = 6
"""With a note every two seconds the rate is that of the last ten."""
_HUNDREDTH = Decimal("0.01")


class Rates:
    """Remembers the last few readings of the counters; a rate is told between the oldest and the newest."""

    def __init__(self) -> None:
        self._notes: deque[tuple[Decimal, Mapping[str, int]]] = deque(maxlen=NOTES_KEPT)

    def note(self, at_s: Decimal, totals: Mapping[str, int]) -> dict[str, Decimal]:
        """Take a reading at ``at_s`` (monotonic, seconds); return events a second by counter, none after the first.

        A counter that was not there at the older reading counts from zero: it began in between.
        """
        self._notes.append((at_s, dict(totals)))
        begun_s, before = self._notes[0]
        span_s = at_s - begun_s
        if span_s <= 0:
            return {}
        return {
            name: ((total - before.get(name, 0)) / span_s).quantize(_HUNDREDTH)
            for name, total in totals.items()
        }
