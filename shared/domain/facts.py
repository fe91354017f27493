"""What the gate looks at: everything one fresh read brings, and the limits it is held against (E10).

A part that could not be read is None, and None is a failed check (P3); where None inside a part is itself a fact (never
entered, nobody offers) the field says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType

from shared.domain.amounts import EntryProposal
from shared.domain.breaker import BreakerState, KillSwitch
from shared.domain.controls import Controls
from shared.domain.ids import TokenId
from shared.domain.modes import Mode
from shared.domain.signals import Signal, SignalState
from shared.domain.windows import FeeSchedule, Window


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits nobody sets at run time (P2); those a person sets are Controls."""

    entry_cutoff: timedelta = timedelta(seconds=3)
    """No entry this close to the window's end, by venue time."""
    venue_offset_max: timedelta = timedelta(seconds=1)
    database_offset_max: timedelta = timedelta(milliseconds=250)
    primary_feed_age_max: timedelta = timedelta(seconds=5)
    book_age_max: timedelta = timedelta(seconds=10)
    """Since anything was last heard of the book's feed: the venue's own stale threshold (C1)."""
    market_age_max: timedelta = timedelta(seconds=30)
    balance_age_max: timedelta = timedelta(seconds=10)
    heartbeat_age_max: timedelta = timedelta(seconds=10)
    deadman_age_max: timedelta = timedelta(seconds=10)
    """The venue cancels what rests ten seconds after the last accepted heartbeat."""
    window_orders_max: int = 2
    """Entry orders per window and instrument over all strategies (B10)."""
    versions: frozenset[str] = frozenset({"v1", "v2"})
    watchdogs: tuple[str, ...] = ("risk_monitor", "reconciler", "feed_collector")
    """Who must have beaten lately for an entry to go out (R11)."""


@dataclass(frozen=True, slots=True)
class GuardFacts:
    """What stops all trading of an account and mode."""

    leader: bool | None = None
    reconciled: bool | None = None
    """The start-up comparison of this epoch is done (X1)."""
    breaker: BreakerState | None = None
    kill_switch: KillSwitch | None = None
    halted: bool | None = None
    effective_mode: Mode | None = None
    """The lower of the process's ceiling and the runtime control."""


@dataclass(frozen=True, slots=True)
class MarketFacts:
    """The market's row as execution last read it at the venue."""

    read_at: datetime
    accepting: bool
    tick: Decimal
    min_size: Decimal
    fee: FeeSchedule
    version: str
    up_token: TokenId
    down_token: TokenId


@dataclass(frozen=True, slots=True)
class BookFacts:
    """The book of the signal's token."""

    continuous: bool
    received_at: datetime
    """When anything last arrived on its feed."""
    best_ask: Decimal | None
    """None is a fact: nobody offers."""


@dataclass(frozen=True, slots=True)
class HistoryFacts:
    """What was done before in this account and mode; None means never."""

    last_entry_at: datetime | None = None
    """The last entry in this instrument."""
    last_opposite_entry_at: datetime | None = None
    """The last entry in this instrument on the other side."""
    last_trade_at: datetime | None = None
    """The last trade of the account: a balance read before it is not known to hold it."""


@dataclass(frozen=True, slots=True)
class CounterFacts:
    """How much of each limit is used, counting what is held and what is live, USDC with fees."""

    entered: bool
    """This strategy's entry of this window exists."""
    window_blocked: bool
    """An order of this window is Unknown (E5)."""
    window_orders: int
    position_exists: bool
    """An active position in this market, whichever side."""
    open_positions: int
    exposure_usdc: Decimal
    instrument_usdc: Decimal
    deployed_usdc: Decimal
    """Cost of open positions and reservations of the session."""
    held_usdc: Decimal
    """Cost of what is held and live in this market."""
    free_capital_usdc: Decimal


@dataclass(frozen=True, slots=True)
class LossFacts:
    """Realised and unrealised P&L; a loss is negative."""

    session_pnl_usdc: Decimal
    daily_pnl_usdc: Decimal
    day_start_usdc: Decimal
    """Equity at the day's start: what the daily drawdown is a fraction of."""
    strategy_stop_usdc: Decimal | None = None
    """The limit at which this strategy was stopped in the session or day that runs; None is a fact: it was not."""


@dataclass(frozen=True, slots=True)
class BalanceFacts:
    """The venue's word on our cash; in PAPER and DRY_RUN the Book's own cash, read now."""

    amount_usdc: Decimal
    read_at: datetime
    """When the question was sent, so that the answer cannot be older."""


@dataclass(frozen=True, slots=True)
class DeadmanFacts:
    """The venue's dead-man switch: needed only while something rests (E20)."""

    resting: bool
    beaten_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class GateFacts:
    """Everything one fresh read brings; a part that could not be read is None and fails its checks."""

    now: datetime
    """Postgres's clock at the read; every age is measured by it."""
    signal: Signal
    signal_state: SignalState | None
    window: Window | None
    guard: GuardFacts
    controls: Controls | None
    venue_offset: timedelta | None
    """Venue's clock minus Postgres's."""
    own_offset: timedelta | None
    """This process's clock minus Postgres's."""
    primary_feed_at: datetime | None
    book: BookFacts | None
    market: MarketFacts | None
    history: HistoryFacts | None
    counters: CounterFacts | None
    losses: LossFacts | None
    balance: BalanceFacts | None
    deadman: DeadmanFacts | None
    stage_cap_usdc: Decimal | None
    """What the deployment's stage allows a position to cost."""
    proposal: EntryProposal | None
    """The order that would be sent; None where no lawful one exists."""
    heartbeats: Mapping[str, datetime] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def venue_now(self) -> datetime | None:
        """The venue's time at the read."""
        return None if self.venue_offset is None else self.now + self.venue_offset
