"""A venue trade and its life on chain."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from shared.domain.ids import OrderId, TokenId, TradeId
from shared.domain.orders import OrderSide


class FillState(StrEnum):
    """A MATCHED trade is a position at once and provisional until CONFIRMED (D4)."""

    MATCHED = "MATCHED"
    MINED = "MINED"
    RETRYING = "RETRYING"
    CONFIRMED = "CONFIRMED"
    FAILED = "FAILED"


_S = FillState
TRANSITIONS: Mapping[tuple[FillState, FillState], FillState] = MappingProxyType(
    {
        (_S.MATCHED, _S.MINED): _S.MINED,
        (_S.MATCHED, _S.RETRYING): _S.RETRYING,
        (_S.MATCHED, _S.CONFIRMED): _S.CONFIRMED,  # the venue may skip a status
        (_S.MATCHED, _S.FAILED): _S.FAILED,  # the match never happened: reverse it
        (_S.MINED, _S.RETRYING): _S.RETRYING,  # reorganised away, will be sent again
        (_S.MINED, _S.CONFIRMED): _S.CONFIRMED,
        (_S.MINED, _S.FAILED): _S.FAILED,
        (_S.RETRYING, _S.MINED): _S.MINED,
        (_S.RETRYING, _S.CONFIRMED): _S.CONFIRMED,
        (_S.RETRYING, _S.FAILED): _S.FAILED,
    }
)

SETTLED_ON_CHAIN = frozenset({_S.MINED, _S.CONFIRMED})
"""Only these tokens can be sold."""


@dataclass(frozen=True, slots=True)
class VenueTrade:
    """One trade as the venue reports it: our side of it, whichever channel it came by (E8)."""

    order_id: OrderId
    trade_id: TradeId
    token_id: TokenId
    side: OrderSide
    shares: Decimal
    price: Decimal
    usdc: Decimal
    """shares x price: what moved, before the fee."""
    fee_usdc: Decimal
    """By the market's formula; provisional until the cash balance confirms it (E18)."""
    state: FillState
    matched_at: datetime
    is_taker: bool = True
    transaction_hash: str = ""
