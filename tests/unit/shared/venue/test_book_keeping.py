from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, strategies

from shared.domain.books import Book, Level
from shared.domain.orders import OrderSide
from shared.venue.book_keeping import BookState, fold, in_doubt, resynced
from shared.venue.events import BookDelta, BookSnapshot, LastTrade, LevelChange, TickSizeChange, TopOfBook
from tests.unit.shared.venue.venue_values import CONDITION, NOW, OTHER_TOKEN, TOKEN

CENT = Decimal("0.01")


def at(seconds):
    return NOW + timedelta(seconds=seconds)


def levels(*pairs):
    return tuple(Level(Decimal(price), Decimal(size)) for price, size in pairs)


def snapshot(bids=(("0.50", 5), ("0.49", 9)), asks=(("0.52", 5), ("0.53", 9)), seconds=0, token=TOKEN):
    return BookSnapshot(token, CONDITION, levels(*bids), levels(*asks), CENT, at(seconds), at(seconds))


def delta(side, price, size, best_bid, best_ask, *, seconds=1, token=TOKEN):
    def best(text):
        return None if text is None else Decimal(text)

    change = LevelChange(
        token, OrderSide(side), Decimal(price), Decimal(size), best(best_bid), best(best_ask)
    )
    return BookDelta(CONDITION, (change,), at(seconds), at(seconds))


def after(*events):
    state = BookState(TOKEN)
    for event in events:
        state = fold(state, event)
    return state


def test_before_a_snapshot_there_is_no_book():
    state = after(delta("BUY", "0.50", 5, "0.50", None))
    assert (state.book(), state.doubt) == (None, "no snapshot yet")


def test_a_snapshot_and_its_changes_make_the_book():
    state = after(
        snapshot(),
        delta("BUY", "0.51", 3, "0.51", "0.52"),
        delta("SELL", "0.52", 0, "0.51", "0.53"),
        delta("BUY", "0.49", 1, "0.51", "0.53", seconds=2),
    )
    book = state.book()
    assert book.bids == levels(("0.51", 3), ("0.50", 5), ("0.49", 1))
    assert book.asks == levels(("0.53", 9))
    assert (book.continuous, book.source_at) == (True, at(2))


def test_what_concerns_the_other_token_changes_nothing():
    state = after(snapshot())
    for event in (
        snapshot(token=OTHER_TOKEN),
        delta("BUY", "0.51", 3, "0.9", "0.95", token=OTHER_TOKEN),
        TopOfBook(OTHER_TOKEN, Decimal("0.1"), Decimal("0.2"), at(1), at(1)),
        TickSizeChange(OTHER_TOKEN, CENT, CENT / 10, at(1), at(1)),
        LastTrade(TOKEN, OrderSide.BUY, Decimal("0.5"), Decimal(1), "", at(1), at(1)),
    ):
        assert fold(state, event) is state


@pytest.mark.parametrize(
    "event",
    [
        delta("BUY", "0.48", 3, "0.51", "0.52"),  # a better bid we never heard of
        delta("BUY", "0.48", 3, "0.50", "0.54"),  # our best asks are gone
        delta("BUY", "0.48", 3, "0.50", None),
        TopOfBook(TOKEN, Decimal("0.50"), Decimal("0.51"), at(1), at(1)),
        TopOfBook(TOKEN, None, Decimal("0.52"), at(1), at(1)),
        delta("BUY", "0.52", 3, None, None),  # a bid that meets the ask
        TickSizeChange(TOKEN, CENT, CENT / 10, at(1), at(1)),
    ],
)
def test_a_contradiction_puts_the_book_in_doubt_until_the_next_snapshot(event):
    state = after(snapshot(), event)
    assert state.doubt
    assert not state.book().continuous
    still = fold(state, delta("BUY", "0.47", 1, str(state.best_bid), str(state.best_ask), seconds=2))
    assert still.doubt
    assert fold(still, snapshot(seconds=3)).book().continuous


def test_a_changed_tick_is_kept():
    assert after(snapshot(), TickSizeChange(TOKEN, CENT, CENT / 10, at(1), at(1))).tick == CENT / 10


def test_a_snapshot_that_crosses_itself_is_doubted():
    assert after(snapshot(bids=[("0.52", 1)], asks=[("0.52", 1)])).doubt


def test_a_change_out_of_order_is_a_doubt_and_one_older_than_the_snapshot_is_not():
    state = after(snapshot(seconds=5), delta("BUY", "0.51", 3, "0.51", "0.52", seconds=7))
    assert fold(state, delta("BUY", "0.51", 4, "0.51", "0.52", seconds=6)).doubt
    assert fold(state, delta("BUY", "0.51", 4, "0.51", "0.52", seconds=4)) is state


def test_a_late_older_snapshot_does_not_turn_the_book_back_but_ends_a_doubt():
    state = after(snapshot(seconds=5))
    old = snapshot(bids=[("0.10", 1)], seconds=4)
    assert fold(state, old) is state
    assert fold(in_doubt(state, "reconnected"), old).best_bid == Decimal("0.10")


def test_the_first_doubt_is_the_one_that_is_told():
    state = in_doubt(in_doubt(after(snapshot()), "first"), "second")
    assert state.doubt == "first"


def test_a_book_read_anew_ends_the_doubt():
    state = in_doubt(after(snapshot()), "reconnected")
    book = Book(TOKEN, levels(("0.40", 1)), levels(("0.60", 1)), at(9), at(9))
    assert resynced(state, book).book() == book
    assert resynced(state, book).tick == CENT


PRICES = strategies.sampled_from([Decimal(cents) / 100 for cents in range(40, 61)])
CHANGES = strategies.lists(
    strategies.tuples(strategies.sampled_from(OrderSide), PRICES, strategies.sampled_from([0, 1, 5])),
    max_size=30,
)


@given(CHANGES, strategies.data())
def test_a_book_without_a_lost_frame_is_never_in_doubt_and_one_with_a_lost_best_price_is(changes, data):
    bids, asks = {Decimal("0.30"): 5}, {Decimal("0.70"): 5}
    state = after(snapshot(bids=[("0.30", 5)], asks=[("0.70", 5)]))
    lost = data.draw(strategies.integers(min_value=0, max_value=max(len(changes) - 1, 0)))
    lossy = state
    for index, (side, price, size) in enumerate(changes):
        own, other = (bids, asks) if side is OrderSide.BUY else (asks, bids)
        if (
            price in other
            or (side is OrderSide.BUY and price >= min(asks))
            or (side is OrderSide.SELL and price <= max(bids))
        ):
            continue
        own[price] = size
        if size == 0:
            del own[price]
        event = delta(side.value, price, size, str(max(bids)), str(min(asks)), seconds=index)
        state = fold(state, event)
        lossy = lossy if index == lost else fold(lossy, event)
    assert not state.doubt
    assert (state.bids, state.asks) == (bids, asks)
    if (lossy.best_bid, lossy.best_ask) != (max(bids), min(asks)) and lost < len(changes) - 1:
        told = fold(lossy, TopOfBook(TOKEN, max(bids), min(asks), at(99), at(99)))
        assert told.doubt
