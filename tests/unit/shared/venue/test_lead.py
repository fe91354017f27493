"""Two connections of the market channel, one believed."""

from datetime import timedelta
from decimal import Decimal

import pytest

from shared.venue.events import (
    BookSnapshot,
    Connected,
    Disconnected,
    LastTrade,
    MarketResolved,
    TookOver,
    Unreadable,
)
from shared.venue.lead import FRAMES_AHEAD, FROZEN_AFTER_S, Lead
from tests.unit.shared.venue.test_book_keeping import at, delta, snapshot
from tests.unit.shared.venue.venue_values import CONDITION, NOW, OTHER_TOKEN, TOKEN

UP = Connected("market", NOW)
LOST = Disconnected("market", NOW, "closed", retry_in_s=1.0)
GARBLED = Unreadable("market", NOW, "Malformed", "", "")
FIRST, SECOND = 0, 1


def change(seconds, size=3):
    return delta("BUY", "0.50", size, "0.50", "0.52", seconds=seconds)


def paired(*tokens):
    """Both connected, both given the same snapshot at once."""
    lead = Lead()
    lead.follow(tokens or [TOKEN])
    for place in (FIRST, SECOND):
        lead.take(place, UP, 0.0)
        lead.take(place, snapshot(), 0.0)
    return lead


def test_what_the_first_says_is_passed_on_and_what_the_second_repeats_is_not():
    lead = Lead()
    lead.follow([TOKEN])
    assert lead.take(FIRST, UP, 0.0) == (UP,)
    assert lead.take(SECOND, UP, 0.0) == ()
    assert lead.take(FIRST, change(1), 1.0) == (change(1),)
    assert lead.take(SECOND, change(1), 1.1) == ()
    assert lead.take(FIRST, GARBLED, 1.2) == (GARBLED,)
    assert lead.take(SECOND, GARBLED, 1.2) == ()


def test_a_frozen_first_is_replaced_by_the_second_with_the_book_as_it_is_there():
    lead = paired()
    lead.take(FIRST, change(1), 1.0)
    taken = [lead.take(SECOND, change(second, size=second), float(second)) for second in (1, 2, 3)]
    assert taken[:2] == [(), ()]
    took_over, book = taken[2]
    assert isinstance(took_over, TookOver)
    assert isinstance(book, BookSnapshot)
    assert (book.token_id, book.condition_id, book.source_at) == (TOKEN, CONDITION, at(3))
    assert book.bids[0].size == 3
    assert lead.leader == SECOND
    assert lead.take(SECOND, change(4), 4.0) == (change(4),)
    assert lead.take(FIRST, change(4), 4.0) == ()  # it thawed, and is the second now


def test_a_second_that_is_merely_earlier_takes_nothing_over():
    lead = paired()
    for second in range(1, 20):
        for _ in range(FRAMES_AHEAD - 1):
            assert lead.take(SECOND, change(second), second + 0.1) == ()
        assert lead.take(FIRST, change(second), second + 0.2) != ()


def test_when_both_are_quiet_nobody_takes_over_at_the_first_word():
    lead = paired()
    assert lead.take(SECOND, change(100), 100.0) == ()
    assert lead.take(FIRST, change(100), 100.1) == (change(100),)


def test_a_first_that_is_lost_is_replaced_at_once_and_no_loss_is_reported():
    lead = paired()
    lead.take(SECOND, change(1, size=9), 1.0)
    took_over, book = lead.take(FIRST, LOST, 1.1)
    assert isinstance(took_over, TookOver)
    assert book.bids[0].size == 9


def test_when_both_are_lost_it_is_said_and_whoever_comes_back_first_leads():
    lead = paired()
    assert lead.take(SECOND, LOST, 1.0) == ()
    assert lead.take(FIRST, LOST, 1.1) == (LOST,)
    (took_over,) = lead.take(SECOND, UP, 2.0)
    assert isinstance(took_over, TookOver)
    assert lead.take(SECOND, snapshot(seconds=3), 3.0) == (snapshot(seconds=3),)


def test_a_doubtful_book_of_the_second_is_no_snapshot():
    lead = paired()
    lead.take(SECOND, GARBLED, 1.0)
    (took_over,) = lead.take(FIRST, LOST, 1.1)
    assert isinstance(took_over, TookOver)


def test_books_that_are_not_followed_are_not_kept():
    lead = paired(TOKEN, OTHER_TOKEN)
    lead.take(SECOND, snapshot(token=OTHER_TOKEN), 0.0)
    lead.follow([OTHER_TOKEN])
    _, book = lead.take(FIRST, LOST, 1.1)
    assert book.token_id == OTHER_TOKEN


def test_a_result_is_passed_on_whoever_hears_it():
    lead = paired()
    resolved = MarketResolved(CONDITION, TOKEN, NOW, NOW)
    assert lead.take(SECOND, resolved, 1.0) == (resolved,)


@pytest.mark.parametrize("first_said_s", [FROZEN_AFTER_S - 0.01, FROZEN_AFTER_S])
def test_a_trade_is_a_sign_of_life_as_good_as_a_book(first_said_s):
    lead = paired()
    trade = LastTrade(TOKEN, "BUY", Decimal("0.5"), Decimal(1), "", NOW, NOW + timedelta(seconds=1))
    lead.take(FIRST, trade, 10.0 - first_said_s)
    for _ in range(FRAMES_AHEAD):
        taken = lead.take(SECOND, trade, 10.0)
    assert bool(taken) is (first_said_s >= FROZEN_AFTER_S)
