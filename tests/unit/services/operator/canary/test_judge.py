"""The ten points: all hold for a good window, and each is noticed when it alone does not."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from services.operator.canary.judge import CanaryWindow, points

AT = datetime(2026, 10, 5, 23, 14, tzinfo=UTC)
GOOD = CanaryWindow(
    window_id="btc-updown-15m-1791241200",
    account_id="canary",
    mode="LIVE",
    instrument="BTC",
    side="UP",
    confidence=Decimal("0.98"),
    signalled_at=AT,
    signal_state="ORDERED",
    refusal=None,
    order_id="0x1",
    order_state="FILLED",
    sent_at=AT,
    fills=1,
    unconfirmed_fills=0,
    filled_shares=Decimal("1.0101"),
    filled_usdc=Decimal("0.999999"),
    position_state="CLOSED",
    position_side="UP",
    bought_shares=Decimal("1.0101"),
    verifications=5,
    failed_verifications=0,
    oracle_at_close=Decimal(64123),
    our_direction="UP",
    venue_direction="UP",
    payout=Decimal(1),
    paid_usdc=Decimal("1.0101"),
    booked_pnl_usdc=Decimal("0.009401"),
    check_agrees=True,
    balance_delta_usdc=Decimal("0.009401"),
)


def broken(window: CanaryWindow) -> list[int]:
    return [point.number for point in points(window) if not point.held]


def test_a_good_window_holds_all_ten() -> None:
    assert len(points(GOOD)) == 10
    assert broken(GOOD) == []


@pytest.mark.parametrize(
    ("change", "number"),
    [
        ({"signal_state": "REFUSED", "refusal": "NO_LIQUIDITY"}, 1),
        ({"sent_at": None}, 2),
        ({"unconfirmed_fills": 1}, 3),
        ({"order_state": "UNKNOWN"}, 3),
        ({"position_side": "DOWN"}, 4),
        ({"verifications": 0}, 5),
        ({"failed_verifications": 1}, 5),
        ({"oracle_at_close": None}, 6),
        ({"position_state": "REDEEMING"}, 7),
        ({"paid_usdc": Decimal("1.0100")}, 8),
        ({"venue_direction": "DOWN"}, 9),
        ({"venue_direction": None}, 9),
        ({"check_agrees": False}, 10),
        ({"check_agrees": None}, 10),
        ({"balance_delta_usdc": None}, 10),
    ],
)
def test_one_point_that_does_not_hold_is_named(change: dict[str, object], number: int) -> None:
    assert broken(replace(GOOD, **change)) == [number]  # type: ignore[arg-type]


def test_a_direction_left_open_by_the_boundaries_is_no_contradiction() -> None:
    assert broken(replace(GOOD, our_direction="UNDECIDED")) == []


def test_a_loser_is_owed_nothing() -> None:
    lost = replace(
        GOOD, payout=Decimal(0), paid_usdc=Decimal(0), our_direction="DOWN", venue_direction="DOWN"
    )
    assert broken(lost) == []
