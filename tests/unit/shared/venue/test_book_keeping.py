from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, strategies

from shared.domain.books import Book, Level
from shared.domain.orders import OrderSide
from shared.venue.book_keeping import CHANGE_LOST, UNSEALED_FOR, BookState, fold, in_doubt, resynced
from shared.venue.events import BookDelta, BookSnapshot, LastTrade, LevelChange, TickSizeChange, TopOfBook
from tests.unit.shared.venue.test_book_seal import digest
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


class Venue:
    """A book at the venue, whose frames carry its hash."""

    def __init__(self, *, last_trade="0.500", **kind):
        self.bids = {Decimal("0.50"): Decimal(5), Decimal("0.49"): Decimal(9)}
        self.asks = {Decimal("0.52"): Decimal(5)}
        self.last_trade, self.kind = last_trade, kind

    def digest(self, seconds):
        timestamp = str(int(at(seconds).timestamp() * 1000))
        return digest(self.bids, self.asks, last_trade=self.last_trade, timestamp=timestamp, **self.kind)

    def snapshot(self, seconds=0):
        sides = levels(*self.bids.items()), levels(*self.asks.items())
        moment = at(seconds)
        return BookSnapshot(TOKEN, CONDITION, *sides, CENT, moment, moment, self.digest(seconds))

    def far_bid(self, price, size, seconds, *, told=None):
        """A change far behind the best bid; ``told`` is the hash it carries, else that of the book after it."""
        self.bids[Decimal(price)] = Decimal(size)
        change = LevelChange(
            TOKEN, OrderSide.BUY, Decimal(price), Decimal(size), Decimal("0.50"), Decimal("0.52"),
            told or self.digest(seconds),
        )  # fmt: skip
        return BookDelta(CONDITION, (change,), at(seconds), at(seconds))


def test_a_change_lost_behind_the_best_price_is_found_once_the_next_moment_is_over():
    venue = Venue()
    state = after(venue.snapshot(), venue.far_bid("0.10", 7, 1))
    venue.far_bid("0.11", 3, 2)  # nobody hears of it
    state = fold(state, venue.far_bid("0.12", 4, 3))
    assert not state.doubt, "that moment may not be over"
    state = fold(state, venue.far_bid("0.13", 5, 4))
    assert state.doubt == CHANGE_LOST
    anew = fold(state, venue.snapshot(5))
    assert (anew.doubt, anew.book().bids[-1].size) == ("", Decimal(7))


def test_the_changes_of_one_moment_carry_the_hash_of_the_last_of_them():
    venue = Venue()
    events = [venue.snapshot()]
    last = Venue()
    for price in ("0.10", "0.11", "0.12"):
        last.bids[Decimal(price)] = Decimal(1)
    events += [venue.far_bid(price, 1, 1, told=last.digest(1)) for price in ("0.10", "0.11", "0.12")]
    assert not after(*events, venue.far_bid("0.13", 1, 2)).doubt
    without_one = after(*events[:2], *events[3:], venue.far_bid("0.14", 1, 2))
    assert without_one.doubt == CHANGE_LOST


def test_a_trade_between_two_changes_is_none_of_the_books_doubt():
    venue = Venue()
    events = [venue.snapshot(), venue.far_bid("0.10", 7, 1)]
    venue.last_trade = "0.610"
    events += [venue.far_bid("0.11", 7, 2), venue.far_bid("0.12", 7, 3)]
    assert not after(*events).doubt


@pytest.mark.parametrize("venue", [Venue(min_order_size="17"), Venue(last_trade="none")])
def test_hashes_made_otherwise_than_we_know_say_nothing(venue):
    events = [venue.snapshot(), venue.far_bid("0.10", 7, 1)]
    venue.far_bid("0.11", 3, 2)
    assert not after(*events, venue.far_bid("0.12", 4, 3), venue.far_bid("0.13", 5, 4)).doubt


def test_after_such_a_doubt_the_hash_is_not_asked_for_half_a_minute():
    """Were the hash ever made otherwise, no book would be sound again."""
    venue = Venue()
    state = after(venue.snapshot(), venue.far_bid("0.10", 7, 1, told="f" * 40), venue.far_bid("0.11", 7, 2))
    assert state.doubt == CHANGE_LOST
    state = fold(state, venue.snapshot(3))
    quiet_s = 2 + UNSEALED_FOR.total_seconds()
    state = fold(
        fold(state, venue.far_bid("0.12", 7, 4, told="e" * 40)), venue.far_bid("0.13", 7, quiet_s - 1)
    )
    assert not state.doubt
    state = fold(state, venue.far_bid("0.14", 7, quiet_s, told="d" * 40))
    assert fold(state, venue.far_bid("0.15", 7, quiet_s + 1)).doubt == CHANGE_LOST


def test_a_frame_without_a_hash_is_taken_as_before():
    venue = Venue()
    state = after(venue.snapshot(), delta("BUY", "0.10", 7, "0.50", "0.52"), venue.far_bid("0.11", 7, 2))
    assert not state.doubt
    assert fold(state, delta("BUY", "0.12", 7, "0.50", "0.52", seconds=3)).doubt == CHANGE_LOST
