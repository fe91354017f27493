import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, strategies

from shared.domain.orders import OrderEvent, OrderSide
from shared.domain.trades import FillState
from shared.venue.events import (
    BookDelta,
    BookSnapshot,
    LastTrade,
    MarketResolved,
    OrderUpdate,
    TickSizeChange,
    TopOfBook,
    TradeSeen,
    UnknownEvent,
)
from shared.venue.parse_streams import parse_market_frame, parse_user_frame
from shared.venue.refusals import Malformed, Refusal, UnknownStatus, UnknownWord
from tests.unit.shared.venue.test_parse import BOOK, TRADE
from tests.unit.shared.venue.venue_values import API_KEY, CONDITION, FEE, NOW, OTHER_TOKEN, TOKEN

AT = datetime(2026, 10, 5, 23, 10, tzinfo=UTC)
AT_MS = "1791241800000"
CHANGE = {
    "asset_id": TOKEN,
    "price": "0.51",
    "side": "BUY",
    "size": "150.0",
    "hash": "h",
    "best_bid": "0.51",
    "best_ask": "0.52",
}
DELTA = {"event_type": "price_change", "market": CONDITION, "timestamp": AT_MS, "price_changes": [CHANGE]}


def market(*events):
    return parse_market_frame(json.dumps(events[0] if len(events) == 1 else events), NOW)


def user(event, fee=FEE):
    return parse_user_frame(json.dumps(event), NOW, api_key=API_KEY, fee_of=lambda _: fee)


def test_a_frame_is_one_event_or_several():
    found = market(BOOK | {"event_type": "book"}, DELTA)
    assert [type(event) for event in found] == [BookSnapshot, BookDelta]
    assert [type(event) for event in market(DELTA)] == [BookDelta]
    assert found[0].bids[0].price == Decimal("0.95")
    assert found[0].tick == Decimal("0.01")
    assert {event.received_at for event in found} == {NOW}


def test_a_change_has_the_new_size_and_the_best_prices_after_it():
    (delta,) = market(
        DELTA
        | {
            "price_changes": [
                CHANGE,
                CHANGE | {"asset_id": OTHER_TOKEN, "size": "0", "best_bid": "0", "best_ask": "1"},
            ]
        }
    )
    first, second = delta.changes
    assert (first.side, first.price, first.size, first.best_bid, first.best_ask) == (
        OrderSide.BUY,
        Decimal("0.51"),
        150,
        Decimal("0.51"),
        Decimal("0.52"),
    )
    assert (second.token_id, second.size, second.best_bid, second.best_ask) == (OTHER_TOKEN, 0, None, None)
    assert delta.source_at == AT


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            {
                "event_type": "best_bid_ask",
                "asset_id": TOKEN,
                "best_bid": "0.73",
                "best_ask": "",
                "timestamp": AT_MS,
            },
            TopOfBook(TOKEN, Decimal("0.73"), None, AT, NOW),
        ),
        (
            {
                "event_type": "tick_size_change",
                "asset_id": TOKEN,
                "old_tick_size": "0.01",
                "new_tick_size": "0.001",
                "timestamp": AT_MS,
            },
            TickSizeChange(TOKEN, Decimal("0.01"), Decimal("0.001"), AT, NOW),
        ),
        (
            {
                "event_type": "last_trade_price",
                "asset_id": TOKEN,
                "price": "0.5",
                "size": "7",
                "side": "SELL",
                "timestamp": AT_MS,
            },
            LastTrade(TOKEN, OrderSide.SELL, Decimal("0.5"), Decimal(7), "", AT, NOW),
        ),
        (
            {
                "event_type": "market_resolved",
                "market": CONDITION,
                "winning_asset_id": TOKEN,
                "timestamp": AT_MS,
            },
            MarketResolved(CONDITION, TOKEN, AT, NOW),
        ),
    ],
)
def test_every_kind_of_market_event_is_read(event, expected):
    assert market(event) == [expected]


def test_news_of_other_markets_is_passed_over():
    assert market({"event_type": "new_market", "market": "0x"}) == []


@pytest.mark.parametrize(
    ("kind", "shown"), [("tomorrow", "tomorrow"), (None, "?"), (7, "7"), (["x"], "?"), ("y" * 99, "y" * 40)]
)
def test_a_kind_that_is_not_on_the_list_is_named_and_the_rest_of_the_frame_is_read(kind, shown):
    assert market({"event_type": kind}, DELTA)[0] == UnknownEvent(shown, NOW)
    assert isinstance(market({"event_type": kind}, DELTA)[1], BookDelta)


def test_a_change_in_the_form_of_2025_is_read_as_todays_without_best_prices():
    old = {
        "event_type": "price_change",
        "market": CONDITION,
        "asset_id": TOKEN,
        "timestamp": AT_MS,
        "hash": "h",
        "changes": [{"price": "0.4", "side": "SELL", "size": "3300"}],
    }
    (delta,) = market(old)
    (change,) = delta.changes
    assert (change.token_id, change.side, change.price, change.size) == (
        TOKEN,
        OrderSide.SELL,
        Decimal("0.4"),
        3300,
    )
    assert (change.best_bid, change.best_ask, delta.source_at) == (None, None, AT)


