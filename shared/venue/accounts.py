"""What the venue says of an account: its orders, its balances, its positions and what moved its money."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from shared.domain.ids import ConditionId, OrderId, TokenId, TradeId
from shared.domain.orders import OrderEvent, OrderSide, OrderType


class OrderStatus(StrEnum):
    """The venue's states of an order; its longer ones (CANCELED_<reason>) are kept as text beside."""

    LIVE = "LIVE"
    MATCHED = "MATCHED"
    DELAYED = "DELAYED"
    UNMATCHED = "UNMATCHED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    """CANCELED_EXPIRED_ORDER: a GTD order reached its end."""
    INVALID = "INVALID"


_EVENTS: Mapping[OrderStatus, OrderEvent] = {
    OrderStatus.LIVE: OrderEvent.RESTS,
    OrderStatus.MATCHED: OrderEvent.MATCHED,
    OrderStatus.DELAYED: OrderEvent.DELAYED,
    OrderStatus.UNMATCHED: OrderEvent.KILLED,
    OrderStatus.CANCELED: OrderEvent.KILLED,
    OrderStatus.EXPIRED: OrderEvent.EXPIRED,
    OrderStatus.INVALID: OrderEvent.REFUSED,
}


def order_event(status: OrderStatus, matched_shares: Decimal | None) -> OrderEvent:
    """Return what a status means for our order: an order killed after a part of it matched is done with a match."""
    event = _EVENTS[status]
    if event in {OrderEvent.KILLED, OrderEvent.EXPIRED} and matched_shares:
        return OrderEvent.MATCHED
    return event


@dataclass(frozen=True, slots=True)
class OrderReading:
    """One order as the venue has it now."""

    order_id: OrderId
    status: OrderStatus
    status_text: str
    condition_id: ConditionId
    token_id: TokenId
    side: OrderSide
    price: Decimal
    shares: Decimal
    matched_shares: Decimal
    trade_ids: tuple[TradeId, ...]
    created_at: datetime | None
    order_type: OrderType | None = None
    """None where the venue does not say."""

    @property
    def event(self) -> OrderEvent:
        return order_event(self.status, self.matched_shares)


@dataclass(frozen=True, slots=True)
class Balances:
    """Cash and tokens as the CLOB's cached view has them, whole units."""

    collateral: Decimal
    tokens: Mapping[TokenId, Decimal]
    read_at: datetime


@dataclass(frozen=True, slots=True)
class HeldPosition:
    """A row of the Data API: a minute late, without dust; it audits and never proves (D19)."""

    condition_id: ConditionId
    token_id: TokenId
    shares: Decimal
    status: str
    redeemable: bool


@dataclass(frozen=True, slots=True)
class Activity:
    """A movement of money or tokens by the Data API; what no trade of ours explains is booked as EXTERNAL (E18)."""

    kind: str
    at: datetime
    usdc: Decimal
    shares: Decimal
    condition_id: ConditionId | None
    transaction_hash: str


@dataclass(frozen=True, slots=True)
class Cancellation:
    """What became of a cancel: it never says how much had filled."""

    cancelled: tuple[OrderId, ...]
    not_cancelled: Mapping[OrderId, str]
    """Order id → the venue's reason, for example that it had matched already."""
