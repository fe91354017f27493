"""The ten assertions: each holds on good facts and names what broke it on bad ones."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from shared.domain.assertions import (
    EVERY_S,
    NAMES,
    EntryFacts,
    FillFacts,
    HoldingFacts,
    OrderFacts,
    SettlementFacts,
    SignalFacts,
    deployed_within_limit,
    entries_in_time,
    fills_positioned,
    holdings_agree,
    loops_quick,
    orders_named,
    orders_reported,
    positions_allowed,
    settlements_agree,
    signals_end_once,
)
from shared.domain.orders import TERMINAL, OrderState
from shared.domain.signals import SignalState

NOW = datetime(2026, 10, 5, 23, 0, tzinfo=UTC)
LONG_AGO, JUST_NOW = NOW - timedelta(seconds=11), NOW - timedelta(seconds=10)
S, O = SignalState, OrderState  # noqa: E741


def assert_result(result, number, *broken):
    assert result.number == number
    assert result.passed == (not broken)
    assert result.name == NAMES[number]
    assert len(result.broken) == len(broken)
    assert all(word in text for word, text in zip(broken, result.broken, strict=True))


@pytest.mark.parametrize(
    ("state", "refusal", "orders", "expires_at", "holds"),
    [
        (S.ORDERED, None, 1, LONG_AGO, True),
        (S.ORDERED, None, 0, LONG_AGO, False),
        (S.ORDERED, None, 2, LONG_AGO, False),
        (S.ORDERED, "COOLDOWN", 1, LONG_AGO, False),
        (S.REFUSED, "COOLDOWN", 0, LONG_AGO, True),
        (S.REFUSED, None, 0, LONG_AGO, False),
        (S.REFUSED, "COOLDOWN", 1, LONG_AGO, False),
        (S.EXPIRED, None, 0, LONG_AGO, True),
        (S.EXPIRED, None, 1, LONG_AGO, False),
        (S.NEW, None, 0, NOW - timedelta(seconds=9), True),
        (S.NEW, None, 0, LONG_AGO, False),  # nobody wrote how it ended
        (S.NEW, None, 1, NOW, False),
    ],
)
def test_1_every_signal_ends_once(state, refusal, orders, expires_at, holds):
    result = signals_end_once([SignalFacts("sig-1", state, refusal, orders, expires_at, LONG_AGO)], now=NOW)
    assert_result(result, 1, *([] if holds else ["sig-1"]))


@pytest.mark.parametrize(("decidable_since", "holds"), [(None, True), (JUST_NOW, False), (NOW, True)])
def test_1_a_signal_waits_for_somebody_who_may_decide_it(decidable_since, holds):
    signal = SignalFacts("sig-1", S.NEW, None, 0, LONG_AGO, decidable_since)
    assert_result(signals_end_once([signal], now=NOW), 1, *([] if holds else ["sig-1"]))


@pytest.mark.parametrize("state", OrderState)
def test_2_every_order_is_reported_in_ten_seconds(state):
    reported = state in TERMINAL or state in {O.LIVE, O.CANCELLING}
    assert_result(orders_reported([OrderFacts("0x1", state, JUST_NOW)], now=NOW), 2)
    assert_result(
        orders_reported([OrderFacts("0x1", state, LONG_AGO)], now=NOW), 2, *([] if reported else ["0x1"])
    )


def test_3_every_fill_is_in_its_position():
    good = FillFacts("pos-1", Decimal("2.1"), Decimal("2.10"))
    assert_result(fills_positioned([good]), 3)
    missing, short = FillFacts("pos-2", Decimal(1), None), FillFacts("pos-3", Decimal(1), Decimal("0.999999"))
    assert_result(fills_positioned([good, missing, short]), 3, "pos-2", "pos-3")


def holding(*, held_s=300, agreed_s=1, differences=(), orphans=(), blind=False):
    def ago(seconds):
        return None if seconds is None else NOW - timedelta(seconds=seconds)

    return HoldingFacts(ago(held_s), ago(agreed_s), differences, orphans, blind)


def test_4_the_book_holds_what_the_venue_holds():
    assert_result(holdings_agree(holding(), now=NOW), 4)
    assert_result(holdings_agree(holding(differences=("token 1",)), now=NOW), 4)  # a race, for all we know
    assert_result(holdings_agree(holding(differences=("token 1",), blind=True), now=NOW), 4, "token 1")
    assert_result(holdings_agree(holding(orphans=("pos-1",)), now=NOW), 4, "pos-1")


def test_4_what_nobody_confirmed_for_two_minutes_is_not_confirmed():
    assert_result(holdings_agree(holding(agreed_s=120), now=NOW), 4)
    assert_result(holdings_agree(holding(agreed_s=121), now=NOW), 4, "not confirmed since")
    assert_result(holdings_agree(holding(agreed_s=None), now=NOW), 4, "not confirmed since")
    assert_result(holdings_agree(holding(held_s=120, agreed_s=None), now=NOW), 4)
    assert_result(holdings_agree(holding(held_s=None, agreed_s=None), now=NOW), 4)
    assert_result(
        holdings_agree(holding(agreed_s=121, differences=("token 1",)), now=NOW),
        4,
        "not confirmed",
        "token 1",
    )


def test_5_profit_is_what_the_balance_gained():
    assert_result(settlements_agree([SettlementFacts("pos-1", Decimal("1.5"), Decimal("1.50"))]), 5)
    assert_result(
        settlements_agree([SettlementFacts("pos-1", Decimal("1.5"), Decimal("1.499999"))]), 5, "pos-1"
    )


def test_6_no_order_without_an_id():
    assert_result(orders_named([OrderFacts("0x1", O.FILLED, NOW)]), 6)
    assert_result(
        orders_named([OrderFacts(None, O.FILLED, NOW), OrderFacts("", O.FILLED, NOW)]), 6, NOW.isoformat(), ""
    )


def entry(*, instrument="BTC", allowed=("BTC",), entered_at=NOW, opens_at=NOW):
    return EntryFacts("pos-1", instrument, frozenset(allowed), entered_at, opens_at)


def test_7_no_position_outside_the_list_of_its_claim():
    assert_result(positions_allowed([entry(), entry(allowed=("*",))]), 7)
    assert_result(positions_allowed([entry(allowed=())]), 7, "pos-1")
    assert_result(positions_allowed([entry(instrument="ETH")]), 7, "pos-1")


def test_8_no_entry_before_its_window_opens():
    assert_result(entries_in_time([entry()]), 8)
    assert_result(entries_in_time([entry(opens_at=NOW + timedelta(microseconds=1))]), 8, "pos-1")


def test_9_what_is_deployed_stays_within_the_sessions_limit():
    terms = {"positions_usdc": Decimal(12), "max_session_loss_usdc": Decimal(20)}
    assert_result(deployed_within_limit(reserved_usdc=Decimal(8), **terms), 9)
    assert_result(deployed_within_limit(reserved_usdc=Decimal("8.000001"), **terms), 9, "20.000001 of 20")


def test_10_no_loop_over_five_seconds():
    assert_result(loops_quick({}), 10)
    assert_result(loops_quick({"execution/one lead": "5.001"}), 10, "execution/one lead took 5.001 s")


def test_each_has_a_schedule():
    assert EVERY_S.keys() == NAMES.keys() == set(range(1, 11))
