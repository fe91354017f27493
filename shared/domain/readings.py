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
from shared.domain.ids import AccountId, ConditionId, PositionId, RedemptionId, SignalId, TokenId, WindowId
from shared.domain.modes import Mode
from shared.domain.orders import OrderState
from shared.domain.positions import ExitReason
from shared.domain.prepared import PreparedOrder
from shared.domain.redemptions import RedemptionState
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


@dataclass(frozen=True, slots=True)
class OpenStory:
    """An order that is not explained, or has trades that are not final."""

    prepared: PreparedOrder
    state: OrderState
    condition_id: ConditionId
    fee: FeeSchedule
    book: Book | None
    """The stored book of the decision: what a paper order is filled by."""
    claimed_at: datetime
    answered_at: datetime | None
    explained: bool
    now: datetime

    @property
    def account_id(self) -> AccountId:
        return self.prepared.intent.account_id

    @property
    def mode(self) -> Mode:
        return self.prepared.intent.mode


@dataclass(frozen=True, slots=True)
class Redeemable:
    """One window's winning tokens of one account, or the redemption of them that is under way."""

    now: datetime
    account_id: AccountId
    mode: Mode
    window_id: WindowId
    condition_id: ConditionId
    up_token: TokenId
    down_token: TokenId
    version: str
    neg_risk: bool
    up_shares: Decimal
    down_shares: Decimal
    attempts: int
    last_finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class PendingRedemption:
    """A redemption that was claimed and is neither paid nor failed."""

    redemption_id: RedemptionId
    account_id: AccountId
    mode: Mode
    window_id: WindowId
    condition_id: ConditionId
    up_token: TokenId
    down_token: TokenId
    version: str
    neg_risk: bool
    up_shares: Decimal
    down_shares: Decimal
    state: RedemptionState
    ticket: str | None
    expected_usdc: Decimal
    epoch: int
    claimed_at: datetime
    now: datetime
