"""PURE: one frame of a feed → events. A frame nobody understands raises a Refusal; the feed makes it an event."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from shared.domain.ids import ConditionId, Instrument, OrderId, TokenId, TradeId
from shared.domain.money import ONE, ZERO
from shared.domain.orders import OrderSide
from shared.venue.events import (
    BookDelta,
    BookSnapshot,
    FastPrice,
    FastQuote,
    LastTrade,
    LevelChange,
    MarketEvent,
    MarketResolved,
    OracleKind,
    OraclePrice,
    OrderUpdate,
    TickSizeChange,
    TopOfBook,
    TradeSeen,
    UserEvent,
)
from shared.venue.parse import FeeOf, at_millis, levels, parse_json, parse_order_status, parse_trade, read
from shared.venue.refusals import Malformed
from shared.venue.wire import WireBook, WireTrade
from shared.venue.wire_streams import (
    WireBestBidAsk,
    WireBinanceQuote,
    WireBinanceTrade,
    WireLastTrade,
    WireMarketResolved,
    WireOrderEvent,
    WirePriceChange,
    WirePriceFrame,
    WireTickSizeChange,
)


def parse_market_frame(text: str, received_at: datetime) -> list[MarketEvent]:
    """Return the events of a market-channel frame: an object or an array of them; foreign kinds yield nothing.

    Raises:
        Malformed: not JSON, or an event of a known kind that is not as documented.
    """
    return [event for item in _objects(text) for event in _market_events(item, received_at)]


def _market_events(item: Mapping[str, Any], received_at: datetime) -> Iterable[MarketEvent]:
    parse = _MARKET_PARSERS.get(str(item.get("event_type")))
    return () if parse is None else (parse(item, received_at),)  # new_market and later kinds are not ours


def _snapshot(item: Mapping[str, Any], received_at: datetime) -> BookSnapshot:
    wire = read(WireBook, item)
    return BookSnapshot(
        token_id=TokenId(wire.asset_id),
        condition_id=ConditionId(wire.market),
        bids=levels([(level.price, level.size) for level in wire.bids], best_is_highest=True),
        asks=levels([(level.price, level.size) for level in wire.asks], best_is_highest=False),
        tick=wire.tick_size,
        source_at=at_millis(wire.timestamp),
        received_at=received_at,
    )


def _delta(item: Mapping[str, Any], received_at: datetime) -> BookDelta:
    wire = read(WirePriceChange, item)
    for change in wire.price_changes:
        if not ZERO < change.price < ONE or change.size < 0:
            raise Malformed(f"not a level: {change.size} at {change.price}")
    return BookDelta(
        condition_id=ConditionId(wire.market),
        changes=tuple(
            LevelChange(
                token_id=TokenId(change.asset_id),
                side=OrderSide(change.side),
                price=change.price,
                size=change.size,
                best_bid=_some_price(change.best_bid),
                best_ask=_some_price(change.best_ask),
            )
            for change in wire.price_changes
        ),
        source_at=at_millis(wire.timestamp),
        received_at=received_at,
    )


def _top(item: Mapping[str, Any], received_at: datetime) -> TopOfBook:
    wire = read(WireBestBidAsk, item)
    return TopOfBook(
        TokenId(wire.asset_id),
        _some_price(wire.best_bid),
        _some_price(wire.best_ask),
        at_millis(wire.timestamp),
        received_at,
    )


def _tick_size(item: Mapping[str, Any], received_at: datetime) -> TickSizeChange:
    wire = read(WireTickSizeChange, item)
    return TickSizeChange(
        TokenId(wire.asset_id),
        wire.old_tick_size,
        wire.new_tick_size,
        at_millis(wire.timestamp),
        received_at,
    )


def _last_trade(item: Mapping[str, Any], received_at: datetime) -> LastTrade:
    wire = read(WireLastTrade, item)
    return LastTrade(
        token_id=TokenId(wire.asset_id),
        side=OrderSide(wire.side),
        price=wire.price,
        shares=wire.size,
        transaction_hash=wire.transaction_hash or "",
        source_at=at_millis(wire.timestamp),
        received_at=received_at,
    )


def _resolved(item: Mapping[str, Any], received_at: datetime) -> MarketResolved:
    wire = read(WireMarketResolved, item)
    return MarketResolved(
        ConditionId(wire.market), TokenId(wire.winning_asset_id), at_millis(wire.timestamp), received_at
    )


_MARKET_PARSERS: Mapping[str, Callable[[Mapping[str, Any], datetime], MarketEvent]] = MappingProxyType(
    {
        "book": _snapshot,
        "price_change": _delta,
        "best_bid_ask": _top,
        "tick_size_change": _tick_size,
        "last_trade_price": _last_trade,
        "market_resolved": _resolved,
    }
)


def _some_price(value: Decimal | None) -> Decimal | None:
    """Return a best price; an empty side is written as nothing, 0 or 1."""
    return value if value is not None and ZERO < value < ONE else None


def parse_user_frame(text: str, received_at: datetime, *, api_key: str, fee_of: FeeOf) -> list[UserEvent]:
    """Return the events of a user-channel frame: our orders, and our side of our trades.

    Raises:
        Refusal: not as documented, or a status that is not on our list.
    """
    events: list[UserEvent] = []
    for item in _objects(text):
        kind = str(item.get("event_type") or item.get("type")).lower()
        if kind == "order":
            events.append(_order_update(item, received_at))
        elif kind == "trade":
            condition_id = ConditionId(read(WireTrade, item).market)
            events += [
                TradeSeen(
                    trade, condition_id, fee_of(trade.token_id) is not None or not trade.is_taker, received_at
                )
                for trade in parse_trade(item, api_key=api_key, fee_of=fee_of)
            ]
    return events


def _order_update(item: Mapping[str, Any], received_at: datetime) -> OrderUpdate:
    wire = read(WireOrderEvent, item)
    return OrderUpdate(
        order_id=OrderId(wire.id),
        token_id=TokenId(wire.asset_id),
        condition_id=ConditionId(wire.market),
        status=parse_order_status(wire.status),
        status_text=wire.status,
        matched_shares=wire.size_matched,
        trade_ids=tuple(TradeId(trade) for trade in wire.associate_trades or ()),
        source_at=at_millis(wire.timestamp),
        received_at=received_at,
    )


def parse_price_frame(text: str, received_at: datetime) -> list[OraclePrice]:
    """Return the prices of a PolyBolt frame: one, or the history sent at subscribing; raises Malformed."""
    wire = read(WirePriceFrame, parse_json(text))
    twap = wire.channel == "price.crypto.twap"
    lookback_s = wire.payload.window_seconds or 0
    if twap != (lookback_s > 0):
        raise Malformed(f"{wire.channel} with a look-back of {lookback_s} s")
    points = [(point.timestamp, point.full_accuracy_value) for point in wire.payload.data or ()]
    if not wire.snapshot:
        if wire.payload.timestamp is None or wire.payload.full_accuracy_value is None:
            raise Malformed(f"{wire.channel} without a price")
        points = [(wire.payload.timestamp, wire.payload.full_accuracy_value)]
    if any(price <= 0 for _, price in points):
        raise Malformed(f"{wire.channel}: a price is not positive")
    return [
        OraclePrice(
            instrument=Instrument(wire.payload.symbol.lower().removesuffix("usd").upper()),
            kind=OracleKind.TWAP if twap else OracleKind.SPOT,
            price=price,
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


def parse_binance_frame(data: Mapping[str, Any], received_at: datetime) -> FastPrice | FastQuote | None:
    """Return a trade or the best prices; None for answers and kinds we did not ask for; raises Malformed."""
    if data.get("e") == "trade":
        trade = read(WireBinanceTrade, data)
        if trade.price <= 0:
            raise Malformed(f"price of a trade is {trade.price}")
        return FastPrice(
            instrument=_binance_instrument(trade.symbol),
            price=trade.price,
            quantity=trade.quantity,
            trade_id=trade.trade_id,
            event_at=at_millis(trade.event_ms),
            traded_at=at_millis(trade.traded_ms),
            received_at=received_at,
        )
    if "e" not in data and "u" in data and "b" in data:  # bookTicker is the one kind without a name
        quote = read(WireBinanceQuote, data)
        if not ZERO < quote.bid <= quote.ask:
            raise Malformed(f"best prices are {quote.bid} and {quote.ask}")
        return FastQuote(
            instrument=_binance_instrument(quote.symbol),
            bid=quote.bid,
            bid_size=quote.bid_size,
            ask=quote.ask,
            ask_size=quote.ask_size,
            update_id=quote.update_id,
            received_at=received_at,
        )
    return None


def _binance_instrument(symbol: str) -> Instrument:
    return Instrument(symbol.upper().removesuffix("USDT"))


def _objects(text: str) -> list[Mapping[str, Any]]:
    """Return the objects of a frame, which is one or an array of them."""
    parsed = parse_json(text)
    items = parsed if isinstance(parsed, list) else [parsed]
    if not all(isinstance(item, dict) for item in items):
        raise Malformed("a frame is neither an object nor an array of objects")
    return items
