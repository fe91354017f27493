"""Fees against the venue's published examples, and the bound a BUY reserves."""

from decimal import ROUND_DOWN, ROUND_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.fees import FEE_STEP, fee_per_share, is_supported, largest_fee, taker_fee
from shared.domain.windows import FeeSchedule

CRYPTO = FeeSchedule(rate=Decimal("0.07"), exponent=1)


@pytest.mark.parametrize(
    ("shares", "price", "fee"),
    [("100", "0.50", "1.75000"), ("10", "0.95", "0.03325"), ("5", "0.83", "0.04938")],
)
def test_the_fee_is_the_published_one(shares, price, fee):
    assert taker_fee(Decimal(shares), Decimal(price), CRYPTO) == Decimal(fee)


def test_the_fifth_decimal_goes_where_it_is_told():
    shares, price = Decimal(5), Decimal("0.83")  # 0.0493850 exactly: the direction is undocumented
    assert taker_fee(shares, price, CRYPTO, rounding=ROUND_DOWN) == Decimal("0.04938")
    assert taker_fee(shares, price, CRYPTO, rounding=ROUND_UP) == Decimal("0.04939")


@pytest.mark.parametrize("rounding", [ROUND_DOWN, ROUND_UP])
def test_a_fee_below_one_step_is_nothing_whatever_the_rounding(rounding):
    assert taker_fee(Decimal("0.0005"), Decimal("0.5"), CRYPTO, rounding=rounding) == 0
    assert taker_fee(Decimal("0.001"), Decimal("0.5"), CRYPTO, rounding=rounding) == FEE_STEP * (
        2 if rounding == ROUND_UP else 1
    )


def test_a_better_price_means_a_bigger_fee_for_the_same_dollars():
    amount = Decimal(5)
    fees = [
        amount / price * fee_per_share(price, CRYPTO)
        for price in (Decimal("0.9"), Decimal("0.5"), Decimal("0.1"))
    ]
    assert fees == sorted(fees)
    assert fees[0] < fees[-1]


@given(
    cents=st.integers(100, 100_000),
    price=st.integers(10, 999),
    exponent=st.sampled_from([1, 2]),
    rate=st.integers(10, 300),
    levels=st.integers(1, 8),
)
def test_the_reservation_covers_the_fee_at_any_price_over_any_levels(cents, price, exponent, rate, levels):
    schedule = FeeSchedule(rate=Decimal(rate) / 1000, exponent=exponent)
    amount, unit = Decimal(cents) / 100, Decimal(price) / 1000
    shares = amount / unit / levels
    paid = taker_fee(shares, unit, schedule, rounding=ROUND_UP) * levels
    assert paid <= largest_fee(amount, schedule)


def test_the_reservation_is_the_amount_times_the_rate():
    assert largest_fee(Decimal("5.00"), CRYPTO) == Decimal("0.35")
    assert largest_fee(Decimal("1.01"), FeeSchedule(Decimal("0.0725"), 1)) == Decimal("0.07323")


@pytest.mark.parametrize(
    "schedule",
    [
        FeeSchedule(Decimal("0.07"), 3),
        FeeSchedule(Decimal("0.07"), 0),
        FeeSchedule(Decimal("-0.01"), 1),
        FeeSchedule(Decimal(1), 1),
        FeeSchedule(Decimal("0.07"), 1, taker_only=False),
    ],
)
def test_an_unknown_kind_of_fee_is_not_supported(schedule):
    assert not is_supported(schedule)
    assert is_supported(CRYPTO)
    assert is_supported(FeeSchedule(Decimal(0), 2))
