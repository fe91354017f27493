"""Books between the market channel and the Book."""

import hashlib
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from prometheus_client import REGISTRY

from services.feed_collector.shelf import WRITE_EVERY_S, Shelf
from services.feed_collector.tape import Tape
from shared.domain.books import Book, Level
from shared.domain.ids import ConditionId, Instrument, TokenId
from shared.domain.orders import OrderSide
from shared.domain.ticks import Source
from shared.venue.book_seal import Seal, head_of
from shared.venue.events import BookDelta, BookSnapshot, LastTrade, LevelChange
from tests.unit.services.feed_collector.test_decide import OPEN_AT, after, window

UP, DOWN = TokenId("1"), TokenId("2")
CONDITION = ConditionId("0xc")


def levels(*pairs):
    return tuple(Level(Decimal(price), Decimal(size)) for price, size in pairs)


def snapshot(token=UP, seconds=0.0, bid="0.40", ask="0.60"):
    at = after(seconds)
    return BookSnapshot(token, CONDITION, levels((bid, "10")), levels((ask, "10")), None, at, at)


def change(price, size, *, side=OrderSide.BUY, best=("0.40", "0.60"), seconds=1.0, token=UP):
    at = after(seconds)
    best_bid, best_ask = (Decimal(each) for each in best)
    return BookDelta(
        CONDITION, (LevelChange(token, side, Decimal(price), Decimal(size), best_bid, best_ask),), at, at
    )


@pytest.fixture
def tape():
    return Tape()


@pytest.fixture
def shelf(tape):
    made = Shelf(tape)
    made.follow({UP: window(), DOWN: window()})
    return made


def test_a_book_is_written_at_once_and_then_at_most_twenty_times_a_second(shelf):
    shelf.apply(snapshot(), 100.0)
    (row,) = shelf.take_due(100.0)
    assert (row.window_id, row.book.best_bid, row.book.continuous) == (
        window().window_id,
        Decimal("0.40"),
        True,
    )
    shelf.apply(change("0.41", "5", best=("0.41", "0.60")), 100.01)
    assert shelf.changed.is_set()
    assert shelf.take_due(100.01) == []
    assert shelf.wait_s(100.01) == pytest.approx(WRITE_EVERY_S - 0.01)
    (row,) = shelf.take_due(100.06)
    assert row.book.best_bid == Decimal("0.41")
    assert not shelf.changed.is_set()


def test_a_doubt_and_its_end_wait_for_nothing(shelf):
    shelf.apply(snapshot(), 100.0)
    shelf.take_due(100.0)
    shelf.apply(change("0.41", "5", best=("0.45", "0.60")), 100.001)
    (row,) = shelf.take_due(100.001)
    assert not row.book.continuous
    assert shelf.doubtful() == [UP, DOWN]
    sound = Book(UP, levels(("0.45", "5")), levels(("0.60", "5")), after(2), after(2))
    shelf.resync(sound, 100.002)
    (row,) = shelf.take_due(100.002)
    assert row.book.continuous
    assert shelf.doubtful() == [DOWN]


def test_a_lost_connection_puts_every_book_in_doubt(shelf):
    shelf.apply(snapshot(UP), 100.0)
    shelf.apply(snapshot(DOWN), 100.0)
    shelf.take_due(100.0)
    shelf.doubt_all("gone", 100.001)
    assert [row.book.continuous for row in shelf.take_due(100.001)] == [False, False]


def test_a_book_read_anew_does_not_replace_a_sound_one(shelf):
    shelf.apply(snapshot(bid="0.40"), 100.0)
    shelf.resync(Book(UP, levels(("0.30", "5")), levels(("0.70", "5")), after(9), after(9)), 100.1)
    assert shelf.book(UP).best_bid == Decimal("0.40")


def test_what_was_not_written_waits_again(shelf):
    shelf.apply(snapshot(), 100.0)
    rows = shelf.take_due(100.0)
    shelf.give_back(rows, 100.0)
    assert shelf.changed.is_set()
    assert len(shelf.take_due(100.06)) == 1


def test_a_move_of_the_middle_is_a_tick_and_a_change_behind_it_is_none(shelf, tape):
    shelf.apply(snapshot(), 100.0)
    shelf.apply(change("0.30", "5"), 100.1)
    shelf.apply(change("0.42", "5", best=("0.42", "0.60")), 100.2)
    ticks = tape.take(10)
    assert [(tick.price, tick.token_id, tick.source) for tick in ticks] == [
        (Decimal("0.50"), UP, Source.POLYMARKET),
        (Decimal("0.51"), UP, Source.POLYMARKET),
    ]


def test_a_book_in_doubt_has_no_price(shelf, tape):
    shelf.apply(snapshot(), 100.0)
    tape.take(10)
    shelf.apply(change("0.42", "5", best=("0.44", "0.60")), 100.2)
    assert tape.take(10) == []


def test_only_followed_tokens_are_kept_and_the_channel_lives_by_them(shelf, tape):
    shelf.apply(snapshot(TokenId("99")), 100.0)
    assert shelf.book(TokenId("99")) is None
    shelf.heard(TokenId("99"), OPEN_AT, OPEN_AT)
    assert (Source.POLYMARKET, Instrument("BTC")) not in tape.news
    trade = LastTrade(
        UP, OrderSide.BUY, Decimal("0.5"), Decimal(1), "", OPEN_AT, OPEN_AT + timedelta(seconds=1)
    )
    shelf.heard(trade.token_id, trade.source_at, trade.received_at)
    assert tape.feed(Source.POLYMARKET, Instrument("BTC")).last_received_at == trade.received_at


def test_a_token_no_longer_followed_is_forgotten(shelf):
    shelf.apply(snapshot(), 100.0)
    shelf.follow({DOWN: window()})
    assert shelf.book(UP) is None
    assert shelf.take_due(200.0) == []
    shelf.follow({UP: window(), DOWN: window()})
    assert UP in shelf.doubtful()


def test_a_change_the_venues_hash_misses_is_counted_and_the_book_read_anew(shelf):
    def told(event, bids):
        """The event with the venue's hash of a book of these bids."""
        sides = [
            {Decimal(price): Decimal(size) for price, size in side.items()} for side in (bids, {"0.60": "10"})
        ]
        head = head_of(CONDITION, UP, event.source_at, *sides)
        digest = hashlib.sha1(head + Seal("5", "0.01", False, "").tail()).hexdigest()
        if isinstance(event, BookSnapshot):
            return replace(event, tick=Decimal("0.01"), digest=digest)
        return replace(event, changes=tuple(replace(each, digest=digest) for each in event.changes))

    def lost():
        return REGISTRY.get_sample_value("feed_collector_lost_changes_total")

    before = lost()
    shelf.apply(told(snapshot(), {"0.40": "10"}), 100.0)
    shelf.apply(told(change("0.30", "5", seconds=1), {"0.40": "10", "0.30": "5"}), 100.1)
    shelf.apply(
        told(change("0.20", "5", seconds=2), {"0.40": "10", "0.30": "5", "0.10": "9", "0.20": "5"}), 100.2
    )
    assert (lost(), UP in shelf.doubtful()) == (before, False)
    shelf.apply(change("0.21", "5", seconds=3), 100.3)
    assert (lost(), UP in shelf.doubtful()) == (before + 1, True)
    shelf.apply(change("0.22", "5", seconds=4), 100.4)
    assert lost() == before + 1, "once a doubt"
