"""What the feeds yield. Source time and receive time are both kept; prices are Decimal."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from shared.domain.books import Level
from shared.domain.ids import ConditionId, Instrument, OrderId, TokenId, TradeId
from shared.domain.orders import OrderEvent, OrderSide
from shared.domain.trades import VenueTrade
from shared.venue.accounts import OrderStatus, order_event


@dataclass(frozen=True, slots=True)
class Connected:
    """The feed is (again) connected and subscribed: whatever happened before is lost and must be asked for."""

    feed: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The feed lost its connection, or gave up on a silent one."""

    feed: str
    at: datetime
    reason: str
    retry_in_s: float


@dataclass(frozen=True, slots=True)
class Renewed:
    """The feed replaced its connection in good time; both stood for a moment, so nothing is missing."""

    feed: str
    at: datetime


@dataclass(frozen=True, slots=True)
class TookOver:
    """The second of two connections leads from now on: what the first said last may be old; snapshots follow."""

    feed: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A frame that was not understood; counted and shown, never raised."""

    feed: str
    at: datetime
    kind: str
    reason: str
    sample: str
    """The first characters of the frame."""


@dataclass(frozen=True, slots=True)
class BookSnapshot:
    """A whole book, best level first."""

    token_id: TokenId
    condition_id: ConditionId
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    tick: Decimal | None
    source_at: datetime
    received_at: datetime
    digest: str = ""
    """The venue's hash of this book; empty where none was told."""


@dataclass(frozen=True, slots=True)
class LevelChange:
    """The new size of one level (0 removes it) and the best prices the venue sees after it."""

    token_id: TokenId
    side: OrderSide
    price: Decimal
    size: Decimal
    best_bid: Decimal | None
    best_ask: Decimal | None
    digest: str = ""
    """The venue's hash of the whole book after the last change of this moment."""


@dataclass(frozen=True, slots=True)
class BookDelta:
    """Changes of one moment, usually to both tokens of a market."""

    condition_id: ConditionId
    changes: tuple[LevelChange, ...]
    source_at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class TopOfBook:
    """The best prices, to check a kept book by."""

    token_id: TokenId
    best_bid: Decimal | None
    best_ask: Decimal | None
    source_at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class TickSizeChange:
    """The price grid changed: a kept book is void until the next snapshot."""

    token_id: TokenId
    old_tick: Decimal
    new_tick: Decimal
    source_at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class LastTrade:
    """A trade somebody made; the side is the taker's."""

    token_id: TokenId
    side: OrderSide
    price: Decimal
    shares: Decimal
    transaction_hash: str
    source_at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class MarketResolved:
    """The venue says which token won; reported missing at times, so nobody waits for it alone."""

    condition_id: ConditionId
    winning_token: TokenId
    source_at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """The market channel spoke a word that is not on our list: no book is doubted for it, but it is counted."""

    kind: str
    received_at: datetime


MarketEvent: TypeAlias = BookSnapshot | BookDelta | TopOfBook | TickSizeChange | LastTrade | MarketResolved
ChannelEvent: TypeAlias = MarketEvent | UnknownEvent


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """Our order changed."""

    order_id: OrderId
    token_id: TokenId
    condition_id: ConditionId
    status: OrderStatus
    status_text: str
    matched_shares: Decimal | None
    """Cumulative; None where the venue left it out."""
    trade_ids: tuple[TradeId, ...]
    source_at: datetime
    received_at: datetime

    @property
    def event(self) -> OrderEvent:
        return order_event(self.status, self.matched_shares)


@dataclass(frozen=True, slots=True)
class TradeSeen:
    """A trade of ours, once per state it passes."""

    trade: VenueTrade
    condition_id: ConditionId
    fee_known: bool
    """False when the market's fee schedule was not at hand: ``fee_usdc`` is 0 and must be computed before booking."""
    received_at: datetime


UserEvent: TypeAlias = OrderUpdate | TradeSeen


class OracleKind(StrEnum):
    """The instantaneous price, or its time-weighted average."""

    SPOT = "SPOT"
    TWAP = "TWAP"


@dataclass(frozen=True, slots=True)
class OraclePrice:
    """A reference price; ``source`` says whose, and the venue may change it."""

    instrument: Instrument
    kind: OracleKind
    price: Decimal
    observed_at: datetime
    sent_at: datetime
    received_at: datetime
    source: str
    seq: int
    lookback_s: int
    """Seconds the average looks back; 0 for SPOT."""
    backfill: bool = False
    """From the history sent at subscribing: it was true then, and says nothing of the feed's age."""
    dropped: int = 0
    """Frames missing before this one: thrown away by the server because we were slow, or absent from its numbers."""


@dataclass(frozen=True, slots=True)
class FastPrice:
    """A trade on Binance."""

    instrument: Instrument
    price: Decimal
    quantity: Decimal
    trade_id: int
    event_at: datetime
    traded_at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class FastQuote:
    """Binance's best prices; they carry no time of their own."""

    instrument: Instrument
    bid: Decimal
    bid_size: Decimal
    ask: Decimal
    ask_size: Decimal
    update_id: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class AggregatePrice:
    """Pyth's price of an instrument, USD; ``confidence`` is the width it gives itself."""

    instrument: Instrument
    price: Decimal
    confidence: Decimal
    serial: int
    """Rises with each aggregate: its slot, for the time is in whole seconds."""
    published_at: datetime
    received_at: datetime


FeedState: TypeAlias = Connected | Renewed | Disconnected | TookOver | Unreadable
