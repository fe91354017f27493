"""When each posted order reached the fake venue, whatever became of it there. PURE.

An order that is refused, lost or held back never becomes one of the engine's orders; it arrived all the same, and who
judges a sender wants to know when. Ids are reckoned when someone asks: that is slow beside taking an order in.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

KEPT_MAX: Final = 200_000


@dataclass(slots=True)
class Arrival:
    """One posted order on the wire. ``http`` is None while it was not answered, ``fault`` what struck its request."""

    leg: Any
    arrived_ms: int
    answered_ms: int | None = None
    http: int | None = None
    fault: str = ""
    order_id: str | None = None


@dataclass(slots=True)
class Arrivals:
    """All of them, oldest first."""

    kept: deque[Arrival] = field(default_factory=lambda: deque(maxlen=KEPT_MAX))

    def note(self, payload: Any, now_ms: int) -> list[Arrival]:
        """Keep what one request posts: an order, or a batch."""
        legs = payload if isinstance(payload, list) else [payload]
        arrived = [Arrival(leg, now_ms) for leg in legs]
        self.kept.extend(arrived)
        return arrived

    def of(self, wallet: str | None, identity: Callable[[Any], str]) -> Iterator[Arrival]:
        """Yield the arrivals of a wallet (lower case), or all, each with its order's id; "" for no order at all."""
        for arrival in self.kept:
            if wallet is None or posted(arrival.leg, "maker").lower() == wallet:
                if arrival.order_id is None:
                    arrival.order_id = identity(arrival.leg)
                yield arrival


def posted(leg: Any, key: str) -> str:
    """Return a field of a posted order as it was sent, "" where there is none."""
    order = leg.get("order") if isinstance(leg, dict) else None
    return str(order.get(key, "")) if isinstance(order, dict) else ""
