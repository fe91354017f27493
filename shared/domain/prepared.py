"""An order made, hashed and signed, before anything is claimed: thrown away if the claim refuses (D18)."""

from dataclasses import dataclass
from decimal import Decimal

from shared.domain.ids import AccountId, OrderId, PositionId, SignalId, TokenId, WindowId
from shared.domain.modes import Mode
from shared.domain.orders import OrderSide, OrderType, Purpose


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """What is to be ordered, in whole units; the executor makes it bytes."""

    account_id: AccountId
    mode: Mode
    purpose: Purpose
    signal_id: SignalId | None
    position_id: PositionId
    window_id: WindowId
    token_id: TokenId
    side: OrderSide
    order_type: OrderType
    limit_price: Decimal
    """The worst price accepted, USDC per share, on the tick."""
    amount: Decimal
    """BUY: USDC to spend before the fee. SELL: shares."""
    tick: Decimal
    neg_risk: bool
    version: str
    """The market's protocol version, v1 or v2."""
    salt: int
    timestamp_ms: int
    expires_s: int = 0
    """GTD: the Unix second after which it must not trade; the venue ends it a minute earlier. 0: it does not expire."""


@dataclass(frozen=True, slots=True)
class PreparedOrder:
    """The intent with its id and the exact bytes to send; what the claim stores."""

    intent: OrderIntent
    order_id: OrderId
    maker_amount: int
    """Base units given: USDC for a BUY, shares for a SELL."""
    taker_amount: int
    """Base units asked for at the limit price."""
    maker: str
    signer: str
    signature_type: int
    domain_version: str
    exchange: str
    body: str
    """The whole JSON body of POST /order; holds the signature, readable by execution alone."""

    def __repr__(self) -> str:
        """Name the order without its body: a signed body never reaches a log (B2)."""
        return f"PreparedOrder({self.order_id})"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the venue said when it took an order: totals in whole units, never taken for fills (E8)."""

    status: str
    """``matched``, ``live`` or ``delayed``; ``killed`` from the paper executor."""
    shares: Decimal
    usdc: Decimal
    trade_ids: tuple[str, ...] = ()
    transaction_hashes: tuple[str, ...] = ()
