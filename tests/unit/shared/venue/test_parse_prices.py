import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, strategies

from shared.venue.events import FastPrice, FastQuote, OracleKind
from shared.venue.parse_prices import (
    parse_binance_frame,
    parse_object,
    parse_price_frame,
    parse_pyth_frame,
    parse_rtds_frame,
)
from shared.venue.refusals import Malformed, Refusal, Rejected, UnknownWord
from tests.unit.shared.venue.venue_values import NOW

AT = datetime(2026, 10, 5, 23, 10, tzinfo=UTC)
ASKED = frozenset({"BTC", "ETH"})
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


RTDS_SPOT = {
    "connection_id": "x",
    "topic": "crypto_prices_chainlink",
    "type": "update",
    "timestamp": 1791241801451,
    "payload": {
        "symbol": "btc/usd",
        "timestamp": 1791241800000,
        "value": 79696.94817428796,
        "full_accuracy_value": "79696948174287960000000",
    },
}
RTDS_TWAP = RTDS_SPOT | {
    "topic": "crypto_prices_twap_sixty",
    "payload": RTDS_SPOT["payload"] | {"window_s": 60},
}
MISLABELLED = {
    "topic": "crypto_prices",
    "type": "subscribe",
    "timestamp": 1791241846826,
    "payload": {
        "symbol": "btc/usd",
        "data": [
            {"timestamp": 1791241800000, "value": 79639.20029609217},
            {"timestamp": 1791241801000, "value": 79639.18129358691},
        ],
    },
}
PYTH_ID = "e62df6c8b4a85fe1a67db44dc12de5db330f7ac66b72dc658afedf0f4a415b43"
PYTH = {
    "binary": {"encoding": "hex", "data": ["504e"]},
    "parsed": [
        {
            "id": PYTH_ID,
            "price": {"price": "6103586000000", "conf": "2100000000", "expo": -8, "publish_time": 1791241800},
            "ema_price": {"price": "6101000000000", "conf": "1", "expo": -8, "publish_time": 1791241800},
            "metadata": {"slot": 17, "proof_available_time": 1791241801, "prev_publish_time": 1791241799},
        }
    ],
}


def prices(frame):
    return parse_price_frame(parse_object(json.dumps(frame)), NOW, ASKED)


def rtds(frame):
    return parse_rtds_frame(parse_object(json.dumps(frame)), NOW, ASKED)


def pyth(frame):
    return parse_pyth_frame(parse_object(json.dumps(frame)), NOW, ASKED)


def binance(frame):
    return parse_binance_frame(parse_object(json.dumps(frame)), NOW, ASKED)


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
    tick, quote = binance(TICK), binance(QUOTE)
    assert isinstance(tick, FastPrice)
    assert (tick.instrument, tick.price, tick.trade_id, tick.traded_at.microsecond) == (
        "BTC",
        Decimal("61035.86"),
        12345,
        135000,
    )
    assert isinstance(quote, FastQuote)
    assert (quote.bid, quote.ask, quote.update_id) == (Decimal("61035.85"), Decimal("61035.86"), 400900217)
    assert binance({"result": None, "id": 1}) is None


@pytest.mark.parametrize(
    "frame",
    [TICK | {"p": "0"}, TICK | {"p": "x"}, TICK | {"t": None}, QUOTE | {"b": "61036"}, QUOTE | {"b": "0"}],
)
def test_an_impossible_fast_price_is_refused(frame):
    with pytest.raises(Malformed):
        binance(frame)


@pytest.mark.parametrize(
    ("read", "frame"),
    [
        (prices, SPOT | {"payload": SPOT["payload"] | {"symbol": "dogeusd"}}),
        (prices, SPOT | {"payload": SPOT["payload"] | {"symbol": "btc"}}),
        (rtds, RTDS_SPOT | {"payload": RTDS_SPOT["payload"] | {"symbol": "doge/usd"}}),
        (rtds, RTDS_SPOT | {"topic": "equity_prices"}),
        (binance, TICK | {"s": "DOGEUSDT"}),
        (binance, QUOTE | {"s": "BTCEUR"}),
        (binance, {"e": "depthUpdate"}),
        (binance, {"e": None}),
        (binance, {"e": [1]}),
        (pyth, {"parsed": [PYTH["parsed"][0] | {"id": "00"}]}),
    ],
)
def test_what_nobody_asked_for_is_refused_by_name(read, frame):
    with pytest.raises(UnknownWord):
        read(frame)


