"""What the fake venue does later, in order of time. PURE: the one who pumps it brings the time."""

import heapq
from collections.abc import Callable
from itertools import count

Action = Callable[[int], None]
"""What is done; gets the moment it was due, Unix ms."""


class Timetable:
    """Actions by their moment; those of one moment in the order they were planned."""

    def __init__(self) -> None:
        self._due: list[tuple[int, int, Action]] = []
        self._places = count()
        self.now_ms = 0
        """The moment the pump brought last; later than the moment an action was due after a stall."""
        self.on_earlier: Callable[[], None] = lambda: None
        """Called when something is planned before everything else: the pump must wake."""

    def at(self, when_ms: int, action: Action) -> None:
        """Plan an action."""
        earlier = not self._due or when_ms < self._due[0][0]
        heapq.heappush(self._due, (when_ms, next(self._places), action))
        if earlier:
            self.on_earlier()

    def next_ms(self) -> int | None:
        """Return when the next action is due, None when nothing is planned."""
        return self._due[0][0] if self._due else None

    def run_until(self, now_ms: int) -> None:
        """Do everything due at or before ``now_ms``, also what that plans."""
        self.now_ms = now_ms
        while self._due and self._due[0][0] <= now_ms:
            when_ms, _place, action = heapq.heappop(self._due)
            action(when_ms)
