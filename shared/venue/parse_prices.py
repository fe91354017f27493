"""PURE: one frame of a price feed → prices. A frame nobody understands raises a Refusal.

An instrument nobody asked for is refused, too: it would become rows without end.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from shared.domain.ids import Instrument
from shared.domain.money import ZERO
from shared.venue.events import AggregatePrice, FastPrice, FastQuote, OracleKind, OraclePrice
from shared.venue.parse import at_millis, parse_json, read, word_of
from shared.venue.refusals import Malformed, Rejected, UnknownWord
from shared.venue.wire_streams import (
    WireBinanceQuote,
    WireBinanceTrade,
    WirePriceFrame,
    WirePythUpdate,
    WireRtdsFrame,
)

PYTH_FEEDS: Mapping[str, Instrument] = {
    "e62df6c8b4a85fe1a67db44dc12de5db330f7ac66b72dc658afedf0f4a415b43": Instrument("BTC"),
    "ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace": Instrument("ETH"),
    "ef0d8b6fda2ceba41da15d4095d1da392a0d2f8ed0c6c7bc0f4cfac8c280b56d": Instrument("SOL"),
    "ec5d399846a9209f3fe5881d70aae9268c94339ff9817e8d18ff19fa05eea1c8": Instrument("XRP"),
}
"""docs.pyth.network price feed ids, without 0x as in the answers."""
_RTDS_UNIT = 18
_ALIKE = Decimal("0.000001")
"""By so small a share may RTDS's rounded value differ from its exact text."""
_SHOWN = 40


def parse_object(text: str) -> Mapping[str, Any]:
    """Return a frame that is one JSON object; raises Malformed."""
    frame = parse_json(text)
    if not isinstance(frame, dict):
        raise Malformed("a frame is not an object")
    return frame


def parse_price_frame(
    frame: Mapping[str, Any], received_at: datetime, asked: Collection[Instrument]
) -> list[OraclePrice]:
    """Return the prices of a PolyBolt frame: one, or the history sent at subscribing; raises Refusal."""
    wire = read(WirePriceFrame, frame)
    twap = wire.channel == "price.crypto.twap"
    lookback_s = wire.payload.window_seconds or 0
    if twap != (lookback_s > 0):
        raise Malformed(f"{wire.channel} with a look-back of {lookback_s} s")
    points = [(point.timestamp, point.full_accuracy_value) for point in wire.payload.data or ()]
    if not wire.snapshot:
        if wire.payload.timestamp is None or wire.payload.full_accuracy_value is None:
            raise Malformed(f"{wire.channel} without a price")
        points = [(wire.payload.timestamp, wire.payload.full_accuracy_value)]
    instrument = _asked(wire.payload.symbol.lower(), "usd", asked)
    return [
        OraclePrice(
            instrument=instrument,
            kind=OracleKind.TWAP if twap else OracleKind.SPOT,
            price=_positive(price),
            observed_at=at_millis(observed_ms),
            sent_at=at_millis(wire.ts),
            received_at=received_at,
            source=wire.payload.source,
            seq=wire.seq,
            lookback_s=lookback_s,
            backfill=wire.snapshot,
            dropped=wire.dropped,
        )
        for observed_ms, price in points
    ]


def parse_rtds_frame(
    frame: Mapping[str, Any], received_at: datetime, asked: Collection[Instrument]
) -> list[OraclePrice]:
    """Return the oracle's prices of an RTDS frame; none for Binance's, which we hear from Binance itself.

    The Chainlink history comes under the topic of Binance's prices (``crypto_prices``, recorded in April and September
    2026), so the symbol and the look-back decide what a frame is, and never the topic. Raises Refusal.
    """
    if "statusCode" in frame:  # one unknown topic silences all that were asked for with it
        raise Rejected(f"RTDS refuses a subscription with status {word_of(frame['statusCode'])}")
    wire = read(WireRtdsFrame, frame)
    if not wire.topic.startswith("crypto_prices"):
        raise UnknownWord(f"RTDS speaks of {wire.topic[:_SHOWN]!r}")
    payload = wire.payload
    if "/" not in payload.symbol:
        return []
    points = [(point.timestamp, point.value, point.full_accuracy_value) for point in payload.data or ()]
    if wire.type == "update":
        if payload.timestamp is None or payload.value is None:
            raise Malformed(f"{wire.topic[:_SHOWN]} without a price")
        points = [(payload.timestamp, payload.value, payload.full_accuracy_value)]
    instrument, lookback_s = _asked(payload.symbol.lower(), "/usd", asked), payload.window_s or 0
    return [
        OraclePrice(
            instrument=instrument,
            kind=OracleKind.TWAP if lookback_s > 0 else OracleKind.SPOT,
            price=_positive(_exact_price(value, exact)),
            observed_at=at_millis(observed_ms),
            sent_at=at_millis(wire.timestamp),
            received_at=received_at,
            source="chainlink",  # the symbols with a slash are Chainlink's
            seq=0,
            lookback_s=lookback_s,
            backfill=wire.type == "subscribe",
        )
        for observed_ms, value, exact in points
    ]


