"""What is a difference, and when it stops trading (D19)."""

from datetime import timedelta
from decimal import Decimal

import pytest

from services.reconciler.decide.differences import PATIENCE, Kind, differences, trips, unsettled_long
from shared.domain.orders import OrderEvent, OrderState
from shared.domain.trades import FillState
from tests.unit.services.reconciler.decide.samples import (
    GHOST,
    ORDER,
    TOKEN,
    ago,
    book,
    fill,
    order,
    reading,
    trade,
    venue,
)

DONE = {"state": OrderState.FILLED, "explained": True}


def kinds(ours, theirs):
    return [each.kind for each in differences(ours, theirs)]


def test_sides_that_agree_differ_in_nothing():
    ours = book(orders=[order(**DONE)], fills=[fill()], cash_usdc=Decimal("97.93"))
    theirs = venue(trades=(trade(),), tokens={TOKEN: Decimal(4)}, collateral=Decimal("97.93"))
    assert differences(ours, theirs) == ()


def test_what_we_never_wrote_is_a_difference():
    ghost = reading(OrderEvent.RESTS, order_id=GHOST)
    assert kinds(book(), venue(resting=(ghost,))) == [Kind.ORDER_UNWRITTEN]
    assert kinds(book(), venue(trades=(trade(order_id=GHOST),))) == [Kind.TRADE_UNWRITTEN]
    ours = book(orders=[order(state=OrderState.LIVE)])
    assert kinds(ours, venue(resting=(reading(OrderEvent.RESTS),))) == []


@pytest.mark.parametrize(
    ("balance", "kind"), [("3.999999", Kind.TOKENS_LESS), ("4", None), ("4.000001", Kind.TOKENS_MORE)]
)
def test_tokens_agree_to_the_millionth(balance, kind):
    ours = book(orders=[order(**DONE)], fills=[fill()])
    theirs = venue(trades=(trade(),), tokens={TOKEN: Decimal(balance)})
    assert kinds(ours, theirs) == ([] if kind is None else [kind])


def test_tokens_of_a_resolved_window_may_have_been_redeemed():
    ours = book(orders=[order(**DONE)], fills=[fill(resolved=True)])
    assert kinds(ours, venue(trades=(trade(),), tokens={TOKEN: Decimal(0)})) == []


@pytest.mark.parametrize(
    ("collateral", "kind"), [("99.999999", Kind.CASH_LESS), ("100", None), ("100.000001", Kind.CASH_MORE)]
)
def test_cash_agrees_to_the_millionth(collateral, kind):
    assert kinds(book(), venue(collateral=Decimal(collateral))) == ([] if kind is None else [kind])


def test_a_trade_we_recorded_that_the_venue_does_not_list_is_a_difference_once_it_is_old_enough():
    ours = {"orders": [order(**DONE)]}
    assert kinds(book(**ours, fills=[fill(matched_at=ago(6))]), venue()) == [Kind.TRADE_UNSEEN]
    assert kinds(book(**ours, fills=[fill(matched_at=ago(4))]), venue()) == []
    assert kinds(book(**ours, fills=[fill(state=FillState.FAILED)]), venue()) == []
    assert kinds(book(**ours, fills=[fill()]), venue(windows=frozenset())) == [], "its trades were not read"


def test_an_answer_no_trade_explains_is_a_difference_after_ten_seconds():
    pending = {"state": OrderState.FILLED, "reported_shares": Decimal(4)}
    assert kinds(book(orders=[order(**pending, claimed_at=ago(11))]), venue()) == [Kind.ANSWER_UNEXPLAINED]
    assert kinds(book(orders=[order(**pending, claimed_at=ago(9))]), venue()) == []


def test_the_chain_may_take_a_minute_untold_and_ten_undisputed():
    ours = {"orders": [order(**DONE)]}
    slow = book(**ours, fills=[fill(state=FillState.MATCHED, matched_at=ago(61))])
    late = book(**ours, fills=[fill(state=FillState.RETRYING, matched_at=ago(601))])
    theirs = venue(trades=(trade(),))
    assert unsettled_long(book(**ours, fills=[fill(state=FillState.MATCHED, matched_at=ago(59))])) == ()
    assert (unsettled_long(slow), kinds(slow, theirs)) == ((ORDER,), [])
    assert kinds(late, theirs) == [Kind.SETTLEMENT_LATE]
    assert unsettled_long(book(**ours, fills=[fill(matched_at=ago(601))])) == ()


@pytest.mark.parametrize(
    ("kind", "age_s", "stops"),
    [
        (Kind.ORDER_UNWRITTEN, 0, True),
        (Kind.TRADE_UNWRITTEN, 0, True),
        (Kind.SETTLED_PNL, 0, True),
        (Kind.TOKENS_MORE, 2.9, False),
        (Kind.TOKENS_MORE, 3, True),
        (Kind.CASH_MORE, 2.9, False),
        (Kind.CASH_MORE, 3, True),
        (Kind.TOKENS_LESS, 119, False),
        (Kind.TOKENS_LESS, 120, True),
        (Kind.CASH_LESS, 119, False),
        (Kind.CASH_LESS, 120, True),
        (Kind.TRADE_UNSEEN, 119, False),
        (Kind.TRADE_UNSEEN, 120, True),
        (Kind.ANSWER_UNEXPLAINED, 119, False),
        (Kind.ANSWER_UNEXPLAINED, 120, True),
        (Kind.SETTLEMENT_LATE, 100_000, False),
        (Kind.DIRECTION, 100_000, False),
    ],
)
def test_how_long_each_difference_may_stand(kind, age_s, stops):
    assert trips(kind, age=timedelta(seconds=age_s), at_start=False) is stops


def test_at_the_start_nothing_unexplained_may_stand():
    waits = {kind for kind in Kind if not trips(kind, age=timedelta(0), at_start=True)}
    assert waits == {Kind.SETTLEMENT_LATE, Kind.DIRECTION}
    assert set(PATIENCE) == set(Kind)
