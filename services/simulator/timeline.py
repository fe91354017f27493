"""One asset's windows in time: each begins where the one before it ended, price by price. PURE.

The chain gives every window its strike, the average at its open, and the next one's is this one's final average. Times
are milliseconds of the replay; a window of 900 recorded seconds may last 60 of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from math import ceil, sqrt
from random import Random
from statistics import fmean

from services.simulator.calibration import ASSETS, SERIES_ID_BTC_5M
from services.simulator.prices import (
    Grid,
    Path,
    average,
    bridged,
    brownian,
    ended,
    priced,
    settled_mean,
)
from services.simulator.story import Chapter, Frame, Story
from services.simulator.world import SimWindow, Winner

# What PolyBolt shows on subscribing reaches two minutes back, so the price exists before the first window.
HISTORY_MS = 150_000
LABELS = {300: "5m", 900: "15m"}


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the windows are: the first open, their length, and the grid of the price inside them."""

    start_ms: int
    first_open_ms: int
    window_ms: int
    tick_ms: int
    lookback_s: int
    resolution_delay_ms: int
    ahead: int

    @property
    def points(self) -> int:
        """Return how many prices make the average."""
        return self.lookback_s * 1000 // self.tick_ms

    def opens_ms(self, index: int) -> int:
        """Return the open of window ``index``; -1 is the history before the first."""
        if index < 0:
            return self.first_open_ms - self.history_steps * self.tick_ms
        return self.first_open_ms + index * self.window_ms

    def listed_ms(self, index: int) -> int:
        """Return when window ``index`` appears at the venue."""
        return max(self.start_ms, self.opens_ms(index) - self.ahead * self.window_ms)

    def index_at(self, at_ms: int) -> int:
        """Return the window that is open at a moment; -1 before the first."""
        return max((at_ms - self.first_open_ms) // self.window_ms, -1)

    @property
    def history_steps(self) -> int:
        """Return how many grid steps of price exist before the first open."""
        since_start_ms = self.first_open_ms - self.start_ms
        return ceil(max(self.window_ms, since_start_ms + HISTORY_MS) / self.tick_ms)


@dataclass(frozen=True, slots=True)
class Segment:
    """The price during one window: ``prices[0]`` at its open (the last of the one before) to its close."""

    opens_ms: int
    strike: Decimal
    prices: tuple[Decimal, ...]
    binance: tuple[Decimal, ...]
    reference: Path
    final: Decimal
    recorded: str = ""

    @property
    def winner(self) -> Winner:
        """Return who wins: UP at or above the strike."""
        return "UP" if self.final >= self.strike else "DOWN"


class Timeline:
    """The windows of one asset, computed in order and kept."""

    def __init__(self, asset: str, story: Story, schedule: Schedule, *, grid: Grid, seed: str) -> None:
        self.asset = asset
        self.schedule = schedule
        self._story = story
        self._grid = grid
        self._seed = seed
        self._history = self._before_the_first()
        self._segments: list[Segment] = []

    def segment(self, index: int) -> Segment:
        """Return the price during window ``index``; -1 is the history before the first."""
        if index < 0:
            return self._history
        while len(self._segments) <= index:
            self._segments.append(self._next_segment())
        return self._segments[index]

    def window(self, index: int) -> SimWindow:
        """Return window ``index`` as the venue lists it."""
        segment, schedule = self.segment(index), self.schedule
        label = LABELS[self._story.duration_s]
        closes_ms = segment.opens_ms + schedule.window_ms
        slug = f"{self.asset}-updown-{label}-{segment.opens_ms // 1000}"
        return SimWindow(
            slug=slug,
            asset=self.asset,
            duration=label,
            series_id=_series_id(self.asset, label),
            series_slug=f"{self.asset}-up-or-down-{label}",
            listed_at_ms=schedule.listed_ms(index),
            opens_at_ms=segment.opens_ms,
            closes_at_ms=closes_ms,
            resolves_at_ms=closes_ms + schedule.resolution_delay_ms,
            condition_id=f"0x{self._identity(slug, 'condition')}",
            question_id=f"0x{self._identity(slug, 'question')}",
            up_token=self._token(slug, "up"),
            down_token=self._token(slug, "down"),
            tick=Decimal("0.01"),
            min_size=Decimal(5),
            fee_rate=Decimal("0.07"),
            fee_exponent=1,
            fee_taker_only=True,
            fee_type="crypto_fees_v2",
            lookback_s=schedule.lookback_s,
            strike=segment.strike,
            final=segment.final,
            winner=segment.winner,
            question=_question(self.asset, segment.opens_ms, closes_ms),
            recorded=segment.recorded,
        )

    def frames(self, index: int) -> Iterator[Frame]:
        """Yield the books of window ``index``."""
        return self._story.frames(index, self.segment(index).reference)

    def _before_the_first(self) -> Segment:
        """Return the price before the first window, from the level of the recordings, ending at the first open."""
        schedule, points = self.schedule, self.schedule.points
        level = Decimal(str(ASSETS[self.asset].level))
        walk = brownian(
            Random(f"{self._seed}:history"),
            start=0.0,
            steps=schedule.history_steps,
            spread=self._story.volatility * sqrt(self._grid.step_s),
        )
        drift = fmean(walk[-points:])
        level_walk = tuple(value - drift for value in walk)
        path = bridged(level_walk, points=points, mean=0.0, end=self._story.chapter(0).reference[0])
        prices = tuple(priced(level, deviation) for deviation in path)
        opens_ms = schedule.opens_ms(-1)
        return Segment(opens_ms, level, prices, prices, path, average(prices[-points:]))

    def _next_segment(self) -> Segment:
        index, points = len(self._segments), self.schedule.points
        before = self.segment(index - 1)
        chapter, following = self._story.chapter(index), self._story.chapter(index + 1)
        mean = settled_mean(chapter.reference, points=points, sign=chapter.decides, margin=chapter.margin)
        end = (1 + mean) * (1 + following.reference[0]) - 1
        reference = bridged(chapter.reference, points=points, mean=mean, end=end)
        strike = before.final
        prices = (before.prices[-1], *(priced(strike, deviation) for deviation in reference[1:]))
        return Segment(
            opens_ms=self.schedule.opens_ms(index),
            strike=strike,
            prices=prices,
            binance=self._binance(chapter, before, prices, mean, following),
            reference=reference,
            final=average(prices[-points:]),
            recorded=chapter.recorded,
        )

    def _binance(
        self, chapter: Chapter, before: Segment, prices: tuple[Decimal, ...], mean: float, following: Chapter
    ) -> tuple[Decimal, ...]:
        """Return Binance without its basis: the recorded path where there is one, else the reference itself."""
        if chapter.binance is None:
            return (before.binance[-1], *prices[1:])
        start = following.reference[0] if following.binance is None else following.binance[0]
        path = ended(chapter.binance, points=self.schedule.points, end=(1 + mean) * (1 + start) - 1)
        return (before.binance[-1], *(priced(before.final, deviation) for deviation in path[1:]))

    def _identity(self, slug: str, what: str) -> str:
        return sha256(f"{self._seed}:{slug}:{what}".encode()).hexdigest()

    def _token(self, slug: str, side: str) -> str:
        """Return a Protocol V1 token id, a hash; V2 ids are told by bits 40 to 103, which are zero there."""
        return str(int(self._identity(slug, side), 16))


def _series_id(asset: str, label: str) -> str:
    series_id = ASSETS[asset].series_id
    if label == "15m":
        return series_id
    return str(int(SERIES_ID_BTC_5M) + int(series_id) - int(ASSETS["btc"].series_id))


def _question(asset: str, opens_ms: int, closes_ms: int) -> str:
    opens, closes = (
        datetime.fromtimestamp(opens_ms / 1000, UTC),
        datetime.fromtimestamp(closes_ms / 1000, UTC),
    )
    day = f"{opens:%B} {opens.day}"
    return f"{ASSETS[asset].name} Up or Down - {day}, {opens:%H:%M:%S}-{closes:%H:%M:%S} UTC"
