"""When to ask how a window ended, what the venue's mouths say together, and which way our own prices went (D9, X3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from shared.domain.ids import ConditionId, Instrument, WindowId
from shared.domain.settlement import (
    Direction,
    Payouts,
    Reading,
    Resolution,
    ResolutionConflict,
    agrees,
    boundary_prices,
    our_direction,
    resolution,
)
from shared.domain.ticks import Source
from shared.domain.windows import SettlementRule, WindowState

ASKED_EVERY_MIN_S = 0.5
ASKED_EVERY_MAX_S = 60.0
_SHARE_OF_AGE = 8
"""Asked again after an eighth of the time already waited: a dozen questions in the first minute, then fewer."""
OVERDUE_AFTER = timedelta(minutes=10)
"""The venue takes one to three minutes; a window without its word so long is UNRESOLVED, and a person is told."""
READINGS_AROUND = timedelta(seconds=20)
"""How far around a boundary our own ticks are read."""
SOURCE_OF_RULE: Mapping[SettlementRule, Source] = {
    SettlementRule.CHAINLINK_TWAP: Source.CHAINLINK_TWAP,
    SettlementRule.CHAINLINK_SPOT: Source.CHAINLINK,
    SettlementRule.BINANCE_CANDLE: Source.BINANCE,
}
"""Under which name the capture stores the price that decides."""


@dataclass(frozen=True, slots=True)
class DueWindow:
    """A window that is over and not resolved here."""

    window_id: WindowId
    condition_id: ConditionId
    instrument: Instrument
    state: WindowState
    rule: SettlementRule
    opens_at: datetime
    closes_at: datetime
    venue_strike: Decimal | None
    """The price to beat as the venue gave it while the window ran; None where only ours is known."""
    now: datetime

    @property
    def age(self) -> timedelta:
        return self.now - self.closes_at

    @property
    def overdue(self) -> bool:
        """True when a person must hear of it, and has not yet."""
        return self.age > OVERDUE_AFTER and self.state is not WindowState.UNRESOLVED


def ask_again_after_s(age: timedelta) -> float:
    """Return how long to wait before the venue is asked again for a window that closed ``age`` ago, seconds."""
    return min(max(age.total_seconds() / _SHARE_OF_AGE, ASKED_EVERY_MIN_S), ASKED_EVERY_MAX_S)


def venue_word(found: Sequence[tuple[str, Decimal, Decimal]]) -> Resolution | ResolutionConflict | None:
    """Return the venue's word from (source, payout up, payout down); None while no source has spoken.

    Raises:
        ValueError: a payout the venue cannot mean.
    """
    return resolution({source: Payouts(up, down) for source, up, down in found})


def own_direction(
    rule: SettlementRule,
    *,
    opens_at: datetime,
    closes_at: datetime,
    opening: Sequence[Reading],
    closing: Sequence[Reading],
    strike: Decimal | None = None,
) -> Direction:
    """Return which way our recorded prices went, by the market's own rule; UNDECIDED where candidates disagree.

    A candle opens with the first trade of its hour and closes with the last: one candidate. An instantaneous price is
    the report of the boundary's own second (so were all 284 strikes of a recorded day whose report was captured), or
    lies between its neighbours where that one was missed; a missed opening is the venue's ``strike`` where that is
    known. The averages have three candidates, for which report counts at a boundary is not documented.
    """
    start, end = boundary_prices(opening, opens_at), boundary_prices(closing, closes_at)
    if rule is SettlementRule.BINANCE_CANDLE:
        return our_direction(start[1:2], end[0:1])
    if rule is SettlementRule.CHAINLINK_SPOT:
        captured = any(reading.at == opens_at for reading in opening)
        return our_direction(start[:2] if captured or strike is None else (strike, strike), end[:2])
    return our_direction(start, end)


def contradicts(ours: Direction, payouts: Payouts) -> bool:
    """Return whether our own prices say the other direction; undecided contradicts nobody."""
    return agrees(ours, payouts) is False
