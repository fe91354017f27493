"""Prices between the feeds and the Book."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.feed_collector import tape as tape_module
from services.feed_collector.tape import EVERY, Tape
from shared.db.queries.feeds import FeedRow
from shared.domain.ids import Instrument
from shared.domain.ticks import Source
from shared.venue.events import AggregatePrice, FastPrice, FastQuote, OracleKind, OraclePrice, Unreadable

START = datetime(2026, 10, 5, 23, 0, tzinfo=UTC)
BTC = Instrument("BTC")


def after(seconds):
    return START + timedelta(seconds=seconds)


def trade(serial, price="60000", seconds=0.0):
    at = after(seconds)
    return FastPrice(BTC, Decimal(price), Decimal(1), serial, at, at, at + timedelta(milliseconds=40))


def oracle(seconds, price="60000", *, kind=OracleKind.SPOT, backfill=False, source="chainlink"):
    at = after(seconds)
    return OraclePrice(
        BTC, kind, Decimal(price), at, at, at + timedelta(milliseconds=5), source, 1, 0, backfill
    )


def test_a_trade_is_stored_once_with_both_times_and_its_id():
    tape = Tape()
    tape.trade(trade(7, seconds=1))
    tape.trade(trade(7, seconds=1))
    (tick,) = tape.take(10)
    assert (tick.source, tick.trade_id, tick.source_at, tick.received_at) == (
        Source.BINANCE,
        "7",
        after(1),
        after(1.04),
    )
    news = tape.feed(Source.BINANCE, BTC)
    assert (news.ticks, news.duplicates, news.offset_ms) == (1, 1, Decimal(-40))


def test_a_late_trade_is_kept_and_counted():
    tape = Tape()
    for serial in (7, 9, 8):
        tape.trade(trade(serial))
    assert [tick.trade_id for tick in tape.take(10)] == ["7", "9", "8"]
    assert tape.feed(Source.BINANCE, BTC).out_of_order == 1


def test_what_the_book_already_holds_is_not_new():
    """The last trade and the last oracle time are read again at the start (C4)."""
    tape = Tape(
        [
            FeedRow(Source.BINANCE, BTC, last_trade_id="7"),
            FeedRow(Source.CHAINLINK, BTC, last_source_at=after(10), last_price=Decimal(5)),
        ]
    )
    tape.trade(trade(6))
    tape.trade(trade(7))
    tape.trade(trade(8))
    tape.oracle(oracle(10))
    tape.oracle(oracle(11))
    assert [tick.trade_id or tick.source_at for tick in tape.take(10)] == ["8", after(11)]


def test_history_sent_at_subscribing_fills_the_hole_and_says_nothing_of_the_feeds_age():
    tape = Tape()
    tape.oracle(oracle(1))
    for seconds in (0, 1, 2, 3):
        tape.oracle(oracle(seconds, backfill=True))
    assert [tick.source_at for tick in tape.take(10)] == [after(1), after(2), after(3)]
    news = tape.feed(Source.CHAINLINK, BTC)
    assert (news.last_received_at, news.duplicates) == (after(1.005), 0)
    assert news.last_source_at == after(3)


def test_average_and_price_are_two_feeds_and_a_change_is_noted_with_the_one_before():
    tape = Tape()
    tape.oracle(oracle(0, "100"))
    tape.oracle(oracle(1, "100"))
    tape.oracle(oracle(3, "101"))
    tape.oracle(oracle(3, "100.5", kind=OracleKind.TWAP))
    assert [tick.source for tick in tape.take(10)] == [*[Source.CHAINLINK] * 3, Source.CHAINLINK_TWAP]
    first, second, average = tape.take_changes()
    assert (first.old_price, first.new_price, first.since_last_ms) == (None, Decimal(100), None)
    assert (second.old_price, second.new_price, second.change_pct, second.since_last_ms) == (
        Decimal(100),
        Decimal(101),
        Decimal(1),
        3000,
    )
    assert average.source is Source.CHAINLINK_TWAP
    assert tape.take_changes() == []


def test_another_providers_price_is_refused_and_counted():
    tape = Tape()
    tape.oracle(oracle(1, source="pyth"))
    assert tape.take(10) == []
    assert tape.feed(Source.CHAINLINK, EVERY).malformed == 1


def test_best_prices_are_a_sign_of_life_and_no_tick():
    tape = Tape()
    quote = FastQuote(BTC, Decimal(1), Decimal(1), Decimal(2), Decimal(1), 1, after(4))
    tape.quote(quote)
    assert tape.take(10) == []
    assert tape.feed(Source.BINANCE, BTC).last_received_at == after(4)


def test_an_unreadable_frame_is_counted_on_its_feed():
    tape = Tape()
    for _ in range(3):
        tape.refused(Source.BINANCE, Unreadable("binance", START, "Malformed", "half a frame", "{"))
    assert tape.feed(Source.BINANCE, EVERY).malformed == 3


def test_a_full_queue_drops_the_oldest_and_counts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tape_module, "QUEUE_MAX", 3)
    tape = Tape()
    for serial in range(5):
        tape.trade(trade(serial))
    assert tape.dropped == 2
    taken = tape.take(2)
    assert [tick.trade_id for tick in taken] == ["2", "3"]
    tape.trade(trade(6))
    tape.trade(trade(7))
    tape.trade(trade(8))
    assert tape.dropped == 3
    assert [tick.trade_id for tick in tape.take(9)] == ["6", "7", "8"]
    assert tape.received == 8


def test_counters_are_handed_over_once_and_given_back_when_unwritten():
    tape = Tape()
    tape.trade(trade(1))
    news = tape.feed(Source.BINANCE, BTC)
    row = news.take_row(None)
    assert (row.ticks, row.last_trade_id, row.last_price) == (1, "1", Decimal(60000))
    assert news.take_row(None).ticks == 0
    news.give_back(row)
    assert news.take_row(after(3)).ticks == 1


def test_the_writer_is_woken_by_a_price_and_rests_when_all_are_taken():
    tape = Tape()
    assert not tape.arrived.is_set()
    tape.trade(trade(1))
    assert tape.arrived.is_set()
    tape.take(1)
    assert not tape.arrived.is_set()


def test_a_late_price_is_kept_but_is_neither_the_last_nor_a_change():
    tape = Tape()
    for seconds, price in ((1, "60000"), (3, "60003"), (2, "60002")):
        tape.oracle(oracle(seconds, price))
    assert [tick.price for tick in tape.take(10)] == [60000, 60003, 60002]
    assert tape.feed(Source.CHAINLINK, BTC).last_price == 60003
    assert [change.new_price for change in tape.take_changes()] == [60000, 60003]


def test_it_is_known_what_another_feed_has_told():
    tape = Tape()
    tape.oracle(oracle(1))
    assert tape.knows(oracle(1))
    assert not tape.knows(oracle(2))
    assert not tape.knows(oracle(1, kind=OracleKind.TWAP))


def test_an_aggregate_is_stored_once_by_its_serial_though_its_time_is_in_whole_seconds():
    def aggregate(serial):
        return AggregatePrice(BTC, Decimal("60000.5"), Decimal(2), serial, after(1), after(1.3))

    tape = Tape()
    for serial in (7, 7, 8):
        tape.aggregate(aggregate(serial))
    assert [(tick.source, tick.price, tick.source_at) for tick in tape.take(10)] == [
        (Source.PYTH, Decimal("60000.5"), after(1))
    ] * 2
    assert tape.feed(Source.PYTH, BTC).duplicates == 1
