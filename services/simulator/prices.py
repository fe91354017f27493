"""The arithmetic of a price path: what a token's mid implies, what an average settles, what a feed shows.

A path is a row of deviations from the strike, as fractions of it, on an even grid from the open (index 0) to the
close. The market settles on the mean of the last ``points`` of them (the venue's time-weighted average), so the
chance of UP is the chance that this mean ends at or above zero. PURE.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from math import exp, sin, sqrt, tau
from random import Random
from statistics import NormalDist, fmean

from services.simulator.calibration import Lag

PRICE_STEP = Decimal("0.00000001")
NORMAL = NormalDist()
# A book on a one-cent grid cannot say more than this about a certain outcome.
SUREST = 0.995

Path = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """The even grid of one window: ``steps`` steps of ``step_s`` recorded seconds, ``points`` in the average."""

    steps: int
    step_s: float
    points: int

    @property
    def lookback_s(self) -> float:
        """Return the length of the average in recorded seconds."""
        return self.points * self.step_s

    def left_s(self, index: int) -> float:
        """Return the recorded seconds from a grid point to the close."""
        return (self.steps - index) * self.step_s


def average(prices: Sequence[Decimal]) -> Decimal:
    """Return the mean to eight decimals: the time-weighted average of evenly spaced prices."""
    return (sum(prices, Decimal(0)) / len(prices)).quantize(PRICE_STEP, rounding=ROUND_HALF_EVEN)


def priced(level: Decimal, deviation: float) -> Decimal:
    """Return the price that stands ``deviation`` away from ``level``, to eight decimals."""
    return (level * (1 + Decimal(deviation))).quantize(PRICE_STEP, rounding=ROUND_HALF_EVEN)


def settling_spread(left_s: float, *, lookback_s: float, volatility: float) -> float:
    """Return the standard deviation of the final average, seen ``left_s`` before the close.

    For a Brownian path: before the look-back volatility * sqrt(left - 2/3 lookback) (a mean over L has a third
    of the variance of its end); within it volatility * left^1.5 / (sqrt(3) lookback).
    """
    if left_s >= lookback_s:
        return volatility * sqrt(left_s - lookback_s * 2 / 3)
    return volatility * left_s * sqrt(left_s / 3) / lookback_s


def chance_of_up(path: Path, index: int, *, grid: Grid, volatility: float) -> float:
    """Return the chance that the final average ends at or above the strike, knowing the path up to ``index``."""
    ahead = min(grid.steps - index, grid.points)
    known = path[grid.steps - grid.points + 1 : index + 1] if ahead < grid.points else ()
    expected = (sum(known) + ahead * path[index]) / grid.points
    spread = settling_spread(grid.left_s(index), lookback_s=grid.lookback_s, volatility=volatility)
    if spread == 0:
        return 1.0 if expected >= 0 else 0.0
    return NORMAL.cdf(expected / spread)


def implied_path(
    chance_at: Callable[[float], float], *, grid: Grid, volatility: float, ease_s: float
) -> Path:
    """Return the path whose chance of UP is the market's: z-score of the mid times the spread still open.

    ``chance_at`` gives the mid of UP at recorded seconds after the open. Within the look-back the spread stays
    what it was at its start, for the part of the average already known would make the price explode; the z-score
    is eased over ``ease_s`` so that one cent of the book is no jump of the price.
    """
    keep = exp(-grid.step_s / ease_s)
    eased: float | None = None
    path: list[float] = []
    for index in range(grid.steps + 1):
        chance = min(max(chance_at(index * grid.step_s), 1 - SUREST), SUREST)
        z_score = NORMAL.inv_cdf(chance)
        eased = z_score if eased is None else keep * eased + (1 - keep) * z_score
        left_s = max(grid.left_s(index), grid.lookback_s)
        path.append(eased * settling_spread(left_s, lookback_s=grid.lookback_s, volatility=volatility))
    return tuple(path)


def brownian(chance: Random, *, start: float, steps: int, spread: float) -> Path:
    """Return a random walk of ``steps`` normal steps."""
    path = [start]
    for _ in range(steps):
        path.append(path[-1] + chance.gauss(0, spread))
    return tuple(path)


def wandering(chance: Random, *, count: int, spread: float, memory: float) -> Path:
    """Return a stationary autoregressive row: standard deviation ``spread``, memory in grid steps."""
    keep = exp(-1 / memory)
    fresh = spread * sqrt(1 - keep * keep)
    row = [chance.gauss(0, spread)]
    for _ in range(count - 1):
        row.append(keep * row[-1] + chance.gauss(0, fresh))
    return tuple(row)


def bridged(path: Path, *, points: int, mean: float, end: float) -> Path:
    """Return the path with its last ``points`` bent so that their mean and the end are as told.

    The bend is a*u + b*u^2 over the look-back: the covariances of a Brownian path with its end and its mean, so a
    random path stays a fair draw among those that keep both promises.
    """
    first_power = (points + 1) / (2 * points)
    second_power = (points + 1) * (2 * points + 1) / (6 * points * points)
    missing_end = end - path[-1]
    missing_mean = mean - fmean(path[-points:])
    b = (missing_mean - missing_end * first_power) / (second_power - first_power)
    a = missing_end - b
    return _bent(path, points, lambda u: a * u + b * u * u)


def ended(path: Path, *, points: int, end: float) -> Path:
    """Return the path with its last ``points`` bent so that it ends as told; the mean goes where it goes."""
    missing = end - path[-1]
    return _bent(path, points, lambda u: missing * u)


def settled_mean(path: Path, *, points: int, sign: int, margin: float) -> float:
    """Return the final mean that decides for ``sign`` (+1 UP, -1 DOWN, 0 as it falls), at least ``margin`` clear."""
    natural = fmean(path[-points:])
    if sign == 0:
        sign = 1 if natural >= 0 else -1
    return natural if sign * natural >= margin else sign * margin


@dataclass(frozen=True, slots=True)
class Basis:
    """The gap of one venue's price over another's: a standing part and slow seeded waves, a function of time."""

    standing: float
    waves: tuple[tuple[float, float, float], ...]  # amplitude, period in ms, phase

    def at(self, at_ms: float) -> float:
        """Return the gap as a fraction of the price."""
        return self.standing + sum(
            height * sin(tau * at_ms / period + phase) for height, period, phase in self.waves
        )


def seeded_basis(chance: Random, *, standing: float, spread: float, window_ms: int) -> Basis:
    """Return a basis whose waves last a twentieth of a window to five windows and add up to ``spread``."""
    periods = (window_ms * chance.uniform(0.8, 1.25) * share for share in (0.05, 0.2, 1.0, 5.0))
    height = spread * sqrt(2 / 4)
    return Basis(standing, tuple((height, period, chance.uniform(0, tau)) for period in periods))


def lag_ms(chance: Random, lag: Lag, *, compression: float) -> int:
    """Return one seeded delay of a feed, in milliseconds of the replay."""
    excess = lag.excess_median_s * exp(chance.gauss(0, lag.excess_spread))
    return round((lag.floor_s + excess) * 1000 / compression)


def _bent(path: Path, points: int, bend: Callable[[float], float]) -> Path:
    tail = tuple(value + bend((at + 1) / points) for at, value in enumerate(path[-points:]))
    return path[:-points] + tail
