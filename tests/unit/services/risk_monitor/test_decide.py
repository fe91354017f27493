"""Whether a position is left, whether it may be decided at all, and what a verification proves."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.risk_monitor.decide import (
    Blindness,
    BookView,
    Fallback,
    Holdings,
    LastAnswer,
    Sighting,
    TokenFold,
    Watched,
    blind_reason,
    exit_rules,
    fallback,
    fold_trades,
    judge,
    period,
    token_fold,
    verify_by_last,
    verify_by_venue,
    verify_locally,
)
from shared.domain.breaker import KillSwitch, TripReason
from shared.domain.controls import Controls
from shared.domain.exits import ExitFacts
from shared.domain.modes import Mode
from shared.domain.orders import OrderSide
from shared.domain.positions import ExitReason, PositionState
from shared.domain.trades import FillState, VenueTrade

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
D = Decimal
S, R = PositionState, ExitReason
BUY, SELL = OrderSide.BUY, OrderSide.SELL


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def watched(**changes):
    """A position bought at 0.50 with a stop at 0.425 and a profit at 0.60, seen clearly and at rest."""
    facts = {
        "state": S.MONITORING, "held_shares": D(4), "bought_shares": D(4), "bought_usdc": D(2), "peak_bid": None,
        "closes_at": NOW + timedelta(seconds=30), "stop_loss": D("0.15"), "take_profit": D("0.20"), "trailing": None,
    }  # fmt: skip
    book = {"best_bid": D("0.50"), "continuous": True, "received_at": ago(0), "heard_at": ago(0)}
    whole = {
        "position_id": "pos", "account_id": "desk", "mode": Mode.LIVE, "exit_reason": None,
        "kill_switch": KillSwitch.OFF, "verified_at": ago(1), "breaker_reason": None, "now": NOW,
    }  # fmt: skip
    has_book = changes.pop("has_book", True)
    for part in (facts, book, whole):
        part |= {name: changes.pop(name) for name in list(changes) if name in part}
    assert not changes, changes
    return Watched(facts=ExitFacts(**facts), book=BookView(**book) if has_book else None, **whole)


def reason(seen):
    decision = judge(seen).exit
    return None if decision is None else decision.reason


@pytest.mark.parametrize(
    ("bid", "expected"),
    [("0.43", None), ("0.425", R.STOP_LOSS), ("0.01", R.STOP_LOSS), ("0.59", None), ("0.60", R.TAKE_PROFIT)],
)
def test_prices_decide_what_is_seen_and_verified(bid, expected):
    assert reason(watched(best_bid=D(bid))) == expected


BLINDING = {
    "no book": ({"has_book": False}, Blindness.NO_BOOK),
    "a broken book": ({"continuous": False}, Blindness.BROKEN_BOOK),
    "a stale book": ({"heard_at": ago(10.1)}, Blindness.STALE_BOOK),
    "never verified": ({"verified_at": None}, Blindness.UNVERIFIED),
    "tripped because we are blind": ({"breaker_reason": TripReason.STOP_LOSS_BLIND}, Blindness.TRIPPED),
    "tripped because nobody answers": (
        {"breaker_reason": TripReason.VERIFICATION_RATE_LIMITED},
        Blindness.TRIPPED,
    ),
    "verified too long ago": ({"verified_at": ago(10.1)}, Blindness.UNVERIFIED),
}


@pytest.mark.parametrize("case", BLINDING)
def test_what_cannot_be_seen_decides_no_price_rule_and_is_told(case):
    changes, why = BLINDING[case]
    found = judge(watched(best_bid=D("0.01"), trailing=D("0.1"), **changes))
    assert (found.exit, found.peak, found.blind) == (None, None, why)


@pytest.mark.parametrize("case", BLINDING)
@pytest.mark.parametrize("switch", [KillSwitch.FLATTEN, KillSwitch.EMERGENCY])
def test_a_person_leaves_without_seeing(case, switch):
    found = judge(watched(kill_switch=switch, **BLINDING[case][0]))
    assert (found.exit.reason, found.blind) == (R(switch.value), None)


@pytest.mark.parametrize("case", BLINDING)
def test_the_window_ends_without_being_seen(case):
    found = judge(watched(closes_at=NOW, **BLINDING[case][0]))
    assert (found.exit.reason, found.blind) == (R.EXPIRY, None)


def test_ten_seconds_old_is_still_seen():
    assert reason(watched(best_bid=D("0.01"), heard_at=ago(10), verified_at=ago(10))) is R.STOP_LOSS


def test_without_a_price_rule_there_is_nothing_to_be_blind_for():
    bare = {"stop_loss": None, "take_profit": None, "trailing": None}
    assert judge(watched(has_book=False, **bare)).blind is None


def test_nothing_held_is_nothing_to_leave():
    assert judge(watched(held_shares=D(0), best_bid=D("0.01"))) == judge(watched(held_shares=D(0)))


def test_a_peak_is_noted_only_for_a_trailing_stop_and_only_upwards():
    assert judge(watched(best_bid=D("0.55"))).peak is None
    assert judge(watched(best_bid=D("0.55"), trailing=D("0.2"))).peak == D("0.55")
    assert judge(watched(best_bid=D("0.55"), trailing=D("0.2"), peak_bid=D("0.55"))).peak is None
    assert judge(watched(best_bid=D("0.55"), trailing=D("0.2"), peak_bid=D("0.54"))).peak == D("0.55")


# what a switch or the window's end makes of an exit already under way: state, its reason, switch, over
UNDER_WAY = [
    (S.STOP_TRIGGERED, R.STOP_LOSS, KillSwitch.OFF, False, None),
    (S.STOP_TRIGGERED, R.STOP_LOSS, KillSwitch.PAUSE, False, None),
    (S.STOP_TRIGGERED, R.STOP_LOSS, KillSwitch.FLATTEN, False, R.FLATTEN),
    (S.TAKE_PROFIT_TRIGGERED, R.TAKE_PROFIT, KillSwitch.EMERGENCY, False, R.EMERGENCY),
    (S.FLATTEN_TRIGGERED, R.FLATTEN, KillSwitch.FLATTEN, False, None),
    (S.FLATTEN_TRIGGERED, R.FLATTEN, KillSwitch.EMERGENCY, False, R.EMERGENCY),
    (S.FLATTEN_TRIGGERED, R.EMERGENCY, KillSwitch.EMERGENCY, False, None),
    (S.FLATTEN_TRIGGERED, R.EMERGENCY, KillSwitch.FLATTEN, False, None),
    (S.EXIT_PENDING, R.STOP_LOSS, KillSwitch.FLATTEN, False, R.FLATTEN),
    (S.EXIT_PENDING, R.STOP_LOSS, KillSwitch.OFF, True, None),
    (S.STOP_TRIGGERED, R.STOP_LOSS, KillSwitch.OFF, True, R.EXPIRY),
    (S.STOP_TRIGGERED, R.STOP_LOSS, KillSwitch.FLATTEN, True, R.EXPIRY),
    (S.SETTLEMENT, None, KillSwitch.EMERGENCY, True, None),
    (S.OPENING, None, KillSwitch.EMERGENCY, False, None),
]


@pytest.mark.parametrize(("state", "because", "switch", "over", "expected"), UNDER_WAY)
def test_an_exit_under_way_is_only_sharpened(state, because, switch, over, expected):
    closes_at = NOW if over else NOW + timedelta(seconds=30)
    seen = watched(
        state=state, exit_reason=because, kill_switch=switch, closes_at=closes_at, best_bid=D("0.01")
    )
    assert reason(seen) == expected


def test_rules_are_the_signals_own_then_the_controls():
    controls = Controls(stop_loss=D("0.3"), take_profit=None, trailing_stop=D("0.1"))
    assert exit_rules({}, controls) == (D("0.3"), None, D("0.1"))
    assert exit_rules({"stop_loss": "0.05", "trailing": None}, controls) == (D("0.05"), None, None)
    with pytest.raises(ValueError, match="not a number"):
        exit_rules({"stop_loss": "tight"}, controls)


def holdings(*, tokens=None, broken=(), **before):
    return Holdings("desk", Mode.LIVE, tokens or {}, tuple(broken), Sighting(**before), NOW)


HELD = TokenFold(held=D(4), chain_min=D(4), chain_max=D(4))


def test_locally_the_sums_must_be_whole():
    assert verify_locally(holdings()).verified
    assert verify_locally(holdings(broken=["pos"])).differences == ("pos",)
    assert not verify_locally(holdings(broken=["pos"])).verified


@pytest.mark.parametrize(
    ("traded", "balance", "verified"),
    [("4", "4", True), ("3", "4", False), ("4", "3.999999", False), ("4", "4.000001", False)],
)
def test_trades_and_balances_must_both_be_the_books(traded, balance, verified):
    found = verify_by_venue(holdings(tokens={"1": HELD}), traded={"1": D(traded)}, balances={"1": D(balance)})
    assert found.verified is verified
    assert not found.trips


def test_while_a_trade_settles_the_balance_may_stand_between():
    settling = TokenFold(held=D(4), chain_min=D(0), chain_max=D(4))
    for balance in ("0", "4"):
        found = verify_by_venue(
            holdings(tokens={"1": settling}), traded={"1": D(4)}, balances={"1": D(balance)}
        )
        assert found.verified


def test_shares_the_book_has_none_of_trip_when_seen_twice_three_seconds_apart():
    seen = {"traded": {"1": D(4)}, "balances": {"1": D(4)}}
    first = verify_by_venue(holdings(), **seen)
    assert (first.verified, first.unknown, first.trips) == (False, ("1",), False)
    assert not verify_by_venue(holdings(blind_since=ago(2.9)), **seen).trips
    assert verify_by_venue(holdings(blind_since=ago(3)), **seen).trips
    assert not verify_by_venue(holdings(blind_since=ago(60)), traded={}, balances={}).trips


def test_what_the_book_holds_and_the_venue_does_not_show_is_orphaned_once_it_is_no_race():
    held = {"1": TokenFold(D(4), D(4), D(4))}
    for seen in (
        {"traded": {"1": D(3)}, "balances": {"1": D(4)}},
        {"traded": {"1": D(4)}, "balances": {"1": D(3)}},
    ):
        first = verify_by_venue(holdings(tokens=held), **seen)
        assert (first.verified, first.short, first.orphaned) == (False, ("1",), None)
        assert verify_by_venue(holdings(tokens=held, short_since=ago(2.9)), **seen).orphaned is None
        assert verify_by_venue(holdings(tokens=held, short_since=ago(3)), **seen).orphaned == ("1",)
    whole = {"traded": {"1": D(4)}, "balances": {"1": D(4)}}
    assert verify_by_venue(holdings(tokens=held, short_since=ago(3)), **whole).orphaned is None
    assert verify_by_venue(holdings(tokens=held, flagged=True), **whole).orphaned == (), "the flag falls"


def last(*, at_s=None, held_s=None):
    def when(seconds):
        return None if seconds is None else ago(seconds)

    return LastAnswer(when(at_s), {}, {}, when(held_s), NOW)


@pytest.mark.parametrize(
    ("answer", "then"),
    [
        (last(at_s=30, held_s=500), Fallback.USE),
        (last(at_s=30.1, held_s=500), Fallback.TRIP),
        (last(at_s=500, held_s=30), Fallback.WAIT),  # held only since: nobody can have seen it for longer
        (last(at_s=500, held_s=30.1), Fallback.TRIP),
        (last(held_s=30), Fallback.WAIT),
        (last(held_s=30.1), Fallback.TRIP),
        (last(), Fallback.TRIP),
    ],
)
def test_a_limited_venues_last_answer_counts_for_half_a_minute(answer, then):
    assert fallback(answer) is then


def test_an_old_answer_verifies_and_proves_nothing_else():
    held = {"1": TokenFold(D(4), D(4), D(4))}
    same = replace(last(at_s=1), traded={"1": D(4)}, balances={"1": D(4)})
    assert verify_by_last(holdings(tokens=held), same).verified
    other = replace(last(at_s=1), traded={"2": D(4)}, balances={"2": D(4)})
    found = verify_by_last(
        holdings(tokens=held, blind_since=ago(60), short_since=ago(60), flagged=True), other
    )
    assert (found.verified, found.unknown, found.trips, found.short, found.orphaned) == (
        False,
        (),
        False,
        (),
        None,
    )


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({}, TripReason.STOP_LOSS_BLIND),
        ({"stop_loss": None}, TripReason.TAKE_PROFIT_BLIND),
        ({"stop_loss": None, "trailing_stop": D("0.1")}, TripReason.STOP_LOSS_BLIND),
        ({"stop_loss": None, "take_profit": None}, TripReason.STOP_LOSS_BLIND),
    ],
)
def test_a_trip_says_which_exits_are_blind(rules, reason):
    assert blind_reason(Controls(**rules)) is reason


def trade(side, state, shares):
    return VenueTrade("o", "t", "1", side, D(shares), D("0.5"), D(1), D(0), state, NOW)


def test_trades_fold_to_what_they_leave_and_a_failed_match_never_happened():
    trades = (
        trade(BUY, FillState.MATCHED, "4"),
        trade(SELL, FillState.CONFIRMED, "1"),
        trade(BUY, FillState.FAILED, "9"),
    )
    assert fold_trades(trades) == {"1": D(3)}


@pytest.mark.parametrize(
    ("fills", "unexplained", "expected"),
    [
        ([(BUY, FillState.MATCHED, D(4))], D(0), ("4", "0", "4")),
        ([(BUY, FillState.MINED, D(4))], D(0), ("4", "4", "4")),
        ([(BUY, FillState.CONFIRMED, D(4)), (SELL, FillState.MATCHED, D(3))], D(0), ("1", "1", "4")),
        ([(BUY, FillState.CONFIRMED, D(4)), (SELL, FillState.MINED, D(3))], D(0), ("1", "1", "1")),
        ([], D(4), ("4", "0", "4")),
        ([(BUY, FillState.CONFIRMED, D(4))], D(-3), ("1", "1", "4")),
    ],
)
def test_the_book_knows_between_which_balances_the_chain_may_stand(fills, unexplained, expected):
    fold = token_fold(tuple(fills), unexplained)
    assert (fold.held, fold.chain_min, fold.chain_max) == tuple(map(D, expected))


def test_periods_sort_in_time():
    assert period(ago(10), 10) < period(NOW, 10)
    assert period(NOW + timedelta(seconds=9), 10) == period(NOW, 10)
