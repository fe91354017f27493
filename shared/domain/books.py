"""One token's order book as a value."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from shared.domain.ids import TokenId


@dataclass(frozen=True, slots=True)
class Level:
    """A price and the shares offered or wanted there."""

    price: Decimal
    size: Decimal


@dataclass(frozen=True, slots=True)
class Book:
    """Bids and asks, best first; an empty side is an empty tuple."""

    token_id: TokenId
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    source_at: datetime
    received_at: datetime
    continuous: bool = True
    """False after a doubt (gap, tick change, reconnect) until the next snapshot: nobody trades on it."""

    @property
    def best_bid(self) -> Decimal | None:
        return self.bids[0].price if self.bids else None

    @property
    def best_ask(self) -> Decimal | None:
        return self.asks[0].price if self.asks else None

    @property
    def mid(self) -> Decimal | None:
        """The middle of the best bid and ask; None while a side is empty."""
        if not self.bids or not self.asks:
            return None
        return (self.bids[0].price + self.asks[0].price) / 2
