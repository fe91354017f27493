from decimal import Decimal
from random import Random
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.simulator.calibration import Lag
from services.simulator.prices import (
    Grid,
    average,
    bridged,
    brownian,
    chance_of_up,
    ended,
    implied_path,
    lag_ms,
    seeded_basis,
    settled_mean,
    settling_spread,
    wandering,
)

GRID = Grid(steps=240, step_s=3.75, points=16)
SIGMA = 1e-4


@given(seed=st.integers(), mean=st.floats(-0.01, 0.01), end=st.floats(-0.01, 0.01), points=st.integers(2, 60))
def test_a_bridge_keeps_both_promises_and_touches_only_the_look_back(
    seed: int, mean: float, end: float, points: int
) -> None:
    path = brownian(Random(seed), start=0.0, steps=100, spread=SIGMA)
    bent = bridged(path, points=points, mean=mean, end=end)
    assert bent[:-points] == path[:-points]
    assert fmean(bent[-points:]) == pytest.approx(mean, abs=1e-12)
    assert bent[-1] == pytest.approx(end, abs=1e-12)


def test_an_ended_path_keeps_its_end_and_bends_little_at_first() -> None:
    path = brownian(Random(1), start=0.0, steps=100, spread=SIGMA)
    bent = ended(path, points=10, end=0.01)
    assert bent[-1] == pytest.approx(0.01)
    assert abs(bent[-10] - path[-10]) < abs(bent[-2] - path[-2])


@pytest.mark.parametrize(
    ("path", "sign", "mean"),
    [
        ((0.0, 3.0, 5.0), 1, 4.0),  # falls on its side already
        ((0.0, 3.0, 5.0), -1, -0.5),  # is brought to the other side, by the margin and no more
        ((0.0, 0.1, 0.1), 1, 0.5),  # is too close to call
        ((0.0, 0.1, 0.1), 0, 0.5),  # nobody is told to win: the nearer side does, by the margin
        ((0.0, -0.1, -0.1), 0, -0.5),
    ],
)
def test_the_final_mean_decides_for_the_recorded_winner(
    path: tuple[float, ...], sign: int, mean: float
) -> None:
    assert settled_mean(path, points=2, sign=sign, margin=0.5) == pytest.approx(mean)


def test_the_settling_spread_is_that_of_simulated_averages() -> None:
    chance = Random(7)
    for left in (40, 16, 8):  # steps to the close: before, at and inside a look-back of 16
        finals = []
        for _ in range(4_000):
            ahead = brownian(chance, start=0.0, steps=left, spread=SIGMA)[1:]
            finals.append(sum(ahead[-16:]) / 16)
        told = settling_spread(float(left), lookback_s=16.0, volatility=SIGMA)
        assert stdev(finals) == pytest.approx(
            told, rel=0.12
        )  # discrete prices against the continuous formula


def test_the_spread_does_not_jump_where_the_look_back_begins() -> None:
    before = settling_spread(60.001, lookback_s=60.0, volatility=SIGMA)
    within = settling_spread(59.999, lookback_s=60.0, volatility=SIGMA)
    assert before == pytest.approx(within, rel=1e-3)


@given(chance=st.floats(0.02, 0.98), index=st.integers(0, 220))
def test_the_implied_price_gives_back_the_chance_it_was_made_from(chance: float, index: int) -> None:
    path = implied_path(lambda _: chance, grid=GRID, volatility=SIGMA, ease_s=3.0)
    assert chance_of_up(path, index, grid=GRID, volatility=SIGMA) == pytest.approx(chance, abs=1e-6)


def test_the_chance_at_the_close_is_certain() -> None:
    up = tuple(0.001 for _ in range(GRID.steps + 1))
    down = tuple(-0.001 for _ in range(GRID.steps + 1))
    assert chance_of_up(up, GRID.steps, grid=GRID, volatility=SIGMA) == 1.0
    assert chance_of_up(down, GRID.steps, grid=GRID, volatility=SIGMA) == 0.0


def test_the_known_part_of_the_average_counts_inside_the_look_back() -> None:
    # High through most of the look-back, below the strike only at its end: the average is decided for UP.
    path = (0.0,) * (GRID.steps - 15) + (0.01,) * 12 + (-0.001,) * 4
    assert len(path) == GRID.steps + 1
    assert chance_of_up(path, GRID.steps - 2, grid=GRID, volatility=SIGMA) > 0.99


def test_an_average_is_the_mean_to_eight_decimals() -> None:
    assert average([Decimal(1), Decimal(2), Decimal(2)]) == Decimal("1.66666667")


def test_a_wandering_row_is_stationary_with_the_spread_it_was_told() -> None:
    row = wandering(Random(3), count=50_000, spread=0.15, memory=10)
    assert stdev(row[:25_000]) == pytest.approx(0.15, rel=0.1)
    assert stdev(row[25_000:]) == pytest.approx(0.15, rel=0.1)


def test_the_basis_stands_where_it_was_told_and_moves_by_its_spread() -> None:
    basis = seeded_basis(Random(5), standing=3e-5, spread=2e-5, window_ms=60_000)
    values = [basis.at(at_ms) for at_ms in range(0, 6_000_000, 777)]
    assert fmean(values) == pytest.approx(3e-5, abs=4e-6)
    assert stdev(values) == pytest.approx(2e-5, rel=0.1)


def test_a_lag_is_above_its_floor_and_shrinks_with_the_replay() -> None:
    lag = Lag(floor_s=0.9, excess_median_s=0.4, excess_spread=0.5)
    slow = [lag_ms(Random(seed), lag, compression=1) for seed in range(500)]
    fast = [lag_ms(Random(seed), lag, compression=10) for seed in range(500)]
    assert min(slow) > 900
    assert sorted(slow)[250] == pytest.approx(1300, abs=60)
    assert all(abs(quick - late / 10) <= 1 for quick, late in zip(fast, slow, strict=True))
