"""What the venue's word proves of our orders, and what it does not (D3)."""

from decimal import Decimal

import pytest

from services.reconciler.decide.repairs import period, repairs, wants_look
from shared.domain.orders import OrderEvent, OrderState, OrderType
from shared.domain.trades import FillState
from tests.unit.services.reconciler.decide.samples import (
    GHOST,
    NOW,
    ORDER,
    TOKEN,
    WINDOW,
    ago,
    book,
    fill,
    order,
    reading,
    trade,
    venue,
)

S, E = OrderState, OrderEvent


def proof(ours, theirs):
    """The one piece of evidence, as (proves, event, resolves); None when nothing new is said."""
    found = repairs(book(orders=[ours]), theirs).evidence
    assert len(found) <= 1
    return (found[0].proves, found[0].event, found[0].resolves) if found else None


@pytest.mark.parametrize(
    ("state", "mine", "age_s", "looks"),
    [
        (S.SUBMITTING, True, 14, False),
        (S.SUBMITTING, True, 16, True),
        (S.SUBMITTING, False, 1, True),
        (S.UNKNOWN, True, 1, True),
        (S.LIVE, True, 1, True),
        (S.DELAYED, True, 1, True),
        (S.CANCELLING, True, 1, True),
        (S.FILLED, True, 1, False),
        (S.KILLED, True, 1, False),
        (S.NEVER_PLACED, True, 1, False),
    ],
)
def test_who_is_asked_for(state, mine, age_s, looks):
    assert wants_look(order(state=state, of_current_epoch=mine, claimed_at=ago(age_s)), NOW) is looks


@pytest.mark.parametrize(
    ("state", "event", "expected"),
    [
        (S.UNKNOWN, E.RESTS, ("PLACED", E.RESTS, True)),
        (S.UNKNOWN, E.DELAYED, ("PLACED", E.DELAYED, True)),
        (S.UNKNOWN, E.KILLED, ("TERMINAL", E.KILLED, True)),
        (S.UNKNOWN, E.EXPIRED, ("TERMINAL", E.EXPIRED, True)),
        (S.UNKNOWN, E.REFUSED, ("PLACED", None, False)),
        (S.LIVE, E.RESTS, None),
        (S.LIVE, E.KILLED, ("TERMINAL", E.KILLED, False)),
        (S.DELAYED, E.RESTS, ("PLACED", E.RESTS, False)),
        (S.CANCELLING, E.RESTS, ("PLACED", E.RESTS, False)),
        (S.SUBMITTING, E.KILLED, ("TERMINAL", E.KILLED, False)),
    ],
)
def test_what_a_reading_proves(state, event, expected):
    assert proof(order(state=state), venue(found={ORDER: reading(event)})) == expected


def test_a_match_is_the_end_of_an_order_only_once_its_trades_are_all_here():
    matched = reading(E.MATCHED, matched_shares=Decimal(4))
    missing = venue(found={ORDER: matched}, trades=(trade(shares=Decimal(3)),))
    assert proof(order(), missing) == ("PLACED", None, False)
    whole = venue(
        found={ORDER: matched}, trades=(trade(shares=Decimal(3)), trade(trade_id="t2", shares=Decimal(1)))
    )
    assert proof(order(), whole) == ("TERMINAL", E.MATCHED, True)
    failed = venue(found={ORDER: matched}, trades=(trade(state=FillState.FAILED),))
    assert proof(order(), failed) == ("TERMINAL", E.MATCHED, True), (
        "a match that failed is a match that is over"
    )


ABSENT = {
    "found": {ORDER: None},
    "over": frozenset({WINDOW}),
    "tokens": {TOKEN: Decimal(0)},
}


def test_the_four_proofs_together_prove_absence():
    over = order(window_over=True)
    assert proof(over, venue(**ABSENT)) == ("NEVER_PLACED", E.PROVED_ABSENT, True)
    details = repairs(book(orders=[over]), venue(**ABSENT)).evidence[0].details
    assert details == {"venue_closed": True, "order_unknown": True, "no_trade": True, "balance_equal": True}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"window_over": False}, {}),
        ({}, {"over": frozenset()}),
        ({}, {"windows": frozenset()}),
        ({}, {"tokens": {}}),
        ({}, {"tokens": {TOKEN: Decimal(4)}}),
    ],
    ids=["our clock", "the venue's close", "the trades unread", "the balance unread", "a balance too big"],
)
def test_without_any_one_of_the_proofs_an_absence_proves_nothing(ours, theirs):
    assert proof(order(**({"window_over": True} | ours)), venue(**(ABSENT | theirs))) == (
        "NOTHING",
        None,
        False,
    )


def test_a_balance_still_settling_proves_no_absence():
    unmined = fill(state=FillState.MATCHED, order_id=GHOST)
    found = repairs(book(orders=[order(window_over=True)], fills=[unmined]), venue(**ABSENT)).evidence
    assert [each.event for each in found] == [None]


def test_an_order_nobody_finds_any_more_is_done_when_its_trades_are_old_and_it_cannot_rest():
    unfound = {"found": {ORDER: None}}
    assert proof(order(), venue(**unfound, trades=(trade(matched_at=ago(16)),))) == (
        "TERMINAL",
        E.MATCHED,
        True,
    )
    assert proof(order(), venue(**unfound, trades=(trade(matched_at=ago(14)),))) == ("PLACED", None, False)
    resting = order(order_type=OrderType.GTC)
    assert proof(resting, venue(**unfound, trades=(trade(matched_at=ago(60)),))) == ("PLACED", None, False)


def test_a_404_of_an_order_we_hold_for_live_says_nothing():
    assert proof(order(state=S.LIVE, window_over=True), venue(**ABSENT)) is None


@pytest.mark.parametrize(
    ("recorded", "seen", "applied"),
    [
        (None, FillState.MATCHED, True),
        (FillState.MATCHED, FillState.MATCHED, False),
        (FillState.MATCHED, FillState.MINED, True),
        (FillState.MINED, FillState.MATCHED, False),
        (FillState.MINED, FillState.FAILED, True),
        (FillState.CONFIRMED, FillState.MINED, False),
        (FillState.FAILED, FillState.CONFIRMED, False),
    ],
)
def test_only_trades_that_are_news_are_recorded(recorded, seen, applied):
    fills = [] if recorded is None else [fill(state=recorded)]
    found = repairs(book(orders=[order(state=S.FILLED)], fills=fills), venue(trades=(trade(state=seen),)))
    assert bool(found.trades) is applied


def test_trades_of_a_send_under_way_are_left_to_its_sender():
    sending = order(state=S.SUBMITTING, claimed_at=ago(1))
    assert repairs(book(orders=[sending]), venue(trades=(trade(),))).trades == ()


def test_trades_of_strangers_are_no_repairs():
    assert repairs(book(orders=[order()]), venue(trades=(trade(order_id=GHOST),))).trades == ()


def test_periods_sort_in_time():
    first, second = period(ago(2), 2), period(NOW, 2)
    assert first < second
    assert period(ago(0.5), 2) == first
