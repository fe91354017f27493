"""PURE: one frame of the CLOB's channels → events.

A frame nobody understands raises a Refusal; the feed makes it an event. Prices are read by ``parse_prices``.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from shared.domain.ids import ConditionId, OrderId, TokenId, TradeId
from shared.domain.money import ONE, ZERO
from shared.domain.orders import OrderSide
from shared.venue.events import (
    BookDelta,
    BookSnapshot,
    ChannelEvent,
    LastTrade,
    LevelChange,
    MarketEvent,
    MarketResolved,
    OrderUpdate,
    TickSizeChange,
    TopOfBook,
    TradeSeen,
    UnknownEvent,
    UserEvent,
)
from shared.venue.parse import (
    FeeOf,
    at_millis,
    levels,
    parse_json,
    parse_order_status,
    parse_trade,
    read,
    word_of,
)
from shared.venue.refusals import Malformed, UnknownWord
from shared.venue.wire import WireBook, WireTrade
from shared.venue.wire_streams import (
    WireBestBidAsk,
    WireChange,
    WireLastTrade,
    WireMarketResolved,
    WireOldPriceChange,
    WireOrderEvent,
    WirePriceChange,
    WireTickSizeChange,
)

_NOT_OURS = "new_market"
"""Sent for every market there is."""


def parse_market_frame(text: str, received_at: datetime) -> list[ChannelEvent]:
    """Return the events of a market-channel frame: an object or an array of them.

    News of other markets yields nothing, a kind that is not on our list an UnknownEvent.

    Raises:
        Malformed: not JSON, or an event of a known kind that is not as documented.
    """
    return [event for item in _objects(text) for event in _market_events(item, received_at)]


def _market_events(item: Mapping[str, Any], received_at: datetime) -> Iterable[ChannelEvent]:
    kind = word_of(item.get("event_type"))
    if kind == _NOT_OURS:
        return ()
    parse = _MARKET_PARSERS.get(kind)
    return (UnknownEvent(kind, received_at) if parse is None else parse(item, received_at),)


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
        digest=_digest(wire.hash),
    )


def _digest(word: object) -> str:
    """Return the hash of a book; nobody's book is refused for lack of it."""
    return word if isinstance(word, str) else ""


def _delta(item: Mapping[str, Any], received_at: datetime) -> BookDelta:
    wire = read(WirePriceChange, item) if "price_changes" in item else _of_old(read(WireOldPriceChange, item))
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
                digest=_digest(change.hash),
            )
            for change in wire.price_changes
        ),
        source_at=at_millis(wire.timestamp),
        received_at=received_at,
    )


def _of_old(wire: WireOldPriceChange) -> WirePriceChange:
    """Return the form of 2025, one token a frame and without best prices, as today's."""
    changes = tuple(
        WireChange(asset_id=wire.asset_id, price=change.price, size=change.size, side=change.side)
        for change in wire.changes
    )
    return WirePriceChange(market=wire.market, timestamp=wire.timestamp, price_changes=changes)


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
        kind = word_of(item.get("event_type") or item.get("type")).lower()
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
        else:
            raise UnknownWord(f"the user channel says {kind!r}")
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


def _objects(text: str) -> list[Mapping[str, Any]]:
    """Return the objects of a frame, which is one or an array of them."""
    parsed = parse_json(text)
    items = parsed if isinstance(parsed, list) else [parsed]
    if not all(isinstance(item, dict) for item in items):
        raise Malformed("a frame is neither an object nor an array of objects")
    return items
