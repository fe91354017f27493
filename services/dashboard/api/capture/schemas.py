"""What the capture panel shows. Ages and spans are seconds by the database's clock; counts are of the last day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class WindowShare:
    """What one window received of a feed, of what it should have (FM3)."""

    window_id: str
    received: int
    expected: int
    tainted: bool


@dataclass(frozen=True, slots=True)
class FeedScreen:
    """One feed of one symbol (FM1, FM4, FM5)."""

    feed: str
    symbol: str
    price: Decimal | None
    age_s: Decimal | None
    stale: bool
    ticks: int
    per_second: Decimal | None = None
    """New prices a second lately; None where no collector has said so in the last ten seconds."""
    duplicates: int = 0
    out_of_order: int = 0
    malformed: int = 0
    """Frames of the feed nobody understood, whichever symbol they were of."""
    windows: Sequence[WindowShare] = ()
    """The newest windows that were counted, oldest first."""


@dataclass(frozen=True, slots=True)
class SnapshotScreen:
    """How often the books of a symbol are written down (FM4)."""

    symbol: str
    per_second: Decimal | None
    wanted: int


@dataclass(frozen=True, slots=True)
class GapScreen:
    """A silence that lasts."""

    feed: str
    symbol: str
    started_at: datetime
    lasts_s: Decimal


@dataclass(frozen=True, slots=True)
class ClockScreen:
    """A clock minus the database's, milliseconds, give or take ``error_ms`` (FM2)."""

    source: str
    offset_ms: Decimal
    error_ms: Decimal
    age_s: Decimal
    off: bool
    """More than a second off, whatever the error: LIVE does not start (C13)."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Our direction against the venue's in the windows that were resolved (FM6)."""

    agreed: int
    differed: int
    undecided: int
    """Our candidate boundaries disagree, or the venue paid half."""
    unjudged: int
    unresolved: int
    """Over for long, and the venue has not spoken."""
    differing: Sequence[str]
    """The newest windows in which we differ."""


@dataclass(frozen=True, slots=True)
class TokenCheck:
    """The token ids of the windows that trade now, against the market as execution last read it (FM8)."""

    due: int
    validated: int
    """Read within the last 30 seconds and the same."""
    differing: Sequence[str]
    oldest_s: Decimal | None


@dataclass(frozen=True, slots=True)
class TaintScreen:
    """How many windows a feed's silences fell into (FM13); one may be counted under several feeds."""

    feed: str
    windows: int


@dataclass(frozen=True, slots=True)
class PoolScreen:
    """The database connections of a process in use at its last beat (FM25)."""

    service: str
    instance: str
    used: int
    size: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """What was received and is not stored (FM3)."""

    queued: int
    dropped: int
    """Prices since the collector's start that a full queue lost."""
    put_aside: int
    """Batches waiting to be replayed."""


@dataclass(frozen=True, slots=True)
class CaptureScreen:
    """The recording and its faults."""

    waiting: Waiting | None
    """None: no collector has beaten in the last ten seconds."""
    snapshots: Sequence[SnapshotScreen]
    gaps: Sequence[GapScreen]
    """Those that last now, oldest first."""
    gaps_of_day: int
    longest_gap_s: Decimal | None
    clocks: Sequence[ClockScreen]
    settled: Settled
    without_ids: Sequence[str]
    """Windows that trade or soon will, and cannot: the venue has not told their condition or tokens (FM7)."""
    tokens: TokenCheck
    windows_of_day: int
    tainted_of_day: int
    tainted_by: Sequence[TaintScreen]
    pools: Sequence[PoolScreen]
    server_used: int
    server_size: int
