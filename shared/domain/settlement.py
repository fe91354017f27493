"""Which way a window went: by our own prices, and by the venue's word. The venue's word is what is recorded (D9, X3).

Ours is a cross-check. It is not documented which report counts at a boundary, and reports seconds apart give another
direction in about one window of seventy, so where the candidates disagree ours is UNDECIDED, never a guess.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from shared.domain.money import ONE, ZERO
from shared.domain.windows import SettlementRule, Side

TWAP_SINCE = datetime(2026, 8, 7, tzinfo=UTC)
"""From here on the Chainlink windows settle on the time-weighted average, before on the instantaneous report."""
CANDLE_INTERVALS_S = frozenset({3600, 86400})
"""Hourly and daily windows settle on Binance's candle."""
BOUNDARY_SHIFT = timedelta(seconds=3)
"""The report for T was measured to average the seconds ending about three before T."""
HALF = Decimal("0.5")


class Direction(StrEnum):
    """Ours."""

    UP = "UP"
    DOWN = "DOWN"
    UNDECIDED = "UNDECIDED"


class Reading(NamedTuple):
    """A price of the deciding feed at the source's time."""

    at: datetime
    price: Decimal


@dataclass(frozen=True, slots=True)
class Payouts:
    """What a share of each side pays, USDC: (1,0), (0,1), or (1/2,1/2) for an invalid market.

    Raises:
        ValueError: any other pair.
    """

    up: Decimal
    down: Decimal

    def __post_init__(self) -> None:
        """Refuse what the venue cannot mean."""
        if (self.up, self.down) not in {(ONE, ZERO), (ZERO, ONE), (HALF, HALF)}:
            raise ValueError(f"no payout of an up/down market: {self.up}, {self.down}")

    def of(self, side: Side) -> Decimal:
        """Return what a share of ``side`` pays."""
        return self.up if side is Side.UP else self.down

    @property
    def winner(self) -> Side | None:
        """The side that won; None when both were paid half."""
        if self.up == self.down:
            return None
        return Side.UP if self.up > self.down else Side.DOWN


@dataclass(frozen=True, slots=True)
class Resolution:
    """The venue's word, and which of its mouths said it first."""

    payouts: Payouts
    source: str


@dataclass(frozen=True, slots=True)
class ResolutionConflict:
    """Two of the venue's mouths say different things: nothing is recorded, a person is asked."""

    said: Mapping[str, Payouts]


def rule_of(*, interval_s: int, closes_at: datetime, twap_enabled: bool | None) -> SettlementRule:
    """Return the rule of a market: its own metadata if it says, else the venue's rule of that date."""
    if interval_s in CANDLE_INTERVALS_S:
        return SettlementRule.BINANCE_CANDLE
    is_average = closes_at >= TWAP_SINCE if twap_enabled is None else twap_enabled
    return SettlementRule.CHAINLINK_TWAP if is_average else SettlementRule.CHAINLINK_SPOT


def boundary_prices(
    readings: Sequence[Reading], boundary: datetime, *, shift: timedelta = BOUNDARY_SHIFT
) -> tuple[Decimal | None, ...]:
    """Return a boundary's candidate prices: the last report until it, the first from it, and the first a shift later.

    ``readings`` are in time order. A candidate that was never captured is None.
    """
    before = [reading.price for reading in readings if reading.at <= boundary]
    after = [reading.price for reading in readings if reading.at >= boundary]
    shifted = [reading.price for reading in readings if reading.at >= boundary + shift]
    return (
        before[-1] if before else None,
        after[0] if after else None,
        shifted[0] if shifted else None,
    )


def our_direction(opening: Sequence[Decimal | None], closing: Sequence[Decimal | None]) -> Direction:
    """Return the direction that every convention gives, candidate by candidate; a tie is Up.

    UNDECIDED where they disagree or one is missing.
    """
    found: set[Direction] = set()
    for start, end in zip(opening, closing, strict=True):
        if start is None or end is None:
            return Direction.UNDECIDED
        found.add(Direction.UP if end >= start else Direction.DOWN)
    return found.pop() if len(found) == 1 else Direction.UNDECIDED


def agrees(ours: Direction, payouts: Payouts) -> bool | None:
    """Return whether our direction is the venue's; None where ours is undecided or the market was invalid."""
    if ours is Direction.UNDECIDED or payouts.winner is None:
        return None
    return ours.value == payouts.winner.value


def from_gamma(*, closed: bool, prices: Sequence[Decimal]) -> Payouts | None:
    """Return the result of a market row: closed, and prices exactly decided, for they drift to 0.9995 before."""
    if not closed or len(prices) != len(Side):
        return None
    return _payouts(prices[0], prices[1])


def from_clob(*, closed: bool, winners: Sequence[bool]) -> Payouts | None:
    """Return the result by the exchange's winner flags, Up first; None while not exactly one is set."""
    if not closed or len(winners) != len(Side) or sum(winners) != 1:
        return None
    return Payouts(ONE, ZERO) if winners[0] else Payouts(ZERO, ONE)


def from_data_api(*, status: str, payouts_micro: Sequence[int]) -> Payouts | None:
    """Return the result by the chain's payouts, micro-USDC a share, Up first; None until resolved."""
    if status != "resolved" or len(payouts_micro) != len(Side):
        return None
    return _payouts(Decimal(payouts_micro[0]) / 1_000_000, Decimal(payouts_micro[1]) / 1_000_000)


def resolution(said: Mapping[str, Payouts | None]) -> Resolution | ResolutionConflict | None:
    """Return the venue's word from all sources that have spoken, None while none has, a conflict where they differ."""
    spoken = {source: payouts for source, payouts in said.items() if payouts is not None}
    if not spoken:
        return None
    if len(set(spoken.values())) > 1:
        return ResolutionConflict(spoken)
    source, payouts = next(iter(spoken.items()))
    return Resolution(payouts, source)


def _payouts(up: Decimal, down: Decimal) -> Payouts | None:
    """Return a decided pair, None for one that is not."""
    try:
        return Payouts(up, down)
    except ValueError:
        return None
