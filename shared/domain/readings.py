"""What one fresh read of the Book brings: made by one statement, believed for one decision, never kept (P1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from shared.domain.books import Book
from shared.domain.controls import Controls
from shared.domain.facts import (
    BalanceFacts,
    BookFacts,
    CounterFacts,
    DeadmanFacts,
    GuardFacts,
    HistoryFacts,
    LossFacts,
    MarketFacts,
)
from shared.domain.ids import AccountId, PositionId, SignalId, TokenId, WindowId
from shared.domain.modes import Mode
from shared.domain.positions import ExitReason
from shared.domain.signals import RiskParameters, Signal, SignalState
from shared.domain.windows import FeeSchedule, Window


@dataclass(frozen=True, slots=True)
class GateRead:
    """One fresh read of everything the gate looks at; None is what could not be read."""

    now: datetime
    created_at: datetime
    """When the signal was committed: where the latency to the send begins."""
    signal: Signal
    signal_state: SignalState
    window: Window
    guard: GuardFacts
    mode_control: Mode | None
    controls: Controls | None
    venue_offset: timedelta | None
    primary_feed_at: datetime | None
    book: Book | None
    book_facts: BookFacts | None
    market: MarketFacts | None
    history: HistoryFacts
    counters: CounterFacts | None
    losses: LossFacts | None
    cash_usdc: Decimal | None
    venue_balance: BalanceFacts | None
    deadman: DeadmanFacts
    heartbeats: Mapping[str, datetime]


@dataclass(frozen=True, slots=True)
class ExitDue:
    """A triggered position: the executor's to sell."""

    now: datetime
    account_id: AccountId
    mode: Mode
    position_id: PositionId
    signal_id: SignalId
    window_id: WindowId
    token_id: TokenId
    reason: ExitReason
    requested_at: datetime
    attempts: int
    last_attempt_at: datetime | None
    mined_shares: Decimal
    selling_shares: Decimal
    """Sold, or possibly being sold."""
    held_shares: Decimal
    risk: RiskParameters
    closes_at: datetime
    tick: Decimal
    neg_risk: bool
    version: str
    fee: FeeSchedule
    book: Book | None
