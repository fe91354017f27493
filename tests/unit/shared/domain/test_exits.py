"""The one exit decision, to the tick (R4), and which rule wins where several hold."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from shared.domain.breaker import KillSwitch
from shared.domain.exits import ExitDecision, ExitFacts, decide_exit, trailing_price
from shared.domain.positions import ExitReason, PositionState

CLOSE = datetime(2026, 10, 5, 23, 15, tzinfo=UTC)
BEFORE = CLOSE - timedelta(seconds=1)


def facts(**changes):
    """Ten shares bought at 0.50."""
    values = {
        "state": PositionState.MONITORING,
        "held_shares": Decimal(10),
        "bought_shares": Decimal(10),
        "bought_usdc": Decimal(5),
        "peak_bid": None,
        "closes_at": CLOSE,
        "stop_loss": None,
        "take_profit": None,
        "trailing": None,
        **{name: Decimal(value) if type(value) is str else value for name, value in changes.items()},
    }
    return ExitFacts(**values)


def decide(position, bid=None, *, now=BEFORE, switch=KillSwitch.OFF):
    return decide_exit(position, best_bid=None if bid is None else Decimal(bid), now=now, kill_switch=switch)


def reason(*args, **kwargs):
    decision = decide(*args, **kwargs)
    return None if decision is None else decision.reason


STOP, PROFIT, TRAIL = ExitReason.STOP_LOSS, ExitReason.TAKE_PROFIT, ExitReason.TRAILING_STOP


@pytest.mark.parametrize(
    ("rule", "bid", "expected"),
    [
        ({"stop_loss": "0.15"}, "0.426", None),
        ({"stop_loss": "0.15"}, "0.425", STOP),  # at the threshold, not a tick late
        ({"stop_loss": "0.15"}, "0.42", STOP),
        ({"stop_loss": "0.05"}, "0.48", None),
        ({"stop_loss": "0.05"}, "0.47", STOP),
        ({"stop_loss": "0.50"}, "0.26", None),  # the control of the variation matrix
        ({"take_profit": "0.20"}, "0.599", None),
        ({"take_profit": "0.20"}, "0.60", PROFIT),
        ({"take_profit": "0.20"}, "0.99", PROFIT),
        ({"take_profit": "1.50"}, "0.99", None),  # above a dollar: it can never come
        ({"trailing": "0.10", "peak_bid": "0.60"}, "0.541", None),
        ({"trailing": "0.10", "peak_bid": "0.60"}, "0.54", TRAIL),
        ({"trailing": "0.10"}, "0.50", None),  # its first bid is its peak
        ({"trailing": "0.10", "peak_bid": "0.60"}, "0.70", None),  # a new peak by itself
        ({"stop_loss": "0.05", "take_profit": "0.20"}, "0.475", STOP),
        ({"stop_loss": "0.05", "take_profit": "0.20"}, "0.60", PROFIT),
        ({}, "0.01", None),
    ],
)
def test_a_rule_triggers_on_the_first_tick_at_its_threshold(rule, bid, expected):
    assert reason(facts(**rule), bid) is expected


def test_the_decision_keeps_the_intended_and_the_seen_price():
    assert decide(facts(stop_loss="0.15"), "0.40") == ExitDecision(STOP, Decimal("0.425"), Decimal("0.40"))
    assert decide(facts(take_profit="0.20"), "0.65") == ExitDecision(PROFIT, Decimal("0.60"), Decimal("0.65"))


def test_a_new_peak_raises_the_trailing_threshold_at_once():
    assert trailing_price(facts(trailing="0.10", peak_bid="0.60"), Decimal("0.70")) == Decimal("0.63")
    assert trailing_price(facts(trailing="0.10", peak_bid="0.60"), Decimal("0.50")) == Decimal("0.54")


def test_thresholds_follow_the_average_cost_of_what_was_bought():
    position = facts(stop_loss="0.10", bought_shares="20", bought_usdc="9", held_shares="5")
    assert reason(position, "0.406") is None
    assert reason(position, "0.405") is STOP


ALL = {"stop_loss": "0.05", "trailing": "0.05", "peak_bid": "0.90", "take_profit": "0.01"}


def test_the_strongest_reason_wins():
    assert reason(facts(**ALL), "0.40", switch=KillSwitch.EMERGENCY) is ExitReason.EMERGENCY
    assert reason(facts(**ALL), "0.40", switch=KillSwitch.FLATTEN) is ExitReason.FLATTEN
    assert reason(facts(**ALL), "0.40") is STOP
    assert reason(facts(**ALL), "0.60") is TRAIL
    assert reason(facts(**{**ALL, "trailing": None}), "0.60") is PROFIT
    assert reason(facts(), "0.60", now=CLOSE) is ExitReason.EXPIRY


@pytest.mark.parametrize("switch", [KillSwitch.EMERGENCY, KillSwitch.FLATTEN])
def test_a_kill_switch_outranks_the_close(switch):
    assert reason(facts(), "0.5", now=CLOSE, switch=switch) == switch.value


def test_at_the_close_price_rules_end():
    assert reason(facts(**ALL), "0.01", now=CLOSE) is ExitReason.EXPIRY
    assert reason(facts(**ALL), "0.01", now=BEFORE) is STOP


def test_pause_leaves_exits_alone():
    assert reason(facts(), "0.5", switch=KillSwitch.PAUSE) is None
    assert reason(facts(stop_loss="0.15"), "0.1", switch=KillSwitch.PAUSE) is STOP


def test_without_a_bid_no_price_rule_moves_but_the_switches_do():
    assert reason(facts(**ALL), None) is None
    assert reason(facts(**ALL), None, switch=KillSwitch.FLATTEN) is ExitReason.FLATTEN
    assert reason(facts(**ALL), None, now=CLOSE) is ExitReason.EXPIRY


@pytest.mark.parametrize("state", sorted(set(PositionState) - {PositionState.MONITORING}))
def test_only_a_monitored_position_is_decided(state):
    assert reason(facts(state=state, **ALL), "0.01", switch=KillSwitch.EMERGENCY) is None


def test_a_position_without_shares_is_left():
    assert reason(facts(held_shares="0", **ALL), "0.01") is None
    assert reason(facts(bought_shares="0", bought_usdc="0", **ALL), "0.01") is None
