"""Whose direction, by which rule, at which boundary; and how the venue's word is read."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from shared.domain.settlement import (
    TWAP_SINCE,
    Direction,
    Payouts,
    Reading,
    Resolution,
    ResolutionConflict,
    agrees,
    boundary_prices,
    from_clob,
    from_data_api,
    from_gamma,
    our_direction,
    resolution,
    rule_of,
)
from shared.domain.windows import SettlementRule, Side

UP, DOWN, HALVES = (
    Payouts(Decimal(1), Decimal(0)),
    Payouts(Decimal(0), Decimal(1)),
    Payouts(Decimal("0.5"), Decimal("0.5")),
)
AT = datetime(2026, 10, 5, 23, 0, tzinfo=UTC)


def prices(*texts):
    return [None if text is None else Decimal(text) for text in texts]


@pytest.mark.parametrize(
    ("interval_s", "closes_at", "twap", "rule"),
    [
        (900, TWAP_SINCE, None, SettlementRule.CHAINLINK_TWAP),
        (900, TWAP_SINCE - timedelta(seconds=1), None, SettlementRule.CHAINLINK_SPOT),
        (300, AT, None, SettlementRule.CHAINLINK_TWAP),
        (300, AT, False, SettlementRule.CHAINLINK_SPOT),  # its own metadata outranks the date
        (300, TWAP_SINCE - timedelta(days=1), True, SettlementRule.CHAINLINK_TWAP),
        (14400, AT, None, SettlementRule.CHAINLINK_TWAP),
        (3600, AT, None, SettlementRule.BINANCE_CANDLE),
        (86400, AT, True, SettlementRule.BINANCE_CANDLE),
        (60, AT, True, SettlementRule.CHAINLINK_TWAP),  # a compressed window
    ],
)
def test_the_rule_follows_the_market_and_its_date(interval_s, closes_at, twap, rule):
    assert rule_of(interval_s=interval_s, closes_at=closes_at, twap_enabled=twap) is rule


@pytest.mark.parametrize(
    ("opening", "closing", "direction"),
    [
        (prices("100", "100", "100"), prices("101", "102", "103"), Direction.UP),
        (prices("100", "100", "100"), prices("100", "100", "100"), Direction.UP),  # a tie is Up
        (prices("100", "100", "100"), prices("99", "99.99", "98"), Direction.DOWN),
        (prices("100", "101", "100"), prices("100.5", "100.5", "100.5"), Direction.UNDECIDED),
        (prices("100", None, "100"), prices("101", "101", "101"), Direction.UNDECIDED),
        (prices("100", "100", "100"), prices("101", "101", None), Direction.UNDECIDED),
        ([], [], Direction.UNDECIDED),
    ],
)
def test_our_direction_is_what_every_candidate_says(opening, closing, direction):
    assert our_direction(opening, closing) is direction


def test_a_boundary_has_three_candidates():
    readings = [
        Reading(AT + timedelta(seconds=offset), Decimal(100 + offset)) for offset in (-2, -1, 1, 2, 4)
    ]
    assert boundary_prices(readings, AT) == (Decimal(99), Decimal(101), Decimal(104))
    assert boundary_prices([*readings[:2], Reading(AT, Decimal(100))], AT) == (
        Decimal(100),
        Decimal(100),
        None,
    )
    assert boundary_prices(readings, AT, shift=timedelta(seconds=2)) == (
        Decimal(99),
        Decimal(101),
        Decimal(102),
    )
    assert boundary_prices([], AT) == (None, None, None)


@pytest.mark.parametrize(
    ("closed", "texts", "payouts"),
    [
        (True, ("1", "0"), UP),
        (True, ("0", "1"), DOWN),
        (True, ("0.5", "0.5"), HALVES),
        (False, ("1", "0"), None),
        (True, ("0.9995", "0.0005"), None),  # it drifts before it is decided
        (True, ("1", "1"), None),
        (True, ("0", "0"), None),
        (True, ("1",), None),
    ],
)
def test_a_market_row_decides_when_closed_and_exact(closed, texts, payouts):
    assert from_gamma(closed=closed, prices=prices(*texts)) == payouts


@pytest.mark.parametrize(
    ("closed", "winners", "payouts"),
    [
        (True, (True, False), UP),
        (True, (False, True), DOWN),
        (True, (False, False), None),
        (True, (True, True), None),
        (False, (True, False), None),
        (True, (True,), None),
    ],
)
def test_the_exchange_decides_by_exactly_one_winner(closed, winners, payouts):
    assert from_clob(closed=closed, winners=winners) == payouts


@pytest.mark.parametrize(
    ("status", "micro", "payouts"),
    [
        ("resolved", (1_000_000, 0), UP),
        ("resolved", (0, 1_000_000), DOWN),
        ("resolved", (500_000, 500_000), HALVES),
        ("proposed", (1_000_000, 0), None),
        ("resolved", (999_999, 1), None),
        ("resolved", (), None),
    ],
)
def test_the_chain_decides_by_its_payouts(status, micro, payouts):
    assert from_data_api(status=status, payouts_micro=micro) == payouts


def test_the_first_word_counts_and_a_contradiction_is_nobodys_guess():
    assert resolution({"gamma": None, "clob": None}) is None
    assert resolution({"gamma": None, "clob": UP, "data": UP}) == Resolution(UP, "clob")
    assert resolution({"gamma": UP, "clob": DOWN}) == ResolutionConflict({"gamma": UP, "clob": DOWN})


def test_a_payout_belongs_to_a_side():
    assert (UP.of(Side.UP), UP.of(Side.DOWN), HALVES.of(Side.DOWN)) == (1, 0, Decimal("0.5"))
    assert (UP.winner, DOWN.winner, HALVES.winner) == (Side.UP, Side.DOWN, None)
    with pytest.raises(ValueError, match="no payout"):
        Payouts(Decimal("0.6"), Decimal("0.4"))


def test_ours_is_compared_only_where_both_are_decided():
    assert agrees(Direction.UP, UP) is True
    assert agrees(Direction.DOWN, UP) is False
    assert agrees(Direction.UNDECIDED, UP) is None
    assert agrees(Direction.UP, HALVES) is None
