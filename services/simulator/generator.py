"""The generated story: endless seeded windows whose books are quoted by makers who watch the same price. PURE.

The reference is a Brownian path with a seeded volatility per window; makers know the volatility, see the price a
little late, hold an opinion of their own, and quote a spread, sizes and an update rate as recorded (calibration.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from math import exp, expm1, log1p, sqrt
from random import Random

from services.simulator.calibration import (
    BEST_MOVES_SHARE,
    BEST_SIZE_MEDIAN,
    BEST_SIZE_SPREAD,
    FRAME_GAP_S,
    OPINION_MEMORY,
    OPINION_SPREAD,
    SPREAD_CENTS,
    VOLATILITY_SPREAD,
)
from services.simulator.prices import NORMAL, Grid, Path, brownian, chance_of_up, wandering
from services.simulator.story import CENT, Chapter, Frame, LevelSizes, drawn_size
from services.simulator.world import Levels

# Makers watch Binance directly and requote within this; no recording measures it (both clocks would be needed).
REACTION_S = 0.5
# A tie is no winner: the least a final average stands away from the strike.
LEAST_MARGIN = 1e-6
GAP_MEAN = 1.25
EDGE = 0.004  # beyond this chance nobody bids for the loser any more


@dataclass(frozen=True, slots=True)
class _Mood:
    """What is drawn once for a window."""

    volatility: float
    chance: Random


class GeneratedStory:
    """The story of one asset told by a seed."""

    def __init__(
        self, *, duration_s: int, grid: Grid, volatility: float, seed: str, least_gap_s: float
    ) -> None:
        self._grid = grid
        self._seed = seed
        # Gaps are even between the least and half as much again; on average the recorded one, if not thinned.
        self._least_gap_s = max(least_gap_s, FRAME_GAP_S / GAP_MEAN)
        self.volatility = volatility
        self.duration_s = duration_s

    def chapter(self, index: int) -> Chapter:
        """Return window ``index``: a path from where an open stands to its average to where the close falls."""
        mood, grid = self._mood(index), self._grid
        # The price at the open and the strike, the average before it, differ by a third of a look-back's variance.
        start = mood.chance.gauss(0, self.volatility * sqrt(grid.lookback_s / 3))
        path = brownian(
            mood.chance, start=start, steps=grid.steps, spread=mood.volatility * sqrt(grid.step_s)
        )
        return Chapter(f"generated:{index}", path, binance=None, decides=0, margin=LEAST_MARGIN)

    def frames(self, index: int, path: Path) -> Iterator[Frame]:
        """Yield the makers' books: best prices follow the chance of UP, sizes change more often than prices."""
        mood, grid = self._mood(index), self._grid
        chance = Random(f"{self._seed}:{index}:makers")
        opinions = wandering(
            chance, count=grid.steps + 1, spread=OPINION_SPREAD, memory=OPINION_MEMORY * grid.steps
        )
        sizes = LevelSizes(f"{self._seed}:{index}")
        bids: Levels = ()
        asks: Levels = ()
        at_s = 0.0
        while at_s < self.duration_s:
            if at_s == 0 or chance.random() < _moves_share(self._least_gap_s * GAP_MEAN):
                seen = int(max(at_s - REACTION_S, 0) / grid.step_s)
                fair = chance_of_up(path, seen, grid=grid, volatility=mood.volatility)
                bids, asks = _quoted(chance, _opined(fair, opinions[seen]), sizes)
            else:
                bids, asks = _resized(chance, bids), _resized(chance, asks)
            yield Frame(at_s / self.duration_s, bids, asks)
            at_s += self._least_gap_s * chance.uniform(1.0, 2 * GAP_MEAN - 1)

    def _mood(self, index: int) -> _Mood:
        chance = Random(f"{self._seed}:{index}")
        return _Mood(self.volatility * exp(chance.gauss(0, VOLATILITY_SPREAD)), chance)


def _moves_share(gap_s: float) -> float:
    """Return the share of frames that move the best price when there is one frame in ``gap_s``."""
    return -expm1(log1p(-BEST_MOVES_SHARE) * gap_s / FRAME_GAP_S)


def _opined(fair: float, opinion: float) -> float:
    if not EDGE < fair < 1 - EDGE:
        return fair
    return NORMAL.cdf(NORMAL.inv_cdf(fair) + opinion)


def _quoted(chance: Random, middle: float, sizes: LevelSizes) -> tuple[Levels, Levels]:
    """Return a ladder around the makers' chance; at the edges only the winner's side still has bids."""
    if middle < EDGE:
        return (), sizes.ladder("ask", CENT, _best_size(chance))
    if middle > 1 - EDGE:
        return sizes.ladder("bid", 1 - CENT, _best_size(chance)), ()
    cents = chance.choices([width for width, _ in SPREAD_CENTS], [share for _, share in SPREAD_CENTS])[0]
    best_bid = min(max(round(middle * 100 - cents / 2), 1), 99 - cents)
    best_ask = best_bid + cents
    return (
        sizes.ladder("bid", Decimal(best_bid) / 100, _best_size(chance)),
        sizes.ladder("ask", Decimal(best_ask) / 100, _best_size(chance)),
    )


def _resized(chance: Random, levels: Levels) -> Levels:
    """Return the ladder with a new size at its best level."""
    return ((levels[0][0], _best_size(chance)), *levels[1:]) if levels else levels


def _best_size(chance: Random) -> Decimal:
    return drawn_size(chance, BEST_SIZE_MEDIAN, BEST_SIZE_SPREAD)
