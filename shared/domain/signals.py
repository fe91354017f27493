"""What a strategy says, before risk has looked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from shared.domain.ids import AccountId, InstanceId, Instrument, SignalId, StrategyId, TokenId, WindowId
from shared.domain.modes import Mode
from shared.domain.windows import Side


class SignalState(StrEnum):
    """A signal ends as exactly one of: an order, a refusal, an expiry (R10)."""

    NEW = "NEW"
    ORDERED = "ORDERED"
    REFUSED = "REFUSED"
    EXPIRED = "EXPIRED"


TRANSITIONS: Mapping[tuple[SignalState, str], SignalState] = MappingProxyType(
    {
        (SignalState.NEW, "CLAIMED"): SignalState.ORDERED,
        (SignalState.NEW, "REFUSED"): SignalState.REFUSED,
        (SignalState.NEW, "EXPIRED"): SignalState.EXPIRED,
    }
)


@dataclass(frozen=True, slots=True)
class RiskParameters:
    """What a strategy declares about its positions; None switches an exit off. Fractions of the entry cost."""

    max_position_usdc: Decimal = Decimal(5)
    max_slippage: Decimal = Decimal("0.02")
    """USDC per share above the price the signal was made on; an order can never be sent beyond it (E11)."""
    stop_loss: Decimal | None = Decimal("0.15")
    take_profit: Decimal | None = Decimal("0.20")
    trailing: Decimal | None = None
    exit_slippage: Decimal = Decimal("0.05")
    """USDC per share below the best bid a first exit attempt accepts; widened with each attempt (E19)."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One strategy's wish to enter one window on one side, with the evidence it was made on (S4)."""

    signal_id: SignalId
    account_id: AccountId
    mode: Mode
    strategy_id: StrategyId
    instance_id: InstanceId
    window_id: WindowId
    instrument: Instrument
    side: Side
    token_id: TokenId
    price: Decimal
    """The ask the signal was made on, USDC per share."""
    amount_usdc: Decimal
    """Dollars to spend before the fee."""
    confidence: Decimal
    made_at: datetime
    expires_at: datetime
    risk: RiskParameters
    evidence: Mapping[str, Any] = field(default_factory=dict)
