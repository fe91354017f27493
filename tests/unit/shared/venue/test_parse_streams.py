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
    FastPrice,
    FastQuote,
    LastTrade,
    MarketResolved,
    OracleKind,
    OrderUpdate,
    TickSizeChange,
    TopOfBook,
    TradeSeen,
)
from shared.venue.parse_streams import (
    parse_binance_frame,
    parse_market_frame,
    parse_price_frame,
    parse_user_frame,
)
from shared.venue.refusals import Malformed, Refusal, UnknownStatus
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
SPOT = {
    "v": 1,
    "channel": "price.crypto",
    "seq": 2,
    "ts": 1791241801000,
    "payload": {
        "symbol": "btcusd",
        "value": 64126.0,
        "full_accuracy_value": "64126.00000000",
        "timestamp": 1791241800000,
        "source": "chainlink",
    },
}
TWAP = SPOT | {"channel": "price.crypto.twap", "payload": SPOT["payload"] | {"window_seconds": 60}}
TICK = {
    "e": "trade",
    "E": 1791241800136,
    "s": "BTCUSDT",
    "t": 12345,
    "p": "61035.86",
    "q": "0.010",
    "T": 1791241800135,
    "m": True,
}
QUOTE = {"u": 400900217, "s": "BTCUSDT", "b": "61035.85", "B": "3.1", "a": "61035.86", "A": "0.4"}


def market(*events):
    return parse_market_frame(json.dumps(events[0] if len(events) == 1 else events), NOW)


def user(event, fee=FEE):
    return parse_user_frame(json.dumps(event), NOW, api_key=API_KEY, fee_of=lambda _: fee)


def prices(frame):
    return parse_price_frame(json.dumps(frame), NOW)


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


@pytest.mark.parametrize(
    "event", [{"event_type": "new_market", "market": "0x"}, {"event_type": "tomorrow"}, {}]
)
def test_news_of_other_markets_and_later_kinds_is_passed_over(event):
    assert market(event) == []


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


def test_a_reference_price_is_the_exact_text_with_both_times_and_its_source():
    (price,) = prices(SPOT)
    assert (price.instrument, price.kind, price.price, price.lookback_s) == (
        "BTC",
        OracleKind.SPOT,
        Decimal(64126),
        0,
    )
    assert (price.observed_at, price.sent_at.second, price.received_at) == (AT, 1, NOW)
    assert (price.source, price.seq, price.backfill, price.dropped) == ("chainlink", 2, False, 0)
    (average,) = prices(TWAP | {"dropped": 3})
    assert (average.kind, average.lookback_s, average.dropped) == (OracleKind.TWAP, 60, 3)


def test_the_history_at_subscribing_is_marked_as_such():
    points = [
        {"timestamp": 1791241799000, "value": 1, "full_accuracy_value": "64120.5"},
        {"timestamp": 1791241800000, "value": 1, "full_accuracy_value": "64121.5"},
    ]
    found = prices(
        SPOT | {"snapshot": True, "payload": {"symbol": "btcusd", "source": "chainlink", "data": points}}
    )
    assert [(price.price, price.backfill) for price in found] == [
        (Decimal("64120.5"), True),
        (Decimal("64121.5"), True),
    ]
    assert (
        prices(SPOT | {"snapshot": True, "payload": {"symbol": "btcusd", "source": "chainlink", "data": []}})
        == []
    )


@pytest.mark.parametrize(
    "frame",
    [
        SPOT | {"v": 2},
        SPOT | {"channel": "price.equity"},
        SPOT | {"payload": SPOT["payload"] | {"window_seconds": 60}},
        TWAP | {"payload": SPOT["payload"]},
        SPOT | {"payload": SPOT["payload"] | {"full_accuracy_value": "0"}},
        SPOT | {"payload": SPOT["payload"] | {"full_accuracy_value": "-1"}},
        SPOT | {"payload": SPOT["payload"] | {"full_accuracy_value": "NaN"}},
        SPOT | {"payload": SPOT["payload"] | {"full_accuracy_value": None}},
        SPOT | {"payload": {"symbol": "btcusd"}},
    ],
)
def test_a_price_that_is_none_is_refused(frame):
    with pytest.raises(Malformed):
        prices(frame)


def test_the_fast_feed_is_read():
    tick, quote = parse_binance_frame(TICK, NOW), parse_binance_frame(QUOTE, NOW)
    assert isinstance(tick, FastPrice)
    assert (tick.instrument, tick.price, tick.trade_id, tick.traded_at.microsecond) == (
        "BTC",
        Decimal("61035.86"),
        12345,
        135000,
    )
    assert isinstance(quote, FastQuote)
    assert (quote.bid, quote.ask, quote.update_id) == (Decimal("61035.85"), Decimal("61035.86"), 400900217)
    assert parse_binance_frame({"result": None, "id": 1}, NOW) is None


@pytest.mark.parametrize(
    "frame",
    [TICK | {"p": "0"}, TICK | {"p": "x"}, TICK | {"t": None}, QUOTE | {"b": "61036"}, QUOTE | {"b": "0"}],
)
def test_an_impossible_fast_price_is_refused(frame):
    with pytest.raises(Malformed):
        parse_binance_frame(frame, NOW)


SAMPLES = [
    DELTA,
    BOOK | {"event_type": "book"},
    TRADE | {"event_type": "trade"},
    ORDER_EVENT,
    SPOT,
    TWAP,
    TICK,
    QUOTE,
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
            lambda text: parse_price_frame(text, NOW),
            lambda text: parse_binance_frame(json.loads(text), NOW),
        ):
            try:
                parse(text)
            except Refusal:
                continue
            except json.JSONDecodeError:
                assert text != whole
