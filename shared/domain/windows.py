"""One up/down market, its states and its times."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from shared.domain.ids import ConditionId, Instrument, TokenId, WindowId


class Side(StrEnum):
    """Which way the window is bet; the venue's outcome 0 is Up."""

    UP = "UP"
    DOWN = "DOWN"

    @property
    def opposite(self) -> "Side":
        return Side.DOWN if self is Side.UP else Side.UP


class WindowState(StrEnum):
    """Where a window stands."""

    DISCOVERED = "DISCOVERED"
    OPEN = "OPEN"
    CLOSED = "CLOSED"
    UNRESOLVED = "UNRESOLVED"
    """Closed for long and still without the venue's word: an alert, never a guess."""
    RESOLVED = "RESOLVED"


class WindowEvent(StrEnum):
    """What happens to a window."""

    OPENED = "OPENED"
    CLOSED = "CLOSED"
    OVERDUE = "OVERDUE"
    RESOLVED = "RESOLVED"


_S, _E = WindowState, WindowEvent
TRANSITIONS: Mapping[tuple[WindowState, WindowEvent], WindowState] = MappingProxyType(
    {
        (_S.DISCOVERED, _E.OPENED): _S.OPEN,
        (_S.OPEN, _E.CLOSED): _S.CLOSED,
        (_S.CLOSED, _E.OVERDUE): _S.UNRESOLVED,
        (_S.CLOSED, _E.RESOLVED): _S.RESOLVED,
        (_S.UNRESOLVED, _E.RESOLVED): _S.RESOLVED,
    }
)


class SettlementRule(StrEnum):
    """Which price decides, at both boundaries (D9)."""

    CHAINLINK_TWAP = "CHAINLINK_TWAP"
    CHAINLINK_SPOT = "CHAINLINK_SPOT"
    BINANCE_CANDLE = "BINANCE_CANDLE"


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """The market's own taker fee: shares x rate x (p(1-p))^exponent USDC."""

    rate: Decimal
    exponent: int
    taker_only: bool = True


@dataclass(frozen=True, slots=True)
class Window:
    """A market as the Book holds it. Times are the window's own; nothing assumes 300 or 900 seconds (D12)."""

    window_id: WindowId
    instrument: Instrument
    series: str
    interval_s: int
    """Real length of the window, seconds."""
    opens_at: datetime
    closes_at: datetime
    state: WindowState
    rule: SettlementRule
    lookback_s: int
    """Seconds the deciding average looks back; 0 for an instantaneous price."""
    condition_id: ConditionId | None = None
    up_token: TokenId | None = None
    down_token: TokenId | None = None
    tick: Decimal | None = None
    min_size: Decimal | None = None
    fee: FeeSchedule | None = None
    neg_risk: bool = False
    version: str = "v1"
    accepting: bool = False
    strike: Decimal | None = None

    def token(self, side: Side) -> TokenId | None:
        """Return the token that pays when the window goes ``side``."""
        return self.up_token if side is Side.UP else self.down_token

    def fraction_elapsed(self, now: datetime) -> Decimal:
        """Return how much of the window has passed at ``now``: 0 at the open, 1 at the close, outside beyond."""
        total_us = (self.closes_at - self.opens_at) // _MICROSECOND
        return Decimal((now - self.opens_at) // _MICROSECOND) / Decimal(total_us)

    def seconds_left(self, now: datetime) -> Decimal:
        """Return the seconds until the close; negative after it."""
        return Decimal((self.closes_at - now) // _MICROSECOND) / 1_000_000


_MICROSECOND = datetime.resolution
