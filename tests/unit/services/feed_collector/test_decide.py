"""What the collector decides, as tables."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.feed_collector.decide import (
    Clocked,
    Consensus,
    ListingChange,
    Novelty,
    Seen,
    change_pct,
    compare_listing,
    consensus,
    deciding_source,
    due_samples,
    has_ids,
    is_surprise,
    market_price,
    narrowed,
    next_step_at,
    opening_price,
    resolution_wait_s,
    samples_of,
    smoothed_ms,
    stale_since,
    summarise,
    tokens_to_follow,
    window_step,
)
from shared.domain.books import Book, Level
from shared.domain.ids import ConditionId, Instrument, TokenId, WindowId
from shared.domain.settlement import Reading
from shared.domain.ticks import Source
from shared.domain.windows import FeeSchedule, SettlementRule, Side, Window, WindowEvent, WindowState

OPEN_AT = datetime(2026, 10, 5, 23, 0, tzinfo=UTC)
D = Decimal


def window(length_s=30, **fields):
    standard = Window(
        window_id=WindowId("btc-updown-15m-1"),
        instrument=Instrument("BTC"),
        series="btc-up-or-down-15m",
        interval_s=length_s,
        opens_at=OPEN_AT,
        closes_at=OPEN_AT + timedelta(seconds=length_s),
        state=WindowState.DISCOVERED,
        rule=SettlementRule.CHAINLINK_TWAP,
        lookback_s=2,
        condition_id=ConditionId("0xc"),
        up_token=TokenId("1"),
        down_token=TokenId("2"),
        tick=D("0.01"),
        min_size=D(5),
        fee=FeeSchedule(D("0.07"), 1),
        accepting=True,
    )
    return replace(standard, **fields)


def after(seconds):
    return OPEN_AT + timedelta(seconds=seconds)


def book(bids, asks, *, continuous=True):
    levels = [tuple(Level(D(price), D(size)) for price, size in side) for side in (bids, asks)]
    return Book(TokenId("1"), *levels, OPEN_AT, OPEN_AT, continuous)


def test_a_trade_id_is_new_once_then_a_duplicate_and_a_gap_filled_late_is_kept():
    seen = Seen()
    judged = [seen.judge(serial) for serial in (5, 6, 6, 9, 8, 8, 9, 4, 10)]
    new, late, duplicate = Novelty.NEW, Novelty.LATE, Novelty.DUPLICATE
    assert judged == [new, new, duplicate, new, late, duplicate, duplicate, duplicate, new]


def test_what_was_seen_before_the_process_started_is_a_duplicate():
    seen = Seen(last=100)
    assert [seen.judge(serial) for serial in (99, 100, 101, 100)] == [
        Novelty.DUPLICATE,
        Novelty.DUPLICATE,
        Novelty.NEW,
        Novelty.DUPLICATE,
    ]


def test_the_memory_of_trade_ids_is_bounded():
    seen = Seen()
    for serial in range(5_000):
        seen.judge(serial)
    assert len(seen.order) == len(seen.recent) == 1_000


@pytest.mark.parametrize(
    ("stored", "listed", "change"),
    [
        (None, window(), ListingChange.NEW),
        (window(), window(), ListingChange.SAME),
        (window(state=WindowState.OPEN, strike=D(7)), window(), ListingChange.SAME),
        (window(), window(accepting=False), ListingChange.UPDATED),
        (window(tick=D("0.010000")), window(), ListingChange.SAME),
        (window(condition_id=None, up_token=None, down_token=None), window(), ListingChange.UPDATED),
        (window(), window(up_token=TokenId("3")), ListingChange.IDS_CHANGED),
        (window(), window(down_token=None), ListingChange.IDS_CHANGED),
        (window(), window(condition_id=ConditionId("0xd")), ListingChange.IDS_CHANGED),
    ],
)
def test_ids_may_appear_and_never_change(stored, listed, change):
    assert compare_listing(stored, listed) is change


@pytest.mark.parametrize(
    ("state", "seconds", "event"),
    [
        (WindowState.DISCOVERED, -0.001, None),
        (WindowState.DISCOVERED, 0, WindowEvent.OPENED),
        (WindowState.DISCOVERED, 99, WindowEvent.OPENED),
        (WindowState.OPEN, 29.999, None),
        (WindowState.OPEN, 30, WindowEvent.CLOSED),
        (WindowState.CLOSED, 99, None),
        (WindowState.RESOLVED, 99, None),
    ],
)
def test_a_window_moves_at_its_own_open_and_close(state, seconds, event):
    assert window_step(window(state=state), after(seconds)) is event


def test_the_next_step_is_the_soonest_of_all_windows():
    windows = [
        window(state=WindowState.OPEN),
        window(opens_at=after(20), closes_at=after(50)),
        window(state=WindowState.CLOSED),
    ]
    assert next_step_at(windows) == after(20)
    assert next_step_at([]) is None


def test_a_window_without_one_of_its_ids_may_not_open():
    assert has_ids(window())
    for missing in ("condition_id", "up_token", "down_token"):
        assert not has_ids(window(**{missing: None}))


def test_each_rule_has_its_deciding_feed():
    assert {rule: deciding_source(rule) for rule in SettlementRule} == {
        SettlementRule.CHAINLINK_TWAP: Source.CHAINLINK_TWAP,
        SettlementRule.CHAINLINK_SPOT: Source.CHAINLINK,
        SettlementRule.BINANCE_CANDLE: Source.BINANCE,
    }


@pytest.mark.parametrize(
    ("readings", "price"),
    [
        ([(-1, 5), (0, 6), (1, 7)], 6),
        ([(1, 7), (-1, 5)], 7),
        ([(-1, 5)], None),
        ([(5, 7)], 7),
        ([(5.001, 7)], None),
        ([], None),
    ],
)
def test_our_strike_is_the_first_report_at_the_open_and_no_later_one(readings, price):
    found = opening_price([Reading(after(seconds), D(value)) for seconds, value in readings], OPEN_AT)
    assert found == (None if price is None else D(price))


def test_depth_is_dollars_within_one_and_five_percent_of_the_best():
    numbers = summarise(
        book(
            [("0.50", "10"), ("0.495", "100"), ("0.49", "1000"), ("0.475", "100"), ("0.47", "9999")],
            [("0.52", "1")],
        )
    )
    assert numbers.bid_depth_100 == D("54.50")  # 0.50 x 10 + 0.495 x 100: one percent below 0.50 is 0.495
    assert numbers.bid_depth_500 == D("592.00")
    assert (numbers.spread, numbers.mid) == (D("0.02"), D("0.51"))
    empty = summarise(book([], [("0.52", "1")]))
    assert (empty.best_bid, empty.spread, empty.mid, empty.bid_depth_100) == (None, None, None, D(0))


def test_a_short_window_has_only_the_samples_that_exist():
    assert samples_of(window(900)) == (60, 30, 10, 5, 1, 0)
    assert samples_of(window(30)) == (10, 5, 1, 0)
    assert samples_of(window(3)) == (1, 0)


@pytest.mark.parametrize(
    ("seconds", "taken", "due"),
    [
        (19.9, (), ()),
        (20, (), (10,)),
        (20.5, (10,), ()),
        (25, (10,), (5,)),
        (25, (), (5,)),  # ten seconds before was missed, and no later price stands in its column
        (30, (10, 5, 1), (0,)),
        (31, (10, 5, 1, 0), ()),
    ],
)
def test_a_sample_is_due_once_at_its_moment(seconds, taken, due):
    assert due_samples(window(30), after(seconds), taken) == due


@pytest.mark.parametrize(
    ("up", "down", "said"),
    [
        ("0.97", "0.03", Consensus(Side.UP, D("0.97"))),
        ("0.03", "0.97", Consensus(Side.DOWN, D("0.97"))),
        (None, "0.2", Consensus(Side.UP, D("0.8"))),
        ("0.5", "0.5", None),
        (None, None, None),
    ],
)
def test_the_consensus_is_the_favourite(up, down, said):
    assert consensus(*(None if text is None else D(text) for text in (up, down))) == said


@pytest.mark.parametrize(
    ("said", "payout_up", "surprise"),
    [
        (Consensus(Side.UP, D("0.951")), 0, True),
        (Consensus(Side.UP, D("0.95")), 0, False),
        (Consensus(Side.UP, D("0.99")), 1, False),
        (Consensus(Side.DOWN, D("0.99")), 1, True),
        (Consensus(Side.DOWN, D("0.99")), "0.5", None),
        (None, 1, None),
    ],
)
def test_a_sure_market_that_lost_is_a_surprise(said, payout_up, surprise):
    assert is_surprise(said, D(payout_up)) is surprise


def test_near_the_end_the_only_side_left_is_the_price():
    assert market_price(book([("0.98", "1")], [])) == D("0.98")
    assert market_price(book([], [("0.02", "1")])) == D("0.02")
    assert market_price(book([("0.4", "1")], [("0.6", "1")])) == D("0.5")
    assert market_price(book([("0.4", "1")], [("0.6", "1")], continuous=False)) is None
    assert market_price(None) is None


def test_the_first_question_comes_a_second_after_the_close_and_later_ones_ever_more_seldom():
    waits = [resolution_wait_s(attempt) for attempt in range(120)]
    assert waits[0] == 1.0
    assert waits[1:6] == [2.0] * 5
    assert waits[1:] == sorted(waits[1:])
    assert max(waits) == 300.0


def at_ms(milliseconds):
    return OPEN_AT + timedelta(milliseconds=milliseconds)


def test_readings_of_whole_seconds_narrow_each_other_to_the_true_offset():
    """A clock 400 ms ahead, read at 0.0 s and at 0.7 s by ours, says 0 and 1."""
    known = narrowed(None, said=at_ms(0), asked_at=at_ms(0), answered_at=at_ms(10))
    assert (known.least_s, known.most_s) == (D("-0.01"), D(1))
    assert known.offset_s == 0
    known = narrowed(known, said=at_ms(1000), asked_at=at_ms(700), answered_at=at_ms(710))
    assert known == Clocked(D("0.29"), D(1))
    assert known.offset_s == D("0.29")
    known = narrowed(known, said=at_ms(1000), asked_at=at_ms(1500), answered_at=at_ms(1510))
    assert known == Clocked(D("0.29"), D("0.5"))


def test_a_clock_that_was_set_is_measured_anew():
    known = Clocked(D("0.2"), D("0.3"))
    assert narrowed(known, said=at_ms(5000), asked_at=at_ms(0), answered_at=at_ms(10)) == Clocked(
        D("4.99"), D(6)
    )


def test_clocks_agree_until_a_reading_proves_them_wrong():
    assert Clocked(D("-0.4"), D("0.6")).offset_s == 0
    assert Clocked(D("-1.5"), D("-1.2")).offset_s == D("-1.2")


def test_an_offset_is_smoothed_and_kept_short():
    assert smoothed_ms(None, D("1.2345")) == D("1.234")
    assert smoothed_ms(D(0), D(20)) == D(1)


@pytest.mark.parametrize(
    ("heard", "now", "stale"), [(0, 5, None), (0, 5.001, 0), (None, 5, None), (None, 6, -1), (3, 6, None)]
)
def test_a_feed_is_stale_since_it_was_last_heard_or_since_the_start(heard, now, stale):
    found = stale_since(
        None if heard is None else after(heard),
        after(-1 if now == 6 else 0),
        after(now),
        timedelta(seconds=5),
    )
    assert found == (None if stale is None else after(stale))


def test_a_change_is_in_percent():
    assert change_pct(D(200), D(201)) == D("0.5")
    assert change_pct(None, D(1)) is None
    assert change_pct(D(0), D(1)) is None


def test_books_are_followed_of_windows_that_are_open_or_open_soon():
    later = window(opens_at=after(91), closes_at=after(121), up_token=TokenId("8"), down_token=TokenId("9"))
    closed = window(state=WindowState.CLOSED, up_token=TokenId("5"), down_token=TokenId("6"))
    wanted = tokens_to_follow([window(up_token=None), later, closed], OPEN_AT, timedelta(seconds=90))
    assert wanted == {"2"}
