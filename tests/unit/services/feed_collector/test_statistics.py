"""Lags that are known beforehand, found again; feeds that know nothing of one another, told apart (C15)."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from services.feed_collector.statistics import LAG_STEP_MS, measure_lag
from tests.recordings import recorded_sets


def walk(chance, *, seconds=600, per_s=20):
    at = np.cumsum(chance.exponential(1 / per_s, size=seconds * per_s))
    return at, 60_000 * np.exp(np.cumsum(chance.normal(0, 2e-5, size=len(at))))


def reported(chance, at, prices, *, lag_s, every_s=1.0, noise=0.0):
    """The same price as a slow feed tells it: each report shows what the fast one said ``lag_s`` before."""
    when = np.arange(at[0] + 6, at[-1], every_s)
    seen = prices[np.searchsorted(at, when - lag_s, side="right") - 1]
    return when, seen * np.exp(chance.normal(0, noise, size=len(seen)))


@pytest.mark.parametrize("lag_s", [0.0, 0.3, 1.3, 2.75, 4.9])
@pytest.mark.parametrize("every_s", [0.25, 1.0])
def test_a_known_lag_is_found_to_the_step(lag_s, every_s):
    chance = np.random.default_rng(7)
    at, prices = walk(chance)
    found = measure_lag(at, prices, *reported(chance, at, prices, lag_s=lag_s, every_s=every_s))
    assert abs(found.tau_ms - lag_s * 1000) <= LAG_STEP_MS
    assert found.correlation > 0.95
    assert found.p_value < 1e-9
    assert found.tau_variance_s2 < 0.01
    assert found.profile[found.tau_ms] == found.correlation


def test_a_noisy_lag_is_still_found_and_less_sure():
    chance = np.random.default_rng(8)
    at, prices = walk(chance)
    found = measure_lag(at, prices, *reported(chance, at, prices, lag_s=1.3, noise=8e-5))
    assert abs(found.tau_ms - 1300) <= 200
    assert 0.3 < found.correlation < 0.9


def test_feeds_that_know_nothing_of_one_another_prove_nothing():
    proofs = 0
    for seed in range(40):
        chance = np.random.default_rng(seed)
        fast, other = walk(chance), walk(chance)
        found = measure_lag(*fast, *reported(chance, *other, lag_s=1.0))
        proofs += found.p_value < 0.05
    assert proofs <= 4, "the best of a hundred lags is judged as the best of a hundred"


def test_an_unstable_lag_shows_in_its_variance():
    chance = np.random.default_rng(9)
    at, prices = walk(chance)
    when, early = reported(chance, at, prices, lag_s=0.5)
    _, late = reported(chance, at, prices, lag_s=4.0)
    halves = np.where(when < when[len(when) // 2], early, late)
    stable = measure_lag(at, prices, when, early)
    assert measure_lag(at, prices, when, halves).tau_variance_s2 > 1 > stable.tau_variance_s2


@pytest.mark.parametrize("reports", [0, 1, 60])
def test_too_little_says_nothing(reports):
    chance = np.random.default_rng(1)
    at, prices = walk(chance)
    when, seen = reported(chance, at, prices, lag_s=1.0)
    assert measure_lag(at, prices, when[:reports], seen[:reports]) is None
    assert measure_lag([], [], when, seen) is None


def test_a_feed_that_never_moves_correlates_with_nothing():
    chance = np.random.default_rng(1)
    at, prices = walk(chance)
    when, seen = reported(chance, at, prices, lag_s=1.0)
    found = measure_lag(at, prices, when, np.full_like(seen, 60_000.0))
    assert (found.correlation, found.p_value) == (0.0, 1.0)


@pytest.mark.parametrize("asset", ["BTC", "ETH", "SOL", "XRP"])
def test_the_oracle_of_a_recorded_session_was_more_than_a_second_behind(asset):
    """Recorded on one clock: RTDS told the oracle's price 1.3 s after its own second, whose price is older still."""
    folder = recorded_sets(
        "that a real lag between feeds is found, so a user could be told of one that is not there"
    )
    path = folder / "latency_ticks_4assets_20260427" / "ticks.parquet"
    rows = pq.read_table(path).to_pylist()

    def series(source):
        told = sorted(
            (row["recv_ts_ms"] / 1000, row["price"])
            for row in rows
            if (row["source"], row["asset"]) == (source, asset)
        )
        return [at for at, _ in told], [price for _, price in told]

    found = measure_lag(*series("binance_direct"), *series("chainlink_rtds"))
    assert 1_000 <= found.tau_ms <= 3_000
    assert found.correlation > 0.5
    assert found.p_value < 0.001
