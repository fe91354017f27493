"""What an order that takes would get from a book, level by level: PAPER and backtests fill by this (E13).

A function of the order and the book, nothing else: asked again after a restart it answers the same (D5). Arithmetic is
in millionths and floors where the venue's contracts divide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from shared.domain.books import Level
from shared.domain.money import MICRO, ZERO, down
from shared.domain.orders import OrderSide

IMPACT_FLAG = Decimal("0.5")
"""An order that wants more of the visible depth than this would have moved a real book (FM10)."""
LEFTOVER_SHARES = Decimal("0.01")
"""A rest of a budget that buys less than this buys nothing more."""


@dataclass(frozen=True, slots=True)
class BookFill:
    """What one level gave."""

    price: Decimal
    shares: Decimal
    usdc: Decimal
    """price x shares, floored to the millionth."""


@dataclass(frozen=True, slots=True)
class BookWalk:
    """All fills of an order, best price first, and how much of the visible depth it wanted."""

    fills: tuple[BookFill, ...]
    depth_share: Decimal
    """Wanted over visible within the limit price: USDC of a BUY, shares of a SELL; 1 where nothing is visible."""

    @property
    def shares(self) -> Decimal:
        return sum((fill.shares for fill in self.fills), ZERO)

    @property
    def usdc(self) -> Decimal:
        return sum((fill.usdc for fill in self.fills), ZERO)

    @property
    def has_impact(self) -> bool:
        """Whether the order would have eaten so much of the book that its fill is a guess."""
        return self.depth_share > IMPACT_FLAG


def walk(levels: Sequence[Level], side: OrderSide, limit_price: Decimal, amount: Decimal) -> BookWalk:
    """Return the fills of a FAK order that meets ``levels`` (best first): asks for a BUY, bids for a SELL.

    ``amount`` is USDC to spend for a BUY, shares to give for a SELL. What the levels within the limit cannot satisfy is
    killed; a better price gives more shares, never change.
    """
    reachable = [
        level for level in levels if _is_within(level.price, side, limit_price) and level.size >= MICRO
    ]
    visible = sum((_depth(level, side) for level in reachable), ZERO)
    share = amount / visible if visible > 0 else Decimal(1)
    fills = _buy(reachable, amount) if side is OrderSide.BUY else _sell(reachable, amount)
    return BookWalk(fills, share)


def _buy(levels: Sequence[Level], budget: Decimal) -> tuple[BookFill, ...]:
    """Return what a budget buys."""
    fills: list[BookFill] = []
    for level in levels:
        affordable = down(budget / level.price)
        if affordable == 0 or (fills and affordable < LEFTOVER_SHARES):
            break
        fill = _fill(level, min(affordable, down(level.size)))
        fills.append(fill)
        budget -= fill.usdc
        if fill.shares == affordable:
            break
    return tuple(fills)


def _sell(levels: Sequence[Level], shares: Decimal) -> tuple[BookFill, ...]:
    """Return what giving these shares brings."""
    fills: list[BookFill] = []
    for level in levels:
        if shares <= 0:
            break
        fill = _fill(level, min(shares, down(level.size)))
        fills.append(fill)
        shares -= fill.shares
    return tuple(fills)


def _fill(level: Level, shares: Decimal) -> BookFill:
    """Return one fill; the cash is floored as the exchange contract divides."""
    return BookFill(level.price, shares, down(level.price * shares))


def _is_within(price: Decimal, side: OrderSide, limit_price: Decimal) -> bool:
    """Return whether a level is no worse than the limit."""
    return price <= limit_price if side is OrderSide.BUY else price >= limit_price


def _depth(level: Level, side: OrderSide) -> Decimal:
    """Return a level's depth in the unit of the order's amount."""
    return level.price * level.size if side is OrderSide.BUY else level.size
