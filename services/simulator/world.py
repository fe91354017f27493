"""The seam between the fake world (markets, liquidity, prices) and the fake venue that serves it.

A world decides what happens: which windows exist, what liquidity they show at each millisecond, what the
price feeds say and who wins. The venue (exchange, HTTP, streams) only serves it. Times are Unix milliseconds,
prices dollars, sizes shares. PURE: nothing here waits, reads a clock or draws chance.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Protocol

Winner = Literal["UP", "DOWN"]
FeedName = Literal["chainlink", "chainlink_twap", "binance_trade", "binance_book", "pyth"]
Levels = tuple[tuple[Decimal, Decimal], ...]
"""(price, size) pairs, best first."""

ONE_DOLLAR = Decimal(1)


@dataclass(frozen=True, slots=True)
class SimWindow:
    """One market as the fake venue lists it; ``recorded`` says which recording stands behind it."""

    slug: str  # "btc-updown-15m-1791241200": the epoch is the start of the window in Unix seconds
    asset: str  # "btc"
    duration: str  # "15m": the label of the series, also when the replay is shorter
    series_id: str
    series_slug: str
    listed_at_ms: int
    opens_at_ms: int
    closes_at_ms: int
    resolves_at_ms: int
    condition_id: str  # 0x and 64 hex digits
    question_id: str
    up_token: str  # decimal string of a 256-bit integer whose bits 40..103 are not all zero (Protocol V1)
    down_token: str
    tick: Decimal
    min_size: Decimal
    fee_rate: Decimal
    fee_exponent: int
    fee_taker_only: bool
    fee_type: str
    lookback_s: int  # seconds of the time-weighted average, in time of the replay
    strike: Decimal  # the average at the open
    final: Decimal  # the average at the close; UP wins when it is at or above the strike
    winner: Winner
    question: str
    version: str = "v1"
    neg_risk: bool = False
    recorded: str = ""


@dataclass(frozen=True, slots=True)
class Ladder:
    """The makers' liquidity of the UP token from ``at_ms`` on, best first, prices on the window's tick."""

    at_ms: int
    bids: Levels
    asks: Levels

    def mirrored(self) -> "Ladder":
        """Return the same liquidity seen from the other token: price 1 - p, sides swapped."""
        return Ladder(self.at_ms, bids=_complement(self.asks), asks=_complement(self.bids))


@dataclass(frozen=True, slots=True)
class FeedTick:
    """One price of one feed. ``at_ms`` is when it must be sent, ``observed_ms`` the source's own stamp."""

    at_ms: int
    observed_ms: int
    asset: str
    feed: FeedName
    price: Decimal
    extra: Mapping[str, Any] = field(default_factory=dict)
    """chainlink_twap: window_seconds. binance_trade: trade_id, quantity, buyer_is_maker.
    binance_book: update_id, bid, bid_size, ask, ask_size. pyth: confidence, slot."""


class World(Protocol):
    """Everything that happens outside the venue; the same seed and start give the same world."""

    def windows_until(self, at_ms: int) -> Sequence[SimWindow]:
        """Return every window listed at or before ``at_ms``, in order of listing."""
        ...

    def ladders(self, window: SimWindow) -> Iterator[Ladder]:
        """Yield the liquidity of a window in time order, from its listing (a flat book) to its close."""
        ...

    def feed(self, asset: str, from_ms: int) -> Iterator[FeedTick]:
        """Yield all feeds of an asset for ever, in order of ``at_ms``, beginning at ``from_ms``."""
        ...

    def banner(self) -> Sequence[str]:
        """Return lines that say what is recorded, what is derived and how."""
        ...


class WorldSettings(Protocol):
    """What a world is built from; the simulator's settings class has these fields."""

    @property
    def seed(self) -> int:
        """One seed, one world."""
        ...

    @property
    def source(self) -> str:
        """``sample``, ``recordings:<set>`` or ``generator``."""
        ...

    @property
    def recordings(self) -> Path | None:
        """Folder of the recorded sets (environment variable ONEBOOK_RECORDINGS)."""
        ...

    @property
    def assets(self) -> Sequence[str]:
        """Lower-case assets, e.g. ``btc``."""
        ...

    @property
    def window_s(self) -> int:
        """Length of a replayed window in real seconds."""
        ...

    @property
    def lookback_s(self) -> int | None:
        """Look-back of the average in replay seconds; None = window_s / 15."""
        ...

    @property
    def resolution_delay_s(self) -> float | None:
        """Seconds from close to resolution; None = the real median (55 s in a 15-minute window), scaled."""
        ...

    @property
    def windows_ahead(self) -> int:
        """How many windows are listed before they open, per asset."""
        ...

    @property
    def first_open_in_s(self) -> int:
        """Seconds from the start to the first open."""
        ...


class FeedFaults(Protocol):
    """What goes wrong on a price feed; no fault = the frame itself, once."""

    def frames(self, feed: str, asset: str, text: str) -> Sequence[str]:
        """Return what is sent for ``text``: nothing = dropped, twice = duplicated, other = malformed."""
        ...

    def line(self, feed: str, asset: str) -> tuple[str, float] | None:
        """Return the name and the seconds of what happens to the connection itself, before a frame."""
        ...


def _complement(levels: Levels) -> Levels:
    return tuple((ONE_DOLLAR - price, size) for price, size in levels)
