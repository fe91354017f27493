"""What the venue says of its markets."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from shared.domain.ids import ConditionId, Instrument, TokenId, WindowId
from shared.domain.windows import FeeSchedule, SettlementRule, Side, Window, WindowState


@dataclass(frozen=True, slots=True)
class Resolution:
    """How a market was paid, by one source; payouts are USDC per share."""

    payout_up: Decimal
    payout_down: Decimal
    resolved_at: datetime | None
    source: str
    """``data``, ``gamma`` or ``clob``."""

    @property
    def winner(self) -> Side | None:
        """Return the side that was paid in full; None when the market was split."""
        if self.payout_up == 1:
            return Side.UP
        return Side.DOWN if self.payout_down == 1 else None


@dataclass(frozen=True, slots=True)
class MarketListing:
    """One up/down market as Gamma lists it."""

    window_id: WindowId
    instrument: Instrument
    series: str
    interval: str
    """The venue's label: 5m, 15m, 1h …; it says nothing of the real length."""
    opens_at: datetime
    closes_at: datetime
    condition_id: ConditionId | None
    up_token: TokenId | None
    down_token: TokenId | None
    tick: Decimal
    min_size: Decimal
    fee: FeeSchedule
    version: str
    neg_risk: bool
    rule: SettlementRule
    lookback_s: int
    resolution_source: str
    accepting: bool
    closed: bool
    strike: Decimal | None
    """The venue's price to beat; known some seconds after the open."""
    final_price: Decimal | None
    outcome_prices: tuple[Decimal, Decimal] | None
    """Up, down: an indication while open, the payout only when ``resolution`` says so."""
    resolution: Resolution | None
    read_at: datetime

    def as_window(self, state: WindowState = WindowState.DISCOVERED) -> Window:
        """Return the listing as the Book's value."""
        return Window(
            window_id=self.window_id,
            instrument=self.instrument,
            series=self.series,
            interval_s=int((self.closes_at - self.opens_at).total_seconds()),
            opens_at=self.opens_at,
            closes_at=self.closes_at,
            state=state,
            rule=self.rule,
            lookback_s=self.lookback_s,
            condition_id=self.condition_id,
            up_token=self.up_token,
            down_token=self.down_token,
            tick=self.tick,
            min_size=self.min_size,
            fee=self.fee,
            neg_risk=self.neg_risk,
            version=self.version,
            accepting=self.accepting,
            strike=self.strike,
        )


@dataclass(frozen=True, slots=True)
class RefusedListing:
    """A market we will not trade, and why."""

    window_id: WindowId
    kind: str
    """The refusal's name: UnknownVersion, UnknownFeeType, UnknownRule, Malformed."""
    message: str


@dataclass(frozen=True, slots=True)
class Discovery:
    """The markets of one series that are not over, soonest first."""

    listings: tuple[MarketListing, ...]
    refused: tuple[RefusedListing, ...]


@dataclass(frozen=True, slots=True)
class ClobMarket:
    """What the matching engine itself says of a market, for the gate's fresh check (E10)."""

    condition_id: ConditionId
    up_token: TokenId
    down_token: TokenId
    tick: Decimal
    min_size: Decimal
    fee: FeeSchedule
    version: str
    neg_risk: bool
    accepting: bool
    taker_delay: bool
    """A marketable order is held a moment before it matches."""
    read_at: datetime


@dataclass(frozen=True, slots=True)
class Resolutions:
    """What every source says of a market's end; a source that could not be read is named, not left out."""

    found: tuple[Resolution, ...]
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VenueTime:
    """One reading of the venue's clock, whole seconds as it gives them."""

    venue_at: datetime
    asked_at: datetime
    answered_at: datetime

    @property
    def offset_s(self) -> Decimal:
        """Return how far the venue's clock is ahead of ours, seconds; within half a second and half the round trip.

        The venue cuts its time to whole seconds, so half a second is added before comparing.
        """
        middle = self.asked_at + (self.answered_at - self.asked_at) / 2
        return Decimal((self.venue_at - middle) // _MICROSECOND) / 1_000_000 + Decimal("0.5")


_MICROSECOND = datetime.resolution
