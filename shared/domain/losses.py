"""Loss limits: what a session or a day has lost, of which limit (R8).

Losses are realised and unrealised together. A position is marked at its best bid, what selling would bring (E19). Where
no book can be believed, or the window is over and only its resolution is awaited, nobody knows what it is worth: it
stands at its cost, for what cannot be seen is not called a loss. Entries wait meanwhile for other reasons.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from shared.domain.money import ZERO


class Scope(StrEnum):
    """Over what a loss is counted."""

    SESSION = "SESSION"
    DAY = "DAY"
    """Since midnight UTC."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One open position as its book shows it now."""

    strategy_id: str
    held_shares: Decimal
    cost_usdc: Decimal
    """What the ledger carries for it."""
    best_bid: Decimal | None
    """None: no book that may be believed."""
    in_session: bool
    """It was entered in the session that runs now."""


@dataclass(frozen=True, slots=True)
class Realized:
    """What is booked, after fees, USDC; a loss is negative."""

    session_usdc: Decimal = ZERO
    day_usdc: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Loss:
    """What was made in one scope, and what may be lost there, USDC."""

    scope: Scope
    pnl_usdc: Decimal
    limit_usdc: Decimal

    @property
    def is_reached(self) -> bool:
        """True when there is a loss and it is the limit or more."""
        return self.pnl_usdc < 0 and -self.pnl_usdc >= self.limit_usdc

    @property
    def is_half_used(self) -> bool:
        """True when half of the limit is lost: a person hears of it."""
        return self.pnl_usdc < 0 and -self.pnl_usdc * 2 >= self.limit_usdc


def unrealized(mark: Mark) -> Decimal:
    """Return what leaving this position at its best bid would make, before fees; zero where nobody knows."""
    return ZERO if mark.best_bid is None else mark.held_shares * mark.best_bid - mark.cost_usdc


def losses(
    realized: Realized, marks: tuple[Mark, ...], *, session_limit_usdc: Decimal, day_limit_usdc: Decimal
) -> tuple[Loss, Loss]:
    """Return where the session and the day stand."""
    session = realized.session_usdc + sum((unrealized(mark) for mark in marks if mark.in_session), ZERO)
    day = realized.day_usdc + sum((unrealized(mark) for mark in marks), ZERO)
    return Loss(Scope.SESSION, session, session_limit_usdc), Loss(Scope.DAY, day, day_limit_usdc)
