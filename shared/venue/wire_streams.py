"""Frames of the streams as they are sent: the CLOB's channels and the price feeds. See ``wire`` for the rules."""

from typing import Annotated, Literal

from pydantic import Field

from shared.venue.wire import Amount, MaybeAmount, Millis, Whole, Wire


class WireChange(Wire):
    """A level's new absolute size; 0 removes it."""

    asset_id: str
    price: Amount
    size: Amount
    side: Literal["BUY", "SELL"]
    best_bid: MaybeAmount = None
    best_ask: MaybeAmount = None
    hash: object = None


class WirePriceChange(Wire):
    """Market channel ``price_change``."""

    market: str
    timestamp: Millis
    price_changes: tuple[WireChange, ...]


class WireOldChange(Wire):
    """A level in the form of 2025."""

    price: Amount
    size: Amount
    side: Literal["BUY", "SELL"]


class WireOldPriceChange(Wire):
    """Market channel ``price_change`` until September 2025: one token a frame."""

    market: str
    asset_id: str
    timestamp: Millis
    changes: tuple[WireOldChange, ...]


class WireBestBidAsk(Wire):
    """Market channel ``best_bid_ask``."""

    asset_id: str
    best_bid: MaybeAmount
    best_ask: MaybeAmount
    timestamp: Millis


class WireTickSizeChange(Wire):
    """Market channel ``tick_size_change``."""

    asset_id: str
    old_tick_size: Amount
    new_tick_size: Amount
    timestamp: Millis


class WireLastTrade(Wire):
    """Market channel ``last_trade_price``; the side is the taker's."""

    asset_id: str
    price: Amount
    size: Amount
    side: Literal["BUY", "SELL"]
    timestamp: Millis
    transaction_hash: str | None = None


class WireMarketResolved(Wire):
    """Market channel ``market_resolved``."""

    market: str
    winning_asset_id: str
    timestamp: Millis


class WireOrderEvent(Wire):
    """An order by the user channel; a killed order's amounts may be empty."""

    id: str
    status: str
    type: str
    market: str
    asset_id: str
    size_matched: MaybeAmount = None
    associate_trades: tuple[str, ...] | None = None
    timestamp: Millis


class WirePricePoint(Wire):
    """PolyBolt: the exact text is the price; ``value`` is an approximation nobody should use."""

    timestamp: Millis
    full_accuracy_value: Amount


class WirePricePayload(Wire):
    """A price, or the history sent at subscribing."""

    symbol: str
    source: str
    window_seconds: Whole | None = None
    timestamp: Millis | None = None
    full_accuracy_value: Amount | None = None
    data: tuple[WirePricePoint, ...] | None = None


class WirePriceFrame(Wire):
    """A PolyBolt frame."""

    v: Literal[1]
    channel: Literal["price.crypto", "price.crypto.twap"]
    seq: Whole
    ts: Millis
    snapshot: bool = False
    dropped: Whole = 0
    payload: WirePricePayload


class WireBinanceTrade(Wire):
    """Binance ``trade``."""

    symbol: str = Field(alias="s")
    trade_id: Whole = Field(alias="t")
    price: Amount = Field(alias="p")
    quantity: Amount = Field(alias="q")
    event_ms: Millis = Field(alias="E")
    traded_ms: Millis = Field(alias="T")


class WireBinanceQuote(Wire):
    """Binance ``bookTicker``; it has no time."""

    symbol: str = Field(alias="s")
    update_id: Whole = Field(alias="u")
    bid: Amount = Field(alias="b")
    bid_size: Amount = Field(alias="B")
    ask: Amount = Field(alias="a")
    ask_size: Amount = Field(alias="A")


Scaled = Annotated[str, Field(pattern=r"^[0-9]{1,40}(\.[0-9]{1,20})?$")]
"""Digits; where there is no point, in units of 1e-18."""


class WireRtdsPoint(Wire):
    """RTDS: ``value`` is rounded, the exact text is missing at times."""

    timestamp: Millis
    value: Amount
    full_accuracy_value: Scaled | None = None


class WireRtdsPayload(Wire):
    """A price, or the history sent at subscribing; only the symbol says whose price it is."""

    symbol: str
    window_s: Whole | None = None
    timestamp: Millis | None = None
    value: Amount | None = None
    full_accuracy_value: Scaled | None = None
    data: tuple[WireRtdsPoint, ...] | None = None


class WireRtdsFrame(Wire):
    """An RTDS frame; the topic of a history may be another's."""

    topic: str
    type: Literal["update", "subscribe"]
    timestamp: Millis
    payload: WireRtdsPayload


class WirePythPrice(Wire):
    """Price and confidence as whole numbers, to be shifted by ``expo``; the time is in seconds."""

    price: Whole
    conf: Annotated[Whole, Field(ge=0)]
    expo: Annotated[Whole, Field(ge=-18, le=18)]
    publish_time: Annotated[Whole, Field(ge=0)]


class WirePythMetadata(Wire):
    """The slot rises with each aggregate."""

    slot: Whole | None = None


class WirePythFeed(Wire):
    """One feed of a Hermes update."""

    id: str
    price: WirePythPrice
    metadata: WirePythMetadata = WirePythMetadata()


class WirePythUpdate(Wire):
    """Hermes ``/v2/updates/price``; the signed binary beside it is for chains."""

    parsed: tuple[WirePythFeed, ...]
