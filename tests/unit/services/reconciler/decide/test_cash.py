"""The venue's cash against the ledger's, while trades settle and payouts come."""

from decimal import Decimal

import pytest

from services.reconciler.decide.cash import (
    Movement,
    cash_range,
    explaining,
    fee_residue,
    is_exact,
    residue_max,
)
from shared.domain.orders import OrderSide, OrderState
from shared.domain.trades import FillState
from tests.unit.services.reconciler.decide.samples import NOW, book, fill, order, venue

D = Decimal


@pytest.mark.parametrize(
    ("ours", "low", "high"),
    [
        ({}, "100", "100"),
        ({"reserved_usdc": D("2.14")}, "102.14", "102.14"),
        ({"fills": [fill(state=FillState.MATCHED)]}, "100", "102.07"),
        ({"fills": [fill(state=FillState.RETRYING)]}, "100", "102.07"),
        ({"fills": [fill(state=FillState.MINED)]}, "100", "100"),
        ({"fills": [fill(state=FillState.MATCHED, side=OrderSide.SELL)]}, "98.07", "100"),
        ({"receivable_usdc": D(4)}, "100", "104"),
        ({"expired_shares": D(4)}, "100", "104"),
        ({"orders": [order(state=OrderState.FILLED, reported_usdc=D("2.07"))]}, "100", "102.07"),
        ({"orders": [order(state=OrderState.FILLED, explained=True, reported_usdc=D("2.07"))]}, "100", "100"),
    ],
    ids=[
        "at rest", "a reservation is still there", "an unmined purchase", "one reorganised away", "a mined one",
        "an unmined sale", "a payout not recorded yet", "a window not settled yet", "an answer not explained yet",
        "an explained one",
    ],
)  # fmt: skip
def test_between_which_figures_the_cash_may_stand(ours, low, high):
    found = cash_range(book(**ours))
    assert (found.low, found.high) == (D(low), D(high))


@pytest.mark.parametrize(("balance", "gap"), [("99", "-1"), ("100", "0"), ("101", "0"), ("104", "2")])
def test_the_gap_is_what_lies_outside(balance, gap):
    assert cash_range(book(receivable_usdc=D(2))).gap(D(balance)) == D(gap)


def test_a_residue_is_a_hundred_thousandth_a_fill_and_no_more():
    ours = book(unbooked_fills=3)
    assert residue_max(ours) == D("0.00003")
    assert fee_residue(ours, venue(collateral=D("99.99997"))) == D("-0.00003")
    assert fee_residue(ours, venue(collateral=D("100.00001"))) == D("0.00001")
    assert fee_residue(ours, venue(collateral=D("99.999969"))) is None
    assert fee_residue(ours, venue(collateral=D(100))) is None


@pytest.mark.parametrize(
    "open_still",
    [
        {"fills": [fill(state=FillState.MATCHED)]},
        {"receivable_usdc": D(1)},
        {"orders": [order(state=OrderState.UNKNOWN)]},
        {"orders": [order(state=OrderState.SUBMITTING)]},
    ],
)
def test_no_residue_is_named_while_anything_else_could_explain_it(open_still):
    assert fee_residue(book(unbooked_fills=9, **open_still), venue(collateral=D("99.99999"))) is None


def test_exact_is_to_the_micro_unit_and_at_rest():
    assert is_exact(book(), venue())
    assert not is_exact(book(), venue(collateral=D("100.000001")))
    assert not is_exact(book(receivable_usdc=D(1)), venue())


def movement(amount: str, name: str = "a") -> Movement:
    return Movement("DEPOSIT", D(amount), name, NOW)


def test_movements_explain_a_gap_all_together_or_not_at_all():
    both = (movement("50"), movement("-7", "b"))
    assert explaining(D(43), both, tolerance=D(0)) == both
    assert explaining(D(50), both, tolerance=D(0)) == ()
    assert explaining(D("43.00001"), both, tolerance=D("0.00001")) == both
    assert explaining(D(0), (), tolerance=D(0)) == ()
