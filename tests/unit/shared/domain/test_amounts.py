"""Amounts against the venue's own client, and the bounds that hold for every order."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.amounts import (
    AMOUNT_DECIMALS,
    FINEST_TICK,
    bounded_entry_price,
    exit_price,
    limit_amounts,
    market_amounts,
    propose_entry,
    sellable_shares,
)
from shared.domain.money import is_on_grid
from shared.domain.orders import OrderSide
from shared.domain.windows import FeeSchedule

BUY, SELL = OrderSide.BUY, OrderSide.SELL
CENT, MILLI = Decimal("0.01"), Decimal("0.001")
CRYPTO = FeeSchedule(rate=Decimal("0.07"), exponent=1)


@pytest.mark.parametrize(
    ("side", "shares", "price", "tick", "amounts"),
    [
        (BUY, "21.04", "0.56", "0.01", (11782400, 21040000)),
        (SELL, "100.5", "0.34", "0.01", (100500000, 34170000)),
        (BUY, "17.777", "0.0034", "0.0001", (60418, 17770000)),
        (BUY, "12.345", "0.845", "0.005", (10427300, 12340000)),
    ],
)
def test_a_limit_order_rounds_as_the_venues_client(side, shares, price, tick, amounts):
    assert limit_amounts(side, Decimal(shares), Decimal(price), Decimal(tick)) == amounts


@pytest.mark.parametrize(
    ("side", "amount", "price", "maker", "taker"),
    [
        (BUY, "10", "0.52", 10000000, 19230700),
        (BUY, "1.20", "0.55", 1200000, 2181800),
        (SELL, "2.18", "0.53", 2180000, 1155400),
        (BUY, "1.209", "0.55", 1200000, 2181800),
    ],
)
def test_a_market_order_rounds_as_the_venues_client(side, amount, price, maker, taker):
    assert market_amounts(side, Decimal(amount), Decimal(price), CENT) == (maker, taker)


@given(
    cents=st.integers(100, 1_000_000),
    steps=st.integers(1, 9999),
    tick=st.sampled_from(sorted(AMOUNT_DECIMALS)),
    side=st.sampled_from(OrderSide),
)
def test_market_amounts_equal_the_venues_own_client(cents, steps, tick, side):
    from polymarket._internal.actions.orders.market import _compute_market_order_amounts  # noqa: PLC0415

    amount, price = Decimal(cents) / 100, (tick * steps) % 1
    if not is_on_grid(price, tick):
        price = tick
    expected = _compute_market_order_amounts(amount=amount, price=price, side=side.value, tick_size=tick)
    assert market_amounts(side, amount, price, tick) == expected


@given(
    size=st.integers(1, 10_000_000),
    steps=st.integers(1, 9999),
    tick=st.sampled_from(sorted(AMOUNT_DECIMALS)),
    side=st.sampled_from(OrderSide),
)
def test_limit_amounts_equal_the_venues_own_client(size, steps, tick, side):
    from polymarket._internal.actions.orders.limit import _compute_limit_order_amounts  # noqa: PLC0415

    shares, price = Decimal(size) / 1000, (tick * steps) % 1
    if not is_on_grid(price, tick):
        price = tick
    expected = _compute_limit_order_amounts(price=price, size=shares, side=side.value, tick_size=tick)
    assert limit_amounts(side, shares, price, tick) == expected


def test_an_unknown_tick_and_a_price_off_the_grid_are_refused():
    with pytest.raises(ValueError, match="no tick"):
        market_amounts(BUY, Decimal(1), Decimal("0.5"), Decimal("0.02"))
    with pytest.raises(ValueError, match="grid"):
        market_amounts(BUY, Decimal(1), Decimal("0.505"), CENT)
    with pytest.raises(ValueError, match="grid"):
        limit_amounts(SELL, Decimal(1), Decimal(1), CENT)


@pytest.mark.parametrize(
    ("signal", "slippage", "tick", "limit"),
    [
        ("0.50", "0.02", "0.01", "0.52"),
        ("0.50", "0.025", "0.01", "0.52"),  # floored: never beyond the bound
        ("0.505", "0", "0.01", "0.50"),
        ("0.505", "0", "0.001", "0.505"),
        ("0.99", "0.02", "0.01", "0.99"),  # the highest price there is
        ("0.004", "0.001", "0.01", None),  # below the lowest one
    ],
)
def test_an_entry_price_is_on_the_grid_and_never_beyond_its_bound(signal, slippage, tick, limit):
    found = bounded_entry_price(Decimal(signal), Decimal(slippage), Decimal(tick))
    assert found == (None if limit is None else Decimal(limit))


def test_an_exit_accepts_less_with_every_attempt_and_in_an_emergency_anything():
    def price(attempt, *, slippage="0.05", emergency=False, bid="0.50"):
        return exit_price(Decimal(bid), Decimal(slippage), attempt=attempt, tick=CENT, emergency=emergency)

    assert [price(attempt) for attempt in range(3)] == [Decimal("0.45"), Decimal("0.40"), Decimal("0.35")]
    assert price(0, slippage="0") == Decimal("0.50")
    assert price(2, slippage="0") == Decimal("0.48"), "without slippage a step is a tick"
    assert price(50) == CENT
    assert price(0, emergency=True) == CENT
    assert price(0, bid="1.0", slippage="0") == Decimal("0.99")


def test_an_exit_offers_what_is_mined_and_not_offered_yet_in_whole_lots():
    assert sellable_shares(Decimal("2.181817"), Decimal(0)) == Decimal("2.18")
    assert sellable_shares(Decimal("2.181817"), Decimal(1)) == Decimal("1.18")
    assert sellable_shares(Decimal("1.00"), Decimal("1.01")) == 0


def propose(**changes):
    values = {
        "signal_price": Decimal("0.50"),
        "wanted_usdc": Decimal(4),
        "cap_usdc": Decimal(5),
        "max_slippage": Decimal("0.02"),
        "stop_loss": None,
        "exit_slippage": Decimal("0.05"),
        "tick": CENT,
        "fee": CRYPTO,
        **changes,
    }
    return propose_entry(**values)


def test_a_wish_under_the_cap_is_ordered_as_wished():
    order = propose()
    assert (order.limit_price, order.amount_usdc, order.fee_max_usdc) == (
        Decimal("0.52"),
        Decimal(4),
        Decimal("0.28"),
    )
    assert (order.maker_micro, order.taker_micro) == (4000000, 7692300)
    assert order.reservation_usdc == Decimal("4.28")


def test_the_cap_bounds_cost_and_fee_together():
    order = propose(wanted_usdc=Decimal(100))
    assert order.amount_usdc == Decimal("4.67")
    assert order.reservation_usdc <= 5 < (order.amount_usdc + Decimal("0.01")) * Decimal("1.07")


def test_the_cap_holds_where_the_fee_rounds_up_beyond_it():
    order = propose(
        wanted_usdc=Decimal(100), cap_usdc=Decimal("1.083225"), fee=FeeSchedule(Decimal("0.0725"), 1)
    )
    assert order.amount_usdc == Decimal("1.00"), (
        "1.01 and its fee of 0.073225 would fit, its fee in five decimals does not"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"wanted_usdc": Decimal("0.99")},
        {"cap_usdc": Decimal("1.06")},
        {"cap_usdc": Decimal(-1)},
        {"tick": Decimal("0.02")},
        {"signal_price": Decimal("0.001"), "max_slippage": Decimal(0)},
    ],
)
def test_where_no_lawful_order_fits_there_is_none(changes):
    assert propose(**changes) is None


def test_rounding_that_would_let_an_order_pay_above_its_limit_makes_none():
    # 1 USDC at 0.7 on a tick of 0.1 is 1.428 shares: 0.70028 a share, above the next price of a finer tick
    assert (
        propose(
            wanted_usdc=Decimal(1), signal_price=Decimal("0.7"), max_slippage=Decimal(0), tick=Decimal("0.1")
        )
        is None
    )


def test_a_stop_raises_a_small_wish_until_its_exit_is_worth_the_venues_minimum():
    assert propose(wanted_usdc=Decimal(1)).amount_usdc == 1
    order = propose(wanted_usdc=Decimal(1), stop_loss=Decimal("0.15"))
    exit_limit = Decimal("0.39")  # 0.52 x 0.85 = 0.442, less 0.05, floored to the tick
    assert order.amount_usdc == Decimal("1.34")
    assert sellable_shares(Decimal(order.taker_micro) / 10**6, Decimal(0)) * exit_limit >= 1


def test_a_stop_that_could_never_be_sold_makes_no_entry():
    assert propose(signal_price=Decimal("0.05"), max_slippage=Decimal(0), stop_loss=Decimal("0.15")) is None


@st.composite
def wishes(draw):
    """Everything a proposal depends on."""
    stop = draw(st.none() | st.integers(1, 60))
    return {
        "signal_price": Decimal(draw(st.integers(1, 999))) / 1000,
        "max_slippage": Decimal(draw(st.integers(0, 50))) / 1000,
        "wanted_usdc": Decimal(draw(st.integers(100, 2000))) / 100,
        "cap_usdc": Decimal(draw(st.integers(100, 2000))) / 100,
        "stop_loss": None if stop is None else Decimal(stop) / 100,
        "tick": draw(st.sampled_from([CENT, MILLI])),
    }


@given(wishes())
def test_no_order_costs_more_than_its_cap_or_pays_more_than_its_bound(wish):
    order = propose(**wish)
    if order is None:
        return
    assert order.limit_price <= wish["signal_price"] + wish["max_slippage"]
    assert is_on_grid(order.limit_price, wish["tick"])
    assert order.reservation_usdc <= wish["cap_usdc"]
    assert order.amount_usdc >= 1
    implied = Decimal(order.maker_micro) / order.taker_micro
    assert order.limit_price <= implied < order.limit_price + FINEST_TICK
    if wish["stop_loss"] is not None:
        bid = order.limit_price * (1 - wish["stop_loss"])
        exit_limit = exit_price(bid, Decimal("0.05"), attempt=0, tick=wish["tick"], emergency=False)
        assert sellable_shares(Decimal(order.taker_micro - 10) / 10**6, Decimal(0)) * exit_limit >= 1