@pytest.mark.parametrize(
    ("read", "frame"),
    [
        (binance, {"error": {"code": 2}, "id": 1}),
        (rtds, {"body": {"message": "NotFound"}, "statusCode": 401}),
    ],
)
def test_a_request_that_was_turned_down_says_so(read, frame):
    with pytest.raises(Rejected):
        read(frame)


def test_binance_times_in_microseconds_are_no_times():
    with pytest.raises(Malformed):
        binance(TICK | {"T": 1791241800135000})


def test_rtds_prices_are_scaled_to_dollars_and_say_when_they_were_true():
    (price,) = rtds(RTDS_SPOT)
    assert (price.instrument, price.kind, price.price) == (
        "BTC",
        OracleKind.SPOT,
        Decimal("79696.94817428796"),
    )
    assert (price.observed_at, price.sent_at.second, price.backfill) == (AT, 1, False)
    (average,) = rtds(RTDS_TWAP)
    assert (average.kind, average.lookback_s) == (OracleKind.TWAP, 60)


def test_the_chainlink_history_is_known_by_its_symbol_though_it_is_labelled_binance():
    found = rtds(MISLABELLED)
    assert {(price.kind, price.instrument, price.source, price.backfill) for price in found} == {
        (OracleKind.SPOT, "BTC", "chainlink", True)
    }
    assert [price.price for price in found] == [Decimal("79639.20029609217"), Decimal("79639.18129358691")]


def test_an_average_is_known_by_its_look_back_whatever_its_label():
    labelled = MISLABELLED | {"payload": MISLABELLED["payload"] | {"window_s": 60}}
    assert {(price.kind, price.lookback_s) for price in rtds(labelled)} == {(OracleKind.TWAP, 60)}


def test_binances_own_prices_by_rtds_are_never_taken_for_the_oracles():
    payload = {"symbol": "btcusdt", "timestamp": 1791241800000, "value": 1, "full_accuracy_value": "1.0"}
    assert rtds(RTDS_SPOT | {"topic": "crypto_prices", "payload": payload}) == []
    assert rtds(RTDS_SPOT | {"payload": payload}) == []


@pytest.mark.parametrize(
    "payload",
    [
        {"full_accuracy_value": "79696948174287960"},  # another scale than the one we know
        {"full_accuracy_value": "1e22"},
        {"value": 0, "full_accuracy_value": "0"},
        {"value": None},
        {"timestamp": None},
        {"symbol": None},
    ],
)
def test_an_rtds_price_that_is_none_is_refused(payload):
    with pytest.raises(Malformed):
        rtds(RTDS_SPOT | {"payload": RTDS_SPOT["payload"] | payload})


def test_pyth_prices_are_shifted_by_their_exponent_and_numbered_by_slot():
    (price,) = pyth(PYTH)
    assert (price.instrument, price.price, price.confidence) == ("BTC", Decimal("61035.86"), Decimal(21))
    assert (price.serial, price.published_at) == (17, AT)
    (without,) = pyth({"parsed": [PYTH["parsed"][0] | {"metadata": {}}]})
    assert without.serial == 1791241800
    assert pyth({"parsed": []}) == []


@pytest.mark.parametrize(
    "price",
    [{"price": "0"}, {"price": "-5"}, {"expo": 999999}, {"expo": -19}, {"conf": "-1"}, {"publish_time": -1}],
)
def test_a_pyth_price_that_is_none_is_refused(price):
    feed = PYTH["parsed"][0]
    with pytest.raises(Malformed):
        pyth({"parsed": [feed | {"price": feed["price"] | price}]})


SAMPLES = [SPOT, TWAP, TICK, QUOTE, RTDS_SPOT, RTDS_TWAP, MISLABELLED, PYTH]


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
        for parse in (parse_price_frame, parse_rtds_frame, parse_binance_frame, parse_pyth_frame):
            try:
                parse(parse_object(text), NOW, ASKED)
            except Refusal:
                continue
