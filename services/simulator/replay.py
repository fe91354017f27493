"""The recorded story: every whole recorded window, then its mirror, round and round. PURE.

Where the recording has the reference price or Binance, that path is played; where it has neither, the reference is
the price its book implies, seen through an opinion of its own (seeded), so that the book never equals it. Only the
last look-back is bent, as little as the recorded winner and the next window's open ask for.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from math import exp
from random import Random

from services.simulator.calibration import OPINION_MEMORY, OPINION_SPREAD, VOLATILITY_SPREAD
from services.simulator.prices import Grid, Path, implied_path, settling_spread, wandering
from services.simulator.recorded import RecordedWindow
from services.simulator.story import Chapter, Frame, LevelSizes, complement
from services.simulator.world import Levels

EASE_S = 3.0
# How clear of the strike a final average is held that would otherwise fall on the wrong side, as a share of the
# price's spread over one look-back.
CLEAR_SHARE = 0.05


class RecordedStory:
    """The story of one asset told by recordings; chapter 2n is a recording, 2n + 1 its mirror."""

    def __init__(
        self, windows: Sequence[RecordedWindow], *, grid: Grid, volatility: float, seed: str
    ) -> None:
        self._windows = windows
        self._grid = grid
        self._seed = seed
        self.volatility = volatility
        self.duration_s = windows[0].duration_s

    @property
    def count(self) -> int:
        """Return how many recorded windows there are, mirrors not counted."""
        return len(self._windows)

    @property
    def reference_origin(self) -> str:
        """Return what the reference price was made from: ``recorded``, ``binance`` or ``implied``."""
        if self._windows[0].reference:
            return "recorded"
        return "binance" if self._windows[0].binance else "implied"

    @property
    def binance_recorded(self) -> bool:
        """Return whether Binance's price was recorded."""
        return bool(self._windows[0].binance)

    def chapter(self, index: int) -> Chapter:
        """Return window ``index``; the mirror's paths are the negatives of the original's."""
        window, mirrored, chance = self._source(index)
        volatility = self.volatility * exp(chance.gauss(0, VOLATILITY_SPREAD))
        binance = _sampled(window.binance, self._grid) if window.binance else None
        if window.reference:
            reference = _sampled(window.reference, self._grid)
        else:
            reference = binance or self._implied(window, volatility, chance)
        decides = 1 if window.winner == "UP" else -1
        if mirrored:
            reference = tuple(-value for value in reference)
            binance = None if binance is None else tuple(-value for value in binance)
            decides = -decides
        grid = self._grid
        margin = (
            CLEAR_SHARE
            * volatility
            * settling_spread(grid.lookback_s, lookback_s=grid.lookback_s, volatility=1)
        )
        label = f"{window.source}:{window.epoch}{':mirrored' if mirrored else ''}"
        return Chapter(label, reference, binance, decides, margin)

    def frames(self, index: int, path: Path) -> Iterator[Frame]:  # noqa: ARG002 - the books are recorded
        """Yield the recorded books, deepened where only the best level was recorded; mirrored as a whole."""
        window, mirrored, _ = self._source(index)
        sizes = LevelSizes(f"{self._seed}:{window.epoch}")
        for book in window.books:
            bids = _deepened("bid", book.bids, sizes)
            asks = _deepened("ask", book.asks, sizes)
            if mirrored:
                bids, asks = complement(asks), complement(bids)
            yield Frame(book.at_s / window.duration_s, bids, asks)

    def _source(self, index: int) -> tuple[RecordedWindow, bool, Random]:
        """Return the recording, whether mirrored, and the chance that both of the pair share."""
        pair = index // 2
        return self._windows[pair % len(self._windows)], index % 2 == 1, Random(f"{self._seed}:pair:{pair}")

    def _implied(self, window: RecordedWindow, volatility: float, chance: Random) -> Path:
        grid = self._grid
        implied = implied_path(_mid_at(window), grid=grid, volatility=volatility, ease_s=EASE_S)
        opinions = wandering(
            chance, count=grid.steps + 1, spread=OPINION_SPREAD, memory=OPINION_MEMORY * grid.steps
        )
        spread_at = (
            settling_spread(
                max(grid.left_s(at), grid.lookback_s), lookback_s=grid.lookback_s, volatility=volatility
            )
            for at in range(grid.steps + 1)
        )
        return tuple(
            value + opinion * spread
            for value, opinion, spread in zip(implied, opinions, spread_at, strict=True)
        )


def _mid_at(window: RecordedWindow) -> Callable[[float], float]:
    times = [book.at_s for book in window.books]
    mids = [book.mid for book in window.books]
    return lambda at_s: mids[max(bisect_right(times, at_s) - 1, 0)]


def _sampled(points: Sequence[tuple[float, float]], grid: Grid) -> Path:
    """Return recorded deviations on the grid, in straight lines; the first and last hold beyond the ends."""
    times = [at_s for at_s, _ in points]
    path = []
    for index in range(grid.steps + 1):
        at_s = index * grid.step_s
        after = bisect_right(times, at_s)
        if after in (0, len(points)):
            path.append(points[min(after, len(points) - 1)][1])
            continue
        (start_s, start), (end_s, end) = points[after - 1], points[after]
        path.append(start + (end - start) * (at_s - start_s) / (end_s - start_s))
    return tuple(path)


def _deepened(side: str, levels: Levels, sizes: LevelSizes) -> Levels:
    if len(levels) != 1:
        return levels
    price, size = levels[0]
    return sizes.ladder(side, price, size)
