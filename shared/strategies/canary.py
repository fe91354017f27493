"""The canary: late in each window it buys the side the book favours, the venue's minimum, and holds to settlement (S2).

It is not meant to win. It walks the whole way of a trade, in every window, so that what breaks is seen for a dollar.
"""

from decimal import Decimal

from shared.domain.books import Book
from shared.domain.ids import StrategyId
from shared.domain.signals import RiskParameters
from shared.domain.windows import Side
from shared.strategies.base import VENUE_MINIMUM_USDC, StrategyDeclaration, WindowView, Wish

FAVOURED_ABOVE = Decimal("0.50")
ENTRY_FROM = Decimal(14) / 15
"""T-60 s of a fifteen-minute window."""
ENTRY_UNTIL = 1 - Decimal(3) / 900
"""Three seconds before its close."""


class Canary:
    """Buys the favourite late."""

    declaration = StrategyDeclaration(
        strategy_id=StrategyId("always-trade-canary"),
        version="1",
        hypothesis="It has no edge: about as many windows won as the price says, small losses to spread and fees.",
        entry_from=ENTRY_FROM,
        entry_until=ENTRY_UNTIL,
        risk=RiskParameters(stop_loss=None, take_profit=None, trailing=None),
        parameters={"favoured_above": str(FAVOURED_ABOVE), "amount_usdc": str(VENUE_MINIMUM_USDC)},
    )

    def evaluate(self, view: WindowView) -> Wish | None:
        """Return the favourite at its ask, None while no side is favoured or nobody sells it."""
        for side in Side:
            book = view.book(side)
            if book is None or not book.continuous or book.mid is None or book.best_ask is None:
                continue
            if book.mid > FAVOURED_ABOVE:
                return Wish(side, book.best_ask, VENUE_MINIMUM_USDC, book.mid, _evidence(view, book))
        return None


def _evidence(view: WindowView, book: Book) -> dict[str, object]:
    """Return what it was decided on."""
    return {
        "token_id": book.token_id,
        "mid": str(book.mid),
        "best_bid": str(book.best_bid),
        "best_ask": str(book.best_ask),
        "book_at": book.source_at.isoformat(),
        "fraction_elapsed": str(round(view.window.fraction_elapsed(view.now), 6)),
    }


STRATEGY = Canary()