def test_the_first_frame_of_a_market_of_protocol_v2_is_read_as_any_other():
    # A real session's start of October 2026, ids shortened by the one who published it.
    text = (
        '[{"market":"0x0177","asset_id":"6635","timestamp":"1791238858575","hash":"fc38","bids":[],"asks":[],'
        '"tick_size":"0.01","event_type":"book","last_trade_price":"","version":"v2"}]'
    )
    (book,) = parse_market_frame(text, NOW)
    assert (book.token_id, book.bids, book.asks, book.tick) == ("6635", (), (), Decimal("0.01"))


@pytest.mark.parametrize(
    "number",
    [
        "1e999999999",
        "1e-999999999",
        "1e9999",
        "1E+18",
        "9" * 4000,
        "-1",
        "true",
        "1.5",
        "NaN",
        "1" + "0" * 14,
    ],
)
def test_a_time_beyond_all_calendars_is_refused_before_its_digits_are_unfolded(number):
    with pytest.raises(Malformed):
        parse_market_frame(json.dumps(DELTA).replace(f'"{AT_MS}"', number), NOW)


@pytest.mark.parametrize("number", ["1e-999999999", "1e999999999", "0.51000000000000000000000000000000001"])
def test_a_number_too_small_or_too_long_for_arithmetic_is_refused(number):
    with pytest.raises(Malformed):
        parse_market_frame(json.dumps(DELTA).replace('"150.0"', number), NOW)


@pytest.mark.parametrize("word", ["notice", None, ["x"]])
def test_a_word_of_the_user_channel_that_is_not_on_the_list_is_refused_for_it_may_be_a_fact(word):
    with pytest.raises(UnknownWord):
        user({"event_type": word})


@pytest.mark.parametrize("text", ["", "{", "5", "[1]", '"PING"', json.dumps(DELTA)[:60]])
def test_a_broken_frame_is_refused(text):
    with pytest.raises(Malformed):
        parse_market_frame(text, NOW)


@pytest.mark.parametrize("changes", [{"price": "1.2"}, {"size": "-1"}, {"side": "HOLD"}, {"price": ""}])
def test_an_impossible_change_is_refused(changes):
    with pytest.raises(Malformed):
        market(DELTA | {"price_changes": [CHANGE | changes]})


ORDER_EVENT = {
    "event_type": "order",
    "type": "CANCELLATION",
    "id": "0x78",
    "market": CONDITION,
    "asset_id": TOKEN,
    "original_size": "12",
    "size_matched": "",
    "associate_trades": None,
    "status": "CANCELED_order couldn't be fully filled. FOK orders are fully filled or killed.",
    "timestamp": AT_MS,
}


def test_a_killed_order_is_read_though_its_amounts_are_empty():
    (update,) = user(ORDER_EVENT)
    assert isinstance(update, OrderUpdate)
    assert (update.order_id, update.event, update.matched_shares) == ("0x78", OrderEvent.KILLED, None)


def test_an_order_killed_after_a_part_matched_is_done_with_a_match():
    (update,) = user(ORDER_EVENT | {"size_matched": "5", "associate_trades": ["t"]})
    assert (update.event, update.trade_ids) == (OrderEvent.MATCHED, ("t",))


@pytest.mark.parametrize("status", ["MATCHED", "MINED", "CONFIRMED", "RETRYING", "FAILED"])
def test_a_trade_is_seen_once_per_state(status):
    (seen,) = user(
        TRADE
        | {"event_type": "trade", "type": "TRADE", "status": status, "timestamp": AT_MS, "fee_rate_bps": ""}
    )
    assert isinstance(seen, TradeSeen)
    assert (seen.trade.state, seen.condition_id, seen.fee_known) == (FillState(status), CONDITION, True)


def test_a_trade_of_a_market_we_have_no_fee_for_says_so():
    (seen,) = user(TRADE | {"event_type": "trade"}, fee=None)
    assert not seen.fee_known


def test_a_trades_time_may_be_spelt_in_two_ways():
    spelt = {key: value for key, value in TRADE.items() if key != "match_time"} | {
        "event_type": "trade",
        "matchtime": "1791241800",
    }
    (seen,) = user(spelt)
    assert seen.trade.matched_at == AT


@pytest.mark.parametrize(
    "event", [ORDER_EVENT | {"status": "MAYBE"}, TRADE | {"event_type": "trade", "status": "MAYBE"}]
)
def test_a_status_that_is_not_on_the_list_is_refused(event):
    with pytest.raises(UnknownStatus):
        user(event)


SAMPLES = [
    DELTA,
    BOOK | {"event_type": "book"},
    TRADE | {"event_type": "trade"},
    ORDER_EVENT,
]


@given(
    sample=strategies.sampled_from(SAMPLES),
    changes=strategies.dictionaries(
        strategies.sampled_from(sorted({key for sample in SAMPLES for key in sample})),
        strategies.none()
        | strategies.text()
        | strategies.integers()
        | strategies.lists(strategies.text(), max_size=2),
        max_size=3,
    ),
    cut=strategies.integers(min_value=0, max_value=400),
)
def test_no_frame_raises_anything_but_a_refusal(sample, changes, cut):
    whole = json.dumps(sample | changes)
    for text in (whole, whole[:cut]):
        for parse in (
            lambda text: parse_market_frame(text, NOW),
            lambda text: parse_user_frame(text, NOW, api_key=API_KEY, fee_of=lambda _: FEE),
        ):
            try:
                parse(text)
            except Refusal:
                continue
