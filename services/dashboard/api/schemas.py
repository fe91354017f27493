"""What a screen shows. Money is exact and leaves as text; every age is by the database's clock at ``read_at``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from services.dashboard.api.capture.schemas import CaptureScreen, FeedScreen


@dataclass(frozen=True, slots=True)
class AccountScreen:
    """One account in one mode: its gate and its money by the ledger, USDC."""

    account: str
    mode: str
    strategies: Sequence[str]
    breaker: str
    breaker_reason: str | None
    kill_switch: str
    mode_ceiling: str
    halted: bool
    deposited: Decimal
    cash: Decimal
    reserved: Decimal
    positions: Decimal
    receivable: Decimal
    gross_pnl: Decimal
    fees: Decimal
    net_pnl: Decimal
    unrealised_pnl: Decimal
    """What selling the open shares at their best bids would add, fees left out."""
    open_count: int
    wins: int
    losses: int


@dataclass(frozen=True, slots=True)
class BookTop:
    """The best prices of a token; None where nobody stands, or where no book was ever received."""

    bid: Decimal | None
    ask: Decimal | None
    age_s: Decimal | None
    continuous: bool


@dataclass(frozen=True, slots=True)
class WindowScreen:
    """One up/down market."""

    window_id: str
    instrument: str
    state: str
    opens_at: datetime
    closes_at: datetime
    strike: Decimal | None
    up: BookTop
    down: BookTop
    winner: str | None
    our_direction: str | None
    tainted: bool


@dataclass(frozen=True, slots=True)
class PositionScreen:
    """One position; ``mark`` is the best bid of its token, what an exit would get."""

    position_id: str
    account: str
    mode: str
    strategy: str
    window_id: str
    window_opens_at: datetime
    side: str
    state: str
    opened_at: datetime
    shares: Decimal
    cost: Decimal
    average_price: Decimal | None
    mark: Decimal | None
    net_pnl: Decimal
    """Realised, fees paid."""
    exit_reason: str | None
    payout: Decimal | None


@dataclass(frozen=True, slots=True)
class OrderScreen:
    """One order and what of it traded."""

    order_id: str
    account: str
    mode: str
    purpose: str
    window_id: str
    outcome: str
    side: str
    state: str
    reason: str | None
    claimed_at: datetime
    limit_price: Decimal
    shares: Decimal
    usdc: Decimal
    fee: Decimal
    signal_to_sent_ms: Decimal | None


@dataclass(frozen=True, slots=True)
class EventScreen:
    """One audit event."""

    event_id: int
    at: datetime
    account: str
    mode: str
    kind: str
    actor: str
    window_id: str | None
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ServiceScreen:
    """A service's newest sign of life."""

    service: str
    instance: str
    age_s: Decimal
    healthy: bool
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ExecutorScreen:
    """Who may trade."""

    epoch: int
    instance: str
    reconciled: bool


@dataclass(frozen=True, slots=True)
class PnlPoint:
    """Net profit of an account after one more position was closed, USDC."""

    account: str
    mode: str
    at: datetime
    net_pnl: Decimal


@dataclass(frozen=True, slots=True)
class AlertScreen:
    """Something a person should know, still open."""

    severity: str
    kind: str
    account: str | None
    raised_at: datetime
    repeats: int


@dataclass(frozen=True, slots=True)
class Overview:
    """What trades now, read in one go."""

    read_at: datetime
    accounts: Sequence[AccountScreen]
    windows: Sequence[WindowScreen]
    feeds: Sequence[FeedScreen]
    capture: CaptureScreen
    positions: Sequence[PositionScreen]
    orders: Sequence[OrderScreen]
    events: Sequence[EventScreen]
    services: Sequence[ServiceScreen]
    executor: ExecutorScreen | None
    pnl: Sequence[PnlPoint]
    alerts: Sequence[AlertScreen]
    signals: Mapping[str, int]
    """How many of the last day's signals are in each state; a refused one counts under its reason."""
