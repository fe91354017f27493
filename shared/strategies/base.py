"""What a strategy is: a declaration and one pure function from a view of a window to a wish, or to nothing (S1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Protocol

from shared.domain.books import Book
from shared.domain.ids import StrategyId
from shared.domain.signals import RiskParameters
from shared.domain.windows import Side, Window

EVERY_INSTRUMENT = "*"
VENUE_MINIMUM_USDC = Decimal(1)
"""The venue takes no marketable order below one dollar; what a canary spends (S2)."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class StrategyDeclaration:
    """What a strategy says of itself before it is ever asked."""

    strategy_id: StrategyId
    version: str
    hypothesis: str
    """What it believes of the market, in a sentence that the results can refute."""
    entry_from: Decimal
    """Fraction of the window from which it may enter; 0 is the open, 1 the close."""
    entry_until: Decimal
    """Fraction at which it no longer may."""
    instruments: frozenset[str] = frozenset({EVERY_INSTRUMENT})
    risk: RiskParameters = field(default_factory=RiskParameters)
    parameters: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Its numbers as text, so that an instance can be named by them."""

    def __post_init__(self) -> None:
        """Refuse a declaration that cannot be meant.

        Raises:
            ValueError: no id, no hypothesis, no instruments, or an entry time outside the window.
        """
        if not self.strategy_id or not self.hypothesis.strip() or not self.instruments:
            raise ValueError("a strategy declares an id, a hypothesis and its instruments")
        if not 0 <= self.entry_from < self.entry_until <= 1:
            raise ValueError(
                f"entry times are fractions of the window, from < until: {self.entry_from}, {self.entry_until}"
            )

    def trades(self, instrument: str) -> bool:
        """Return whether the strategy is meant for this instrument."""
        return EVERY_INSTRUMENT in self.instruments or instrument in self.instruments

    def may_enter(self, window: Window, now: datetime) -> bool:
        """Return whether ``now`` (venue time) lies in the declared part of the window."""
        return self.entry_from <= window.fraction_elapsed(now) < self.entry_until


@dataclass(frozen=True, slots=True)
class PricePoint:
    """One price of a feed, USD, with the source's time and ours."""

    price: Decimal
    source_at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class WindowView:
    """All a strategy may see: one window at one moment, nothing later than ``now``, no balance, no position."""

    window: Window
    now: datetime
    """Venue time."""
    up_book: Book | None = None
    down_book: Book | None = None
    strike: Decimal | None = None
    """The price to beat, as far as it is known."""
    oracle: PricePoint | None = None
    """The reference price that the settlement rule looks at, newest value."""
    oracle_average: PricePoint | None = None
    """Its running average over the window's look-back, newest value."""
    oracle_samples: Sequence[PricePoint] = ()
    """Recent values of ``oracle``, oldest first."""
    fast: PricePoint | None = None
    """The primary exchange feed."""
    feed_ages: Mapping[str, timedelta] = field(default_factory=lambda: MappingProxyType({}))
    """Age of each feed at ``now``, by feed; an absent feed has never spoken."""

    def book(self, side: Side) -> Book | None:
        """Return the book of the token that pays when the window goes ``side``."""
        return self.up_book if side is Side.UP else self.down_book


@dataclass(frozen=True, slots=True)
class Wish:
    """What the strategy would like: its side, the ask it saw, the dollars, and the evidence it decided on (S4)."""

    side: Side
    price: Decimal
    amount_usdc: Decimal
    confidence: Decimal
    """Its own probability that the side pays, 0 to 1."""
    evidence: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    """JSON-ready: text, numbers as text, lists and mappings of those."""


class Strategy(Protocol):
    """One module of the folder offers one of these under the name STRATEGY."""

    @property
    def declaration(self) -> StrategyDeclaration:
        """Return what the strategy says of itself."""
        ...

    def evaluate(self, view: WindowView) -> Wish | None:
        """Return a wish, or None; pure: the same view gives the same answer, live and in a backtest."""
        ...
