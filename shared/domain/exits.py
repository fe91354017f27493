"""The one exit decision: EMERGENCY > FLATTEN > STOP_LOSS > TRAILING_STOP > TAKE_PROFIT > EXPIRY (R4).

Marks are the best bid, what selling really brings (E19); thresholds are fractions of the average cost per share.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from shared.domain.breaker import KillSwitch
from shared.domain.positions import ExitReason, PositionState


@dataclass(frozen=True, slots=True)
class ExitFacts:
    """What the decision needs to know of one position."""

    state: PositionState
    held_shares: Decimal
    """Bought and not sold."""
    bought_shares: Decimal
    bought_usdc: Decimal
    """Paid for them before the fee."""
    peak_bid: Decimal | None
    """Highest best bid seen since the entry; None before the first."""
    closes_at: datetime
    stop_loss: Decimal | None
    take_profit: Decimal | None
    trailing: Decimal | None

    @property
    def average_cost(self) -> Decimal | None:
        """USDC per share before the fee; None while nothing was bought."""
        return self.bought_usdc / self.bought_shares if self.bought_shares > 0 else None


@dataclass(frozen=True, slots=True)
class ExitDecision:
    """Why to sell, at which price that was to be, and the price that was seen: intended and actual (R4)."""

    reason: ExitReason
    trigger_price: Decimal | None = None
    """The threshold, USDC per share; None where no price decided."""
    observed_price: Decimal | None = None
    """The best bid it was decided on."""


def stop_price(facts: ExitFacts) -> Decimal | None:
    """Return the bid at or below which the position is sold at a loss."""
    if facts.stop_loss is None or facts.average_cost is None:
        return None
    return facts.average_cost * (1 - facts.stop_loss)


def profit_price(facts: ExitFacts) -> Decimal | None:
    """Return the bid at or above which the gain is taken; above 1 it can never come, and the window pays out."""
    if facts.take_profit is None or facts.average_cost is None:
        return None
    return facts.average_cost * (1 + facts.take_profit)


def trailing_price(facts: ExitFacts, best_bid: Decimal) -> Decimal | None:
    """Return the bid at or below which the position has fallen too far from its highest one."""
    if facts.trailing is None or facts.average_cost is None:
        return None
    return max(facts.peak_bid or best_bid, best_bid) * (1 - facts.trailing)


def decide_exit(
    facts: ExitFacts, *, best_bid: Decimal | None, now: datetime, kill_switch: KillSwitch
) -> ExitDecision | None:
    """Return why to leave this position, or None to stay.

    Only a MONITORING position with shares is decided: a triggered or pending exit is somebody else's already (B12).
    An empty bid side moves nothing: there is no price to be past, and nobody to sell to. At the close price rules end,
    for nothing can be sold any more and the last book says nothing.
    """
    if facts.state is not PositionState.MONITORING or facts.held_shares <= 0:
        return None
    if kill_switch is KillSwitch.EMERGENCY:
        return ExitDecision(ExitReason.EMERGENCY, observed_price=best_bid)
    if kill_switch is KillSwitch.FLATTEN:
        return ExitDecision(ExitReason.FLATTEN, observed_price=best_bid)
    if now >= facts.closes_at:
        return ExitDecision(ExitReason.EXPIRY, observed_price=best_bid)
    return None if best_bid is None else _by_price(facts, best_bid)


def _by_price(facts: ExitFacts, best_bid: Decimal) -> ExitDecision | None:
    """Return the strongest price rule that this bid has reached."""
    stop, trail, profit = stop_price(facts), trailing_price(facts, best_bid), profit_price(facts)
    if stop is not None and best_bid <= stop:
        return ExitDecision(ExitReason.STOP_LOSS, stop, best_bid)
    if trail is not None and best_bid <= trail:
        return ExitDecision(ExitReason.TRAILING_STOP, trail, best_bid)
    if profit is not None and best_bid >= profit:
        return ExitDecision(ExitReason.TAKE_PROFIT, profit, best_bid)
    return None
