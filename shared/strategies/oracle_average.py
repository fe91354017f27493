"""Sets the oracle's average and the time left against the book, and buys a side that is offered below its fair value.

The window is decided by an average of the oracle that is already half written when the book still moves with the spot
price. What that average can still become is arithmetic (shared/domain/fairvalue); the strategy buys when an ask leaves
an edge after the taker's fee.
"""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType

from shared.domain.books import Book
from shared.domain.fairvalue import chance_up, mean_of, volatility_of
from shared.domain.fees import fee_per_share
from shared.domain.ids import StrategyId
from shared.domain.money import ONE
from shared.domain.settlement import Reading
from shared.domain.signals import RiskParameters
from shared.domain.windows import FeeSchedule, Side
from shared.strategies.base import StrategyDeclaration, WindowView, Wish

MIN_EDGE = Decimal("0.03")
"""USDC per share that must be left after price and fee: the model's error, and the spread of getting out."""
AMOUNT_USDC = Decimal(4)
ASK_RANGE = (Decimal("0.10"), Decimal("0.90"))
"""Outside, a stop cannot be sold above the venue's minimum, or a tick is the whole edge."""
ORACLE_AGE_MAX = timedelta(seconds=5)
"""An older oracle is news to us alone."""


class OracleAverage:
    """Buys what the oracle's average makes worth more than its ask."""

    declaration = StrategyDeclaration(
        strategy_id=StrategyId("oracle-average"),
        version="1",
        hypothesis="The book prices the spot, the market settles on the average: where they part, the average wins.",
        entry_from=Decimal("0.20"),
        entry_until=Decimal("0.98"),
        risk=RiskParameters(stop_loss=Decimal("0.15"), take_profit=Decimal("0.20")),
        parameters=MappingProxyType(
            {
                "min_edge": str(MIN_EDGE),
                "amount_usdc": str(AMOUNT_USDC),
                "ask_range": f"{ASK_RANGE[0]}..{ASK_RANGE[1]}",
                "oracle_age_max_s": str(ORACLE_AGE_MAX.seconds),
            }
        ),
    )

    def evaluate(self, view: WindowView) -> Wish | None:
        """Return the side with the larger edge, None where neither is worth it or something needed is not known."""
        readings = [Reading(point.source_at, point.price) for point in view.oracle_samples]
        chance = self._chance(view, readings)
        fee = view.window.fee
        if chance is None or fee is None:
            return None
        wishes = [
            wish
            for side, fair in ((Side.UP, chance), (Side.DOWN, ONE - chance))
            if (wish := _wish(view, side, fair, fee)) is not None
        ]
        return max(wishes, key=lambda wish: wish.confidence - wish.price, default=None)

    def _chance(self, view: WindowView, readings: Sequence[Reading]) -> Decimal | None:
        """Return the probability of Up, None while the oracle is old, silent or its strike unknown."""
        if view.oracle is None or view.strike is None or view.now - view.oracle.received_at > ORACLE_AGE_MAX:
            return None
        volatility = volatility_of(readings)
        if volatility is None:
            return None
        averaging_from = view.window.closes_at - timedelta(seconds=view.window.lookback_s)
        return chance_up(
            strike=view.strike,
            spot=view.oracle.price,
            volatility=volatility,
            seconds_left=view.window.seconds_left(view.now),
            lookback_s=Decimal(view.window.lookback_s),
            averaged=mean_of([reading for reading in readings if reading.at >= averaging_from]),
        )


def _wish(view: WindowView, side: Side, fair: Decimal, fee: FeeSchedule) -> Wish | None:
    """Return the wish to buy one side at its ask, None without an edge."""
    book = view.book(side)
    if book is None or not book.continuous or book.best_ask is None:
        return None
    ask = book.best_ask
    edge = fair - ask - fee_per_share(ask, fee)
    if not ASK_RANGE[0] <= ask <= ASK_RANGE[1] or edge <= MIN_EDGE:
        return None
    return Wish(side, ask, AMOUNT_USDC, fair, _evidence(view, book, fair=fair, edge=edge))


def _evidence(view: WindowView, book: Book, *, fair: Decimal, edge: Decimal) -> dict[str, object]:
    """Return what it was decided on."""
    oracle, average = view.oracle, view.oracle_average
    return {
        "fair": str(fair),
        "edge": str(edge),
        "strike": str(view.strike),
        "oracle": None if oracle is None else str(oracle.price),
        "oracle_at": None if oracle is None else oracle.source_at.isoformat(),
        "oracle_average": None if average is None else str(average.price),
        "samples": len(view.oracle_samples),
        "seconds_left": str(view.window.seconds_left(view.now)),
        "token_id": book.token_id,
        "best_bid": str(book.best_bid),
        "best_ask": str(book.best_ask),
        "book_at": book.source_at.isoformat(),
    }


STRATEGY = OracleAverage()
