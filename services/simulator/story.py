"""What fills the windows of one asset: a row of chapters, each self-contained, recorded or generated. PURE.

A chapter does not know the price level it plays on: its paths are deviations from the strike, so that the timeline
can let each window begin where the one before it ended.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from math import exp
from random import Random
from typing import Protocol

from services.simulator.calibration import (
    BEST_SIZE_MEDIAN,
    BEST_SIZE_SPREAD,
    DEEP_SIZE_MEDIAN,
    DEEP_SIZE_SPREAD,
    LADDER_LEVELS,
)
from services.simulator.prices import Path
from services.simulator.world import Levels

CENT = Decimal("0.01")
FLAT_MID = Decimal("0.50")


@dataclass(frozen=True, slots=True)
class Chapter:
    """One window's content before it has a place in time.

    ``decides`` is +1 when UP must win, -1 when DOWN must, 0 when the path itself decides; ``margin`` is how far the
    final average stands at least from the strike.
    """

    recorded: str
    reference: Path
    binance: Path | None  # None: Binance follows the reference
    decides: int
    margin: float


@dataclass(frozen=True, slots=True)
class Frame:
    """A book of the UP token, ``at_share`` (0 to below 1) of the window's length after its open."""

    at_share: float
    bids: Levels
    asks: Levels


class Story(Protocol):
    """The chapters of one asset, for ever; the same seed tells the same story."""

    @property
    def duration_s(self) -> int:
        """Seconds a window lasts in reality."""
        ...

    @property
    def volatility(self) -> float:
        """Usual volatility, as a fraction per square root of a real second."""
        ...

    def chapter(self, index: int) -> Chapter:
        """Return the content of window ``index``, counted from 0."""
        ...

    def frames(self, index: int, path: Path) -> Iterator[Frame]:
        """Yield the books of window ``index``, whose final reference path is ``path``, in time order."""
        ...


class LevelSizes:
    """Seeded sizes of the levels no recording shows: log-normal, one per price, lasting for the window."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._sizes: dict[tuple[str, Decimal], Decimal] = {}

    def deep(self, side: str, price: Decimal) -> Decimal:
        """Return the shares resting at a level behind the best."""
        key = (side, price)
        if key not in self._sizes:
            chance = Random(f"{self._seed}:{side}:{price}")
            self._sizes[key] = drawn_size(chance, DEEP_SIZE_MEDIAN, DEEP_SIZE_SPREAD)
        return self._sizes[key]

    def ladder(self, side: str, best: Decimal, size: Decimal) -> Levels:
        """Return the best level and those behind it, cent by cent, down to the edge."""
        step = -CENT if side == "bid" else CENT
        prices = [best + step * depth for depth in range(1, LADDER_LEVELS)]
        behind = ((price, self.deep(side, price)) for price in prices if 0 < price < 1)
        return ((best, size or self.deep(side, best)), *behind)


def drawn_size(chance: Random, median: float, spread: float) -> Decimal:
    """Return one log-normal size in hundredths of a share, at least five shares."""
    return max(Decimal(round(median * exp(chance.gauss(0, spread)) * 100)) / 100, Decimal(5))


def flat_frame(seed: str, turn: int) -> tuple[Levels, Levels]:
    """Return bids and asks before a window opens: 0.49 to 0.51, the sizes at the best levels drawn each turn."""
    chance = Random(f"{seed}:flat:{turn}")
    sizes = LevelSizes(f"{seed}:flat")
    best = {side: drawn_size(chance, BEST_SIZE_MEDIAN, BEST_SIZE_SPREAD) for side in ("bid", "ask")}
    return (
        sizes.ladder("bid", FLAT_MID - CENT, best["bid"]),
        sizes.ladder("ask", FLAT_MID + CENT, best["ask"]),
    )


def complement(levels: Levels) -> Levels:
    """Return the levels as the other token's other side shows them."""
    return tuple((1 - price, size) for price, size in levels)
