"""What the fills allow a balance to be, while they settle."""

from decimal import Decimal

import pytest

from services.reconciler.decide.sides import token_range
from shared.domain.orders import OrderSide, OrderState
from shared.domain.trades import FillState
from tests.unit.services.reconciler.decide.samples import TOKEN, book, fill, order

BUY, SELL = OrderSide.BUY, OrderSide.SELL
MATCHED, MINED, CONFIRMED, FAILED, RETRYING = (
    FillState.MATCHED,
    FillState.MINED,
    FillState.CONFIRMED,
    FillState.FAILED,
    FillState.RETRYING,
)


@pytest.mark.parametrize(
    ("fills", "low", "high"),
    [
        ([], "0", "0"),
        ([(BUY, MATCHED, "4")], "0", "4"),
        ([(BUY, RETRYING, "4")], "0", "4"),
        ([(BUY, MINED, "4")], "4", "4"),
        ([(BUY, FAILED, "4")], "0", "0"),
        ([(BUY, CONFIRMED, "4"), (SELL, MATCHED, "3")], "1", "4"),
        ([(BUY, CONFIRMED, "4"), (SELL, CONFIRMED, "3")], "1", "1"),
        ([(BUY, CONFIRMED, "4"), (BUY, MATCHED, "2"), (SELL, MATCHED, "3")], "1", "6"),
    ],
)
def test_a_purchase_arrives_at_the_latest_when_mined_and_a_sale_leaves_by_then(fills, low, high):
    rows = [fill(side=side, state=state, shares=Decimal(shares)) for side, state, shares in fills]
    allowed = token_range(book(fills=rows), TOKEN)
    assert (allowed.low, allowed.high) == (Decimal(low), Decimal(high))


def test_what_an_answer_claimed_and_no_trade_shows_yet_may_have_moved():
    pending = order(state=OrderState.FILLED, reported_shares=Decimal(4), traded_shares=Decimal(1))
    allowed = token_range(book(orders=[pending]), TOKEN)
    assert (allowed.low, allowed.high) == (0, 3)


def test_another_token_is_another_matter():
    assert token_range(book(fills=[fill(token_id="2")]), TOKEN).high == 0
