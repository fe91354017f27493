"""What follows while the breaker stays open, timed from the trip in the Book (R2)."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType


class Stage(StrEnum):
    """What is done once a trip, in this order."""

    ALERT = "ALERT"
    CANCEL = "CANCEL"
    """All that rests is cancelled."""
    HALT = "HALT"
    """And again; entries stop until a reset, the account is lowered to PAPER, and the executor ends."""


AFTER: Mapping[Stage, timedelta] = MappingProxyType(
    {
        Stage.ALERT: timedelta(minutes=5),
        Stage.CANCEL: timedelta(minutes=15),
        Stage.HALT: timedelta(minutes=30),
    }
)
CANCELLING = frozenset({Stage.CANCEL, Stage.HALT})
LOG_EVERY = timedelta(seconds=30)


def due_stages(opened_at: datetime, now: datetime, done: Collection[Stage]) -> tuple[Stage, ...]:
    """Return the stages to take now, in their order; after a long silence that may be several at once."""
    return tuple(stage for stage in Stage if stage not in done and now - opened_at >= AFTER[stage])


def reminders(opened_at: datetime, now: datetime) -> int:
    """Return how often the open breaker should have been logged by now: at once, and every half minute."""
    return (now - opened_at) // LOG_EVERY + 1
