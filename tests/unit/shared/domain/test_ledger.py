"""The ledger: bookings are functions of facts, and money neither appears nor vanishes."""

from decimal import Decimal
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.ledger import (
    PAYING_ORDER,
    Bucket,
    Buckets,
    Entry,
    OrderEffect,
    balances,
    net,
    rebook,
    targets,
)


def effect(*, buy=True, live=False, reserved="0", shares="0", usdc="0", fee="0"):
    return OrderEffect(buy, live, Decimal(reserved), Decimal(shares), Decimal(usdc), Decimal(fee))


def buckets(**amounts):
    return Buckets(**{name: Decimal(amount) for name, amount in amounts.items()})


BOUGHT = effect(shares="10", usdc="5", fee="0.175", reserved="5.35")


@pytest.mark.parametrize(
    ("effects", "settled", "expected"),
    [
        # claimed: the reservation is out of cash
        ([effect(live=True, reserved="5.35")], {}, buckets(reserved="5.35")),
        # partly matched and perhaps still live: the rest stays reserved
        (
            [effect(live=True, reserved="5.35", shares="4", usdc="2", fee="0.07")],
            {},
            buckets(reserved="3.28", positions="2", fees="0.07"),
        ),
        # matched for more than was set aside: nothing is reserved below zero
        (
            [effect(live=True, reserved="5.35", shares="11", usdc="5.5", fee="0.2")],
            {},
            buckets(positions="5.5", fees="0.2"),
        ),
        # done: what was not used is cash again
        ([BOUGHT], {}, buckets(positions="5", fees="0.175")),
        ([effect(reserved="5.35")], {}, buckets()),
        # a third sold at 0.6: the cost of what is left, rounded half up; profit leaves PNL
        (
            [BOUGHT, effect(buy=False, shares="3.33", usdc="1.998", fee="0.05")],
            {},
            buckets(positions="3.335", fees="0.225", pnl="-0.333"),
        ),
        # all sold at a loss
        (
            [BOUGHT, effect(buy=False, live=True, shares="10", usdc="4", fee="0.1")],
            {},
            buckets(fees="0.275", pnl="1"),
        ),
        # won: a receivable until the cash is seen
        ([BOUGHT], {"payout": 1}, buckets(receivable="10", fees="0.175", pnl="-5")),
        ([BOUGHT], {"payout": 1, "paid_usdc": "10", "paid_shares": "10"}, buckets(fees="0.175", pnl="-5")),
        # lost: written off at the resolution
        ([BOUGHT], {"payout": 0}, buckets(fees="0.175", pnl="5")),
        ([BOUGHT], {"payout": "0.5"}, buckets(receivable="5", fees="0.175", pnl="0")),
        # paid otherwise than expected: the P&L is the cash that came
        ([BOUGHT], {"payout": 1, "paid_usdc": "9.9", "paid_shares": "10"}, buckets(fees="0.175", pnl="-4.9")),
        # paid, and a share came back: it is owed again
        (
            [BOUGHT],
            {"payout": 1, "paid_usdc": "9", "paid_shares": "9"},
            buckets(receivable="1", fees="0.175", pnl="-5"),
        ),
        # paid, and the match is said to have failed: the cash that was seen stays
        ([effect(reserved="5.35")], {"paid_usdc": "10", "paid_shares": "10"}, buckets(pnl="-10")),
        # floored as the venue pays
        (
            [effect(shares="2.181817", usdc="1.199999")],
            {"payout": "0.5"},
            buckets(receivable="1.090908", pnl="0.109091"),
        ),
    ],
)
def test_a_position_is_booked_by_its_facts(effects, settled, expected):
    settled = {name: Decimal(value) for name, value in settled.items()}
    for order in permutations(effects):
        found = targets(order, **settled)
        assert found == expected
        assert sum(found.by_bucket().values()) == 0


def test_the_cost_of_the_rest_is_rounded_half_up():
    third = [effect(shares="3", usdc="1"), effect(buy=False, shares="1", usdc="0")]
    assert targets(third).positions == Decimal("0.666667")
    half = [effect(shares="2", usdc="0.000001"), effect(buy=False, shares="1", usdc="0")]
    assert targets(half).positions == Decimal("0.000001")


def test_selling_more_than_was_bought_leaves_nothing_negative():
    found = targets([BOUGHT, effect(buy=False, shares="11", usdc="5.5")])
    assert (found.positions, found.pnl) == (0, Decimal("-0.5"))
    assert targets([BOUGHT, effect(buy=False, shares="11", usdc="5.5")], payout=Decimal(1)).receivable == 0


AMOUNTS = st.integers(-(10**9), 10**9).map(lambda micro: Decimal(micro) / 10**6)


@given(st.lists(AMOUNTS, min_size=6, max_size=6))
def test_entries_change_the_buckets_by_exactly_the_deltas(amounts):
    deltas = dict(zip(Bucket, [*amounts, -sum(amounts)], strict=True))
    entries = net(deltas)
    assert balances(entries) == deltas
    assert all(entry.amount > 0 for entry in entries)
    assert len(entries) < len(Bucket)
    assert net(deltas) == entries


def test_sources_pay_sinks_in_the_fixed_order():
    deltas = {
        Bucket.RESERVED: Decimal(-3),
        Bucket.POSITIONS: Decimal(2),
        Bucket.FEES: Decimal("0.5"),
        Bucket.CASH: Decimal("0.5"),
    }
    assert net(deltas) == (
        Entry(Bucket.RESERVED, Bucket.POSITIONS, Decimal(2)),
        Entry(Bucket.RESERVED, Bucket.CASH, Decimal("0.5")),
        Entry(Bucket.RESERVED, Bucket.FEES, Decimal("0.5")),
    )
    assert PAYING_ORDER[-1] is Bucket.EXTERNAL


def test_deltas_that_make_money_are_refused():
    with pytest.raises(ValueError, match="zero"):
        net({Bucket.CASH: Decimal(1)})
    with pytest.raises(ValueError, match="positive"):
        Entry(Bucket.CASH, Bucket.FEES, Decimal(0))
    with pytest.raises(ValueError, match="two buckets"):
        Entry(Bucket.CASH, Bucket.CASH, Decimal(1))


def test_rebooking_posts_only_the_difference():
    before, after = targets([effect(live=True, reserved="5.35")]), targets([BOUGHT])
    entries = rebook(before, after)
    assert entries == (
        Entry(Bucket.RESERVED, Bucket.POSITIONS, Decimal(5)),
        Entry(Bucket.RESERVED, Bucket.CASH, Decimal("0.175")),
        Entry(Bucket.RESERVED, Bucket.FEES, Decimal("0.175")),
    )
    assert rebook(after, after) == ()
