"""When the venue is asked, what its mouths say together, and which way we say it went."""

from datetime import timedelta
from decimal import Decimal

import pytest

from services.reconciler.decide.resolving import (
    DueWindow,
    ask_again_after_s,
    contradicts,
    own_direction,
    venue_word,
)
from shared.domain.settlement import Direction, Payouts, Reading, ResolutionConflict
from shared.domain.windows import SettlementRule, WindowState
from tests.unit.services.reconciler.decide.samples import NOW, ago

ONE, ZERO, HALF = Decimal(1), Decimal(0), Decimal("0.5")
RULE = SettlementRule


@pytest.mark.parametrize(("age_s", "wait_s"), [(1, 0.5), (8, 1), (60, 7.5), (480, 60), (100_000, 60)])
def test_the_venue_is_asked_less_and_less_often(age_s, wait_s):
    assert ask_again_after_s(timedelta(seconds=age_s)) == wait_s


def test_one_mouth_is_enough_and_two_must_agree():
    assert venue_word([]) is None
    assert venue_word([("gamma", ONE, ZERO)]).payouts == Payouts(ONE, ZERO)
    assert venue_word([("data", HALF, HALF), ("clob", HALF, HALF)]).payouts == Payouts(HALF, HALF)
    assert isinstance(venue_word([("data", ONE, ZERO), ("clob", ZERO, ONE)]), ResolutionConflict)
    with pytest.raises(ValueError, match="no payout"):
        venue_word([("data", ONE, ONE)])


def series(boundary, *prices):
    """Prices a second apart, the middle one at the boundary."""
    first = -(len(prices) // 2)
    return [
        Reading(boundary + timedelta(seconds=first + i), Decimal(price)) for i, price in enumerate(prices)
    ]


def direction(rule, opening, closing):
    return own_direction(
        rule,
        opens_at=ago(60),
        closes_at=NOW,
        opening=series(ago(60), *opening),
        closing=series(NOW, *closing),
    )


FLAT = [100] * 9


@pytest.mark.parametrize(
    ("rule", "closing", "expected"),
    [
        (RULE.CHAINLINK_TWAP, [101] * 9, "UP"),
        (RULE.CHAINLINK_TWAP, FLAT, "UP"),
        (RULE.CHAINLINK_TWAP, [99] * 9, "DOWN"),
        (RULE.CHAINLINK_TWAP, [101] * 7 + [99] * 2, "UNDECIDED"),
        (RULE.CHAINLINK_TWAP, [101] * 5, "UNDECIDED"),
        (RULE.CHAINLINK_TWAP, [], "UNDECIDED"),
        (RULE.CHAINLINK_SPOT, [99] * 9, "DOWN"),
        (
            RULE.CHAINLINK_SPOT,
            [99] * 4 + [101] + [99] * 4,
            "UP",
        ),  # the report of the second itself, nothing after it
        (RULE.BINANCE_CANDLE, [101] * 5, "UP"),
        (RULE.BINANCE_CANDLE, [99] * 5 + [101] * 4, "DOWN"),
        (RULE.BINANCE_CANDLE, [], "UNDECIDED"),
    ],
)
def test_our_direction_by_the_markets_own_rule(rule, closing, expected):
    assert direction(rule, FLAT, closing) == Direction(expected)


def test_an_instantaneous_opening_that_was_missed_is_the_venues_strike_or_between_its_neighbours():
    around = [reading for reading in series(ago(60), *([100] * 4 + [0] + [102] * 4)) if reading.at != ago(60)]

    def decided(closing, strike=None):
        found = own_direction(
            RULE.CHAINLINK_SPOT,
            opens_at=ago(60),
            closes_at=NOW,
            opening=around,
            closing=series(NOW, *[closing] * 3),
            strike=strike,
        )
        return str(found)

    assert [decided(price) for price in (99, 101, 103)] == ["DOWN", "UNDECIDED", "UP"]
    assert decided(101, strike=Decimal(101)) == "UP"
    assert decided(101, strike=Decimal("101.5")) == "DOWN"


def test_only_a_decided_direction_contradicts():
    up = Payouts(ONE, ZERO)
    assert contradicts(Direction.DOWN, up)
    assert not contradicts(Direction.UP, up)
    assert not contradicts(Direction.UNDECIDED, up)
    assert not contradicts(Direction.DOWN, Payouts(HALF, HALF))


@pytest.mark.parametrize(
    ("closed_s", "state", "overdue"),
    [(599, WindowState.CLOSED, False), (601, WindowState.CLOSED, True), (601, WindowState.UNRESOLVED, False)],
)
def test_a_person_is_told_once_after_ten_minutes(closed_s, state, overdue):
    window = DueWindow(
        "w", "0xc", "BTC", state, RULE.CHAINLINK_TWAP, ago(closed_s + 60), ago(closed_s), None, NOW
    )
    assert window.overdue is overdue
