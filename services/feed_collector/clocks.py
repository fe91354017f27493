"""PURE: how far other clocks are from ours and from the database's (C13)."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from services.feed_collector.decide import milliseconds

KEPT_FOR = timedelta(seconds=60)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class DatabaseClock:
    """One reading of the database's clock between two of ours."""

    asked_at: datetime
    said_at: datetime
    answered_at: datetime

    @property
    def offset_ms(self) -> Decimal:
        """Return how far the database is ahead of us, milliseconds."""
        return milliseconds(self.said_at - (self.asked_at + (self.answered_at - self.asked_at) / 2))

    @property
    def error_ms(self) -> Decimal:
        return milliseconds((self.answered_at - self.asked_at) / 2)


@dataclass(frozen=True, slots=True)
class LeadReading:
    """The best reading of a clock that only shows itself in its messages."""

    least_ms: Decimal
    """The clock is at least so far ahead of ours: its quickest message left so long before it came, or after."""
    spread_ms: Decimal
    """How much slower the average message was: the network's part, in the same measure the error's."""


@dataclass(slots=True)
class _Bucket:
    most_us: int = 0
    sum_us: int = 0
    messages: int = 0

    def add(self, lead_us: int) -> None:
        self.most_us = lead_us if not self.messages else max(self.most_us, lead_us)
        self.sum_us += lead_us
        self.messages += 1


@dataclass(slots=True)
class Lead:
    """How far a feed's clock is ahead of ours by its messages of the last minute or two.

    A message cannot come before it was sent, so of many the one that seems to come earliest tells most: the others were
    longer on their way.
    """

    _begun_at: datetime | None = None
    _now: _Bucket = field(default_factory=_Bucket)
    _before: _Bucket = field(default_factory=_Bucket)

    def heard(self, source_at: datetime, received_at: datetime) -> None:
        """Take the times of one message."""
        if self._begun_at is None or received_at - self._begun_at > KEPT_FOR:
            self._before, self._now, self._begun_at = self._now, _Bucket(), received_at
        self._now.add((source_at - received_at) // _MICROSECOND)

    def best(self) -> LeadReading | None:
        """Return the reading, None before the first message."""
        heard = [bucket for bucket in (self._before, self._now) if bucket.messages]
        if not heard:
            return None
        most_us = max(bucket.most_us for bucket in heard)
        mean_us = sum(bucket.sum_us for bucket in heard) // sum(bucket.messages for bucket in heard)
        return LeadReading(Decimal(most_us) / 1000, Decimal(most_us - mean_us) / 1000)