def _exact_price(value: Decimal, exact: str | None) -> Decimal:
    """Return the exact text as a price; one that is not the rounded value has another scale than we think."""
    if exact is None:
        return value
    price = Decimal(exact) if "." in exact else Decimal(exact).scaleb(-_RTDS_UNIT)
    if abs(price - value) > _ALIKE * abs(value):
        raise Malformed(f"the exact price is {price}, the rounded one {value}")
    return price


def parse_binance_frame(
    data: Mapping[str, Any], received_at: datetime, asked: Collection[Instrument]
) -> FastPrice | FastQuote | None:
    """Return a trade or the best prices, None for the answer to a request; raises Refusal for anything else."""
    kind = data.get("e")
    if kind == "trade":
        trade = read(WireBinanceTrade, data)
        return FastPrice(
            instrument=_asked(trade.symbol.lower(), "usdt", asked),
            price=_positive(trade.price),
            quantity=trade.quantity,
            trade_id=trade.trade_id,
            event_at=at_millis(trade.event_ms),
            traded_at=at_millis(trade.traded_ms),
            received_at=received_at,
        )
    if kind is None and "u" in data and "b" in data:  # bookTicker is the one kind without a name
        quote = read(WireBinanceQuote, data)
        if not ZERO < quote.bid <= quote.ask:
            raise Malformed(f"best prices are {quote.bid} and {quote.ask}")
        return FastQuote(
            instrument=_asked(quote.symbol.lower(), "usdt", asked),
            bid=quote.bid,
            bid_size=quote.bid_size,
            ask=quote.ask,
            ask_size=quote.ask_size,
            update_id=quote.update_id,
            received_at=received_at,
        )
    if "error" in data:
        raise Rejected("Binance refuses a request")
    if kind is None and "result" in data:
        return None
    raise UnknownWord(f"Binance says {word_of(kind)!r}")


def parse_pyth_frame(
    frame: Mapping[str, Any], received_at: datetime, asked: Collection[Instrument]
) -> list[AggregatePrice]:
    """Return the prices of a Hermes update, price · 10^expo; raises Refusal."""
    found: list[AggregatePrice] = []
    for feed in read(WirePythUpdate, frame).parsed:
        instrument = PYTH_FEEDS.get(feed.id.lower().removeprefix("0x"))
        if instrument is None or instrument not in asked:
            raise UnknownWord(f"Pyth speaks of the feed {feed.id[:_SHOWN]!r}")
        slot = feed.metadata.slot
        found.append(
            AggregatePrice(
                instrument=instrument,
                price=_positive(Decimal(feed.price.price).scaleb(feed.price.expo)),
                confidence=Decimal(feed.price.conf).scaleb(feed.price.expo),
                serial=feed.price.publish_time if slot is None else slot,
                published_at=at_millis(feed.price.publish_time * 1000),
                received_at=received_at,
            )
        )
    return found


def _asked(symbol: str, suffix: str, asked: Collection[Instrument]) -> Instrument:
    instrument = Instrument(symbol.removesuffix(suffix).upper())
    if not symbol.endswith(suffix) or instrument not in asked:
        raise UnknownWord(f"a price of {symbol[:_SHOWN]!r}, which nobody asked for")
    return instrument


def _positive(price: Decimal) -> Decimal:
    if price <= 0:
        raise Malformed(f"a price is {price}")
    return price
