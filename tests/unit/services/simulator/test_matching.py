"""Price-time priority on the mirrored book, budgets, fees."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.simulator.matching import (
    MICRO,
    Fill,
    MirroredBook,
    Taker,
    cash_of,
    changed_levels,
    taker_fee,
    to_micro,
)


def book(bids="", asks=""):
    def levels(text):
        return to_micro([(Decimal(p), Decimal(s)) for p, s in (level.split("x") for level in text.split())])

    return MirroredBook(levels(bids), levels(asks))


def micro(text):
    return int(Decimal(text) * MICRO)


def taker(side="BUY", limit="0.55", shares="0", budget="0", is_up=True):
    return Taker(is_up, side, micro(limit), shares=micro(shares), budget=micro(budget))


def seen(fills):
    return [(fill.price, fill.shares) for fill in fills]


def test_a_buy_takes_the_cheapest_asks_first_at_their_prices():
    fills, whole = book(asks="0.54x10 0.52x4 0.53x3").plan(taker(shares="9"), short_micro=1)
    assert whole
    assert seen(fills) == [(520_000, 4_000_000), (530_000, 3_000_000), (540_000, 2_000_000)]


def test_a_sell_takes_the_dearest_bids_first_and_stops_at_its_limit():
    fills, whole = book(bids="0.48x10 0.50x4 0.49x3").plan(taker("SELL", "0.49", "9"), short_micro=1)
    assert not whole
    assert seen(fills) == [(500_000, 4_000_000), (490_000, 3_000_000)]


def test_buying_down_meets_the_bids_of_up_at_one_minus_their_price():
    fills, _whole = book(bids="0.50x4 0.49x3").plan(
        taker(limit="0.51", shares="7", is_up=False), short_micro=1
    )
    assert seen(fills) == [(500_000, 4_000_000), (510_000, 3_000_000)]


def test_recorded_liquidity_comes_before_users_and_users_by_arrival():
    shown = book(asks="0.52x1")
    shown.rest("first", is_up=True, side="SELL", price=520_000, shares=MICRO)
    shown.rest("second", is_up=False, side="BUY", price=480_000, shares=MICRO)
    shown.rest("cheaper", is_up=True, side="SELL", price=510_000, shares=MICRO)
    fills, _whole = shown.plan(taker(shares="3.5"), short_micro=0)
    assert [fill.resting for fill in fills] == ["cheaper", None, "first", "second"]


@pytest.mark.parametrize(
    ("budget", "price", "shares", "cash"),
    [
        ("1.2", "0.55", 2_181_817, 1_199_999),
        ("1", "0.07", 14_285_713, 999_999),
        ("1.52", "0.71", 2_140_844, 1_519_999),
    ],
)
def test_a_budget_buys_what_the_captured_answers_show(budget, price, shares, cash):
    fills, whole = book(asks=f"{price}x1000").plan(taker(limit=price, budget=budget), short_micro=1)
    assert whole
    assert fills == [Fill(micro(price), shares, cash, None)]


def test_a_budget_walks_the_levels_and_leaves_no_dust_trade():
    shown = book(asks="0.50x10 0.51x100")
    fills, whole = shown.plan(taker(budget="5.004"), short_micro=1)
    assert whole
    assert seen(fills) == [(500_000, 10_000_000)]


def test_an_improved_price_gives_more_shares_not_change():
    fills, _whole = book(asks="0.40x1000").plan(taker(limit="0.55", budget="1"), short_micro=0)
    assert seen(fills) == [(400_000, 2_500_000)]


def test_taking_eats_the_book_of_both_tokens():
    shown = book(asks="0.52x4")
    wanted = taker(shares="3")
    fills, _whole = shown.plan(wanted, short_micro=1)
    shown.take(wanted, fills)
    assert shown.levels(is_up=True) == ({}, {520_000: 1_000_000})
    assert shown.levels(is_up=False) == ({480_000: 1_000_000}, {})


def test_a_new_frame_trades_with_the_orders_it_crosses():
    shown = book(bids="0.40x1", asks="0.60x1")
    shown.rest("mine", is_up=False, side="SELL", price=550_000, shares=5 * MICRO)  # BUY UP at 0.45
    met = shown.replace(
        to_micro([(Decimal("0.40"), Decimal(1))]), {440_000: 2 * MICRO, 450_000: MICRO, 460_000: MICRO}
    )
    assert [(order.order_id, shares) for order, shares in met] == [("mine", 3 * MICRO)]
    assert shown.asks == {460_000: MICRO}
    assert shown.resting["mine"].shares == 2 * MICRO


def test_crossing_is_seen_from_both_tokens():
    shown = book(bids="0.50x1", asks="0.52x1")
    assert shown.crosses(is_up=True, side="BUY", price=520_000)
    assert not shown.crosses(is_up=True, side="BUY", price=510_000)
    assert shown.crosses(is_up=False, side="BUY", price=500_000)
    assert not shown.crosses(is_up=False, side="SELL", price=490_000)
    assert not book().crosses(is_up=True, side="SELL", price=10_000)


def fee(shares, price, rounding="half_even", rate="0.07"):
    return taker_fee(micro(price), micro(shares), rate=Decimal(rate), exponent=1, rounding=rounding)


def test_fees_follow_the_published_formula():
    assert fee("100", "0.50") == micro("1.75")
    assert fee("10", "0.95") == micro("0.03325")
    assert (fee("5", "0.83", "down"), fee("5", "0.83", "up")) == (micro("0.04938"), micro("0.04939"))
    assert fee("5", "0.83", "half_even") == micro("0.04938")  # 0.0493850 exactly


@pytest.mark.parametrize("rounding", ["half_even", "up", "down"])
def test_a_fee_below_the_smallest_is_nothing(rounding):
    assert fee("0.0005", "0.50", rounding) == 0


def test_changed_levels_name_the_new_size_and_zero_for_what_is_gone():
    assert changed_levels({1: 5, 2: 6, 3: 7}, {1: 5, 2: 9, 4: 1}) == [(2, 9), (4, 1), (3, 0)]


LEVELS = st.dictionaries(st.integers(1, 99).map(lambda p: p * 10_000), st.integers(1, 10**9), max_size=12)


@given(
    asks=LEVELS,
    bids=LEVELS,
    side=st.sampled_from(["BUY", "SELL"]),
    is_up=st.booleans(),
    limit=st.integers(1, 99),
    amount=st.integers(10**6, 10**9),
    budget=st.booleans(),
)
def test_a_plan_never_breaks_the_limit_the_target_or_the_book(
    *, asks, bids, side, is_up, limit, amount, budget
):
    shown = MirroredBook(dict(bids), dict(asks))
    by_budget = budget and side == "BUY"
    wanted = Taker(
        is_up, side, limit * 10_000, shares=0 if by_budget else amount, budget=amount if by_budget else 0
    )
    fills, _whole = shown.plan(wanted, short_micro=1)
    sign = 1 if side == "BUY" else -1
    assert all(sign * fill.price <= sign * wanted.limit for fill in fills)
    assert [fill.price for fill in fills] == sorted(
        (fill.price for fill in fills), key=lambda price: sign * price
    )
    assert all(fill.cash == cash_of(fill.price, fill.shares) and fill.shares > 0 for fill in fills)
    assert sum(fill.cash if by_budget else fill.shares for fill in fills) <= amount
    before = sum(sum(levels.values()) for levels in shown.levels(is_up=is_up))
    shown.take(wanted, fills)
    after = shown.levels(is_up=is_up)
    assert before - sum(sum(levels.values()) for levels in after) == sum(fill.shares for fill in fills)
    assert all(shares > 0 for levels in after for shares in levels.values())
