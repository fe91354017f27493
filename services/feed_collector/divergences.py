"""PURE: when two feeds of one instrument disagree, and when they agree again (C8)."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType

from shared.domain.ids import Instrument
from shared.domain.ticks import PriceTick, Source

DIVERGES_ABOVE_PCT: Mapping[tuple[Source, Source], Decimal] = MappingProxyType(
    {
        (Source.BINANCE, Source.CHAINLINK): Decimal("0.05"),
        (Source.BINANCE, Source.CHAINLINK_TWAP): Decimal("0.15"),
        (Source.BINANCE, Source.PYTH): Decimal("0.10"),
        (Source.CHAINLINK, Source.PYTH): Decimal("0.10"),
        (Source.CHAINLINK, Source.CHAINLINK_TWAP): Decimal("0.15"),
        (Source.PYTH, Source.CHAINLINK_TWAP): Decimal("0.15"),
    }
)
"""Percent of the slow feed's price, by (fast, slow) pair. Recorded on four assets, Binance and the oracle were 0.02 %
apart at most in a calm hour, and 0.07 % once; an average over a minute lags a fast market by more, and should."""
CONVERGED_SHARE = Decimal("0.5")
"""They agree again below half the threshold: one event must not become a hundred at its edge."""
COMPARED_WITHIN = timedelta(seconds=5)
"""A price older than this is compared with nothing: its silence is a gap, not a divergence."""
PENDING_MAX = 1_000
_PCT_STEP = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Divergence:
    """Two feeds apart by more than their threshold; ``ended_at`` None while they are."""

    instrument: Instrument
    fast: Source
    slow: Source
    began_at: datetime
    fast_price: Decimal
    slow_price: Decimal
    pct: Decimal
    """Fast above slow, percent of slow; negative below."""
    ended_at: datetime | None = None
    converged_to: Decimal | None = None

    @property
    def direction(self) -> str:
        """Return where the fast feed stands: ``up`` or ``down``."""
        return "up" if self.pct > 0 else "down"


@dataclass(slots=True)
class Divergences:
    """The newest price of every feed, which pairs are apart, and what began or ended since it was last asked."""

    above_pct: Mapping[tuple[Source, Source], Decimal] = field(default_factory=lambda: DIVERGES_ABOVE_PCT)
    _newest: dict[tuple[Source, Instrument], tuple[Decimal, datetime]] = field(default_factory=dict)
    _open: dict[tuple[Source, Source, Instrument], Divergence] = field(default_factory=dict)
    _news: deque[Divergence] = field(default_factory=lambda: deque(maxlen=PENDING_MAX))

    def take(self, tick: PriceTick) -> None:
        """Compare a new price with every other feed's of the same instrument, by our own time of receipt."""
        self._newest[tick.source, tick.instrument] = (tick.price, tick.received_at)
        for pair, above_pct in self.above_pct.items():
            if tick.source in pair:
                self._compare(pair, above_pct, tick.instrument, tick.received_at)

    def take_news(self) -> list[Divergence]:
        """Return what began (``ended_at`` None) and what ended since the last call, in order."""
        news = list(self._news)
        self._news.clear()
        return news

    def give_back(self, news: list[Divergence]) -> None:
        """Take back what could not be written."""
        self._news.extendleft(reversed(news))

    def _compare(
        self, pair: tuple[Source, Source], above_pct: Decimal, instrument: Instrument, now: datetime
    ) -> None:
        fast, slow = (self._newest.get((source, instrument)) for source in pair)
        if fast is None or slow is None or slow[0] == 0:
            return
        if now - fast[1] > COMPARED_WITHIN or now - slow[1] > COMPARED_WITHIN:
            return
        key = (*pair, instrument)
        known = self._open.get(key)
        apart = abs(fast[0] - slow[0]) * 100
        if known is None and apart > above_pct * slow[0]:
            pct = ((fast[0] - slow[0]) / slow[0] * 100).quantize(_PCT_STEP)
            self._open[key] = Divergence(instrument, *pair, now, fast[0], slow[0], pct)
            self._news.append(self._open[key])
        elif known is not None and apart < above_pct * CONVERGED_SHARE * slow[0]:
            del self._open[key]
            self._news.append(replace(known, ended_at=now, converged_to=slow[0]))
