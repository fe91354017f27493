"""Walking a book: exact, in order, never beyond the limit, never more than there is."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.books import Level
from shared.domain.fills import BookFill, walk
from shared.domain.money import MICRO
from shared.domain.orders import OrderSide

BUY, SELL = OrderSide.BUY, OrderSide.SELL


def levels(*pairs):
    return tuple(Level(Decimal(price), Decimal(size)) for price, size in pairs)


def fill(price, shares, usdc):
    return BookFill(Decimal(price), Decimal(shares), Decimal(usdc))


def test_a_buy_spends_dollars_level_by_level():
    asks = levels(("0.50", "4"), ("0.51", "100"))
    got = walk(asks, BUY, Decimal("0.52"), Decimal(5))
    assert got.fills == (fill("0.50", "4", "2.00"), fill("0.51", "5.882352", "2.999999"))
    assert (got.shares, got.usdc) == (Decimal("9.882352"), Decimal("4.999999"))


def test_a_sell_gives_shares_level_by_level():
    bids = levels(("0.50", "4"), ("0.49", "1.5"), ("0.40", "100"))
    got = walk(bids, SELL, Decimal("0.49"), Decimal(6))
    assert got.fills == (fill("0.50", "4", "2"), fill("0.49", "1.5", "0.735")), (
        "the rest is killed at the limit"
    )


def test_a_captured_fill_of_the_venue_is_reproduced_but_for_its_shortfall():
    got = walk(levels(("0.55", "50")), BUY, Decimal("0.55"), Decimal("1.2"))
    assert got.fills == (fill("0.55", "2.181818", "1.199999"),)  # the venue gave 2.181817


def test_a_level_beyond_the_limit_is_not_touched():
    assert walk(levels(("0.53", "10")), BUY, Decimal("0.52"), Decimal(1)).fills == ()
    assert walk(levels(("0.47", "10")), SELL, Decimal("0.48"), Decimal(1)).fills == ()


def test_a_rest_of_the_budget_below_a_hundredth_of_a_share_buys_nothing_more():
    got = walk(levels(("0.50", "1.999999"), ("0.51", "100")), BUY, Decimal("0.52"), Decimal(1))
    assert len(got.fills) == 1


def test_the_share_of_the_visible_depth_is_kept_and_flagged_over_half():
    asks = levels(("0.50", "10"), ("0.52", "10"), ("0.60", "1000"))
    assert walk(asks, BUY, Decimal("0.52"), Decimal("5.10")).depth_share == Decimal("0.5")
    assert not walk(asks, BUY, Decimal("0.52"), Decimal("5.10")).has_impact
    assert walk(asks, BUY, Decimal("0.52"), Decimal("5.11")).has_impact
    assert walk((), SELL, Decimal("0.01"), Decimal(1)).has_impact
    bids = levels(("0.50", "10"), ("0.49", "10"))
    assert walk(bids, SELL, Decimal("0.49"), Decimal(5)).depth_share == Decimal("0.25")


BOOKS = st.lists(
    st.tuples(st.integers(1, 99), st.integers(1, 50_000_000)), max_size=6, unique_by=lambda level: level[0]
)


@given(BOOKS, st.integers(1, 99), st.integers(1, 100_000_000), st.sampled_from(OrderSide))
def test_a_walk_never_takes_what_is_not_there_and_never_spends_what_it_has_not(book, limit, micro, side):
    ordered = sorted(book, reverse=side is SELL)
    offered = [Level(Decimal(cents) / 100, Decimal(size) * MICRO) for cents, size in ordered]
    amount, bound = Decimal(micro) * MICRO, Decimal(limit) / 100
    got = walk(offered, side, bound, amount)
    by_price = {level.price: level.size for level in offered}
    assert all(each.shares <= by_price[each.price] and each.shares > 0 for each in got.fills)
    assert all(each.price <= bound if side is BUY else each.price >= bound for each in got.fills)
    assert (got.usdc if side is BUY else got.shares) <= amount
    assert all(
        each.usdc == each.usdc.quantize(MICRO) and each.shares == each.shares.quantize(MICRO)
        for each in got.fills
    )
    assert all(0 <= each.price * each.shares - each.usdc < MICRO for each in got.fills)
    prices = [each.price for each in got.fills]
    assert prices == sorted(prices, reverse=side is SELL)
