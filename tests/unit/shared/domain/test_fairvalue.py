"""The probability against closed cases, its bounds, and a simulation of the motion it assumes."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from statistics import NormalDist, fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.fairvalue import chance_up, mean_of, volatility_of
from shared.domain.settlement import Reading

AT = datetime(2026, 10, 5, 23, 0, tzinfo=UTC)


def chance(spot, *, strike="100", volatility="1", left="100", lookback="0", averaged=None):
    return chance_up(
        strike=Decimal(strike),
        spot=Decimal(spot),
        volatility=Decimal(volatility),
        seconds_left=Decimal(left),
        lookback_s=Decimal(lookback),
        averaged=None if averaged is None else Decimal(averaged),
    )


def normal(deviations):
    return Decimal(str(NormalDist().cdf(deviations)))


@pytest.mark.parametrize(
    ("given_", "deviations"),
    [
        ({"spot": "100"}, 0),
        ({"spot": "110"}, 1),  # sigma sqrt(100) = 10
        ({"spot": "90"}, -1),
        ({"spot": "110", "volatility": "2"}, 0.5),
        # before the averaging: variance (100 - 60) + 60/3 = 60
        ({"spot": "110", "lookback": "60"}, 10 / 60**0.5),
        # at its start: variance 60/3 = 20
        ({"spot": "110", "lookback": "60", "left": "60"}, 10 / 20**0.5),
        # half way: mean 0.5 x 104 + 0.5 x 110, deviation 0.5 x sqrt(10)
        ({"spot": "110", "lookback": "60", "left": "30", "averaged": "104"}, 7 / (0.5 * 10**0.5)),
    ],
)
def test_the_probability_is_that_of_the_derived_normal(given_, deviations):
    assert abs(chance(**given_) - normal(deviations)) < Decimal("0.000001")


def test_the_two_formulas_meet_where_the_averaging_begins():
    before = chance("101", lookback="60", left="60.0001")
    after = chance("101", lookback="60", left="59.9999", averaged="100.5")
    assert abs(before - after) < Decimal("0.0001")


def test_what_is_averaged_outweighs_the_spot_towards_the_close():
    assert chance("110", lookback="60", left="1", averaged="99") < Decimal("0.001")


@pytest.mark.parametrize(("average", "expected"), [("100", 1), ("100.01", 1), ("99.99", 0)])
def test_at_the_close_the_average_has_decided_and_a_tie_is_up(average, expected):
    assert chance("0", lookback="60", left="0", averaged=average) == expected
    assert chance("0", lookback="60", left="-5", averaged=average) == expected
    assert chance(average, left="0") == expected


def test_a_price_that_does_not_move_decides_at_once():
    assert chance("100", volatility="0") == 1
    assert chance("99.99", volatility="0") == 0


def test_inside_the_look_back_without_its_average_there_is_no_answer():
    assert chance("110", lookback="60", left="30") is None


@given(
    spot=st.integers(5000, 15000),
    volatility=st.integers(0, 500),
    left=st.integers(0, 900),
    lookback=st.integers(0, 60),
    average=st.integers(5000, 15000),
)
def test_it_is_a_probability_and_rises_with_the_price(spot, volatility, left, lookback, average):
    terms = {
        "volatility": str(volatility),
        "left": str(left),
        "lookback": str(lookback),
        "averaged": str(average),
    }
    low, high = chance(str(spot), strike="10000", **terms), chance(str(spot + 10), strike="10000", **terms)
    assert 0 <= low <= high <= 1
    assert low == low.quantize(Decimal("0.000001"))


@pytest.mark.parametrize(("left", "lookback"), [(40, 20), (10, 20)])
def test_it_agrees_with_paths_of_the_motion_it_assumes(left, lookback):
    random, ups, paths = Random(7), 0, 4000
    passed = [100.0 + step * 0.1 for step in range(max(lookback - left, 0))]
    spot = passed[-1] if passed else 100.0
    for _ in range(paths):
        price, path = spot, list(passed)
        for _second in range(left):
            price += random.gauss(0, 1)
            path.append(price)
        ups += fmean(path[-lookback:]) >= 101
    expected = chance(
        str(spot),
        strike="101",
        left=str(left),
        lookback=str(lookback),
        averaged=str(fmean(passed)) if passed else None,
    )
    assert abs(Decimal(ups) / paths - expected) < Decimal("0.03")


def readings(*points):
    return [Reading(AT + timedelta(seconds=seconds), Decimal(price)) for seconds, price in points]


def test_volatility_is_the_root_of_squared_changes_over_time():
    zigzag = readings(*((second, 100 + second % 2) for second in range(21)))
    assert volatility_of(zigzag) == 1
    sparse = readings(*((second * 4, 100 + second % 2) for second in range(21)))
    assert volatility_of(sparse) == Decimal("0.5")


def test_too_few_changes_give_no_volatility():
    assert volatility_of(readings(*((second, 100) for second in range(20)))) is None
    same_instant = readings(*((0, 100 + second) for second in range(40)))
    assert volatility_of(same_instant) is None
    assert volatility_of([]) is None


def test_the_mean_of_nothing_is_unknown():
    assert mean_of([]) is None
    assert mean_of(readings((0, 100), (1, 101))) == Decimal("100.5")
