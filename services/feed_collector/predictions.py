"""PURE: what a move of the fast feed says the oracle will do, and what it then did (C15).

The oracle tells what the market did a lag ago. So when the fast feed has moved since the moment that the oracle's last
report is of, the oracle is expected to follow within about that lag; each expectation is kept with its outcome, right
or wrong.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from shared.domain.ids import Instrument
from shared.domain.ticks import PRIMARY, PriceTick, Source
from shared.domain.windows import Side

MOVED_PCT = Decimal("0.03")
"""A smaller move of the fast feed predicts nothing: the oracle may round it away."""
FOLLOWED_SHARE = Decimal("0.5")
"""The oracle has answered when it moved by half of what was predicted from, either way."""
PATIENCE = timedelta(seconds=3)
"""Beyond twice the lag it has not answered."""
REMEMBERED = timedelta(seconds=15)
PENDING_MAX = 1_000
_PCT_STEP = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class KnownLag:
    """What the last analysis found, if it proved anything."""

    tau: timedelta
    correlation: Decimal


@dataclass(frozen=True, slots=True)
class Quoted:
    """What the token that wins if the prediction is right was quoted at: USDC per share, and USDC offered near it."""

    price: Decimal
    spread: Decimal | None
    depth_usdc: Decimal


Quote = Callable[[Instrument, Side, datetime], Quoted | None]
"""What the market says at this moment of a side of the window that runs; None without a window or a sound book."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One expectation; the outcome is None until the oracle moved or was waited for in vain."""

    instrument: Instrument
    made_at: datetime
    spot_price: Decimal
    oracle_price: Decimal
    move_pct: Decimal
    direction: Side
    lag: KnownLag
    quoted: Quoted | None = None
    ended_at: datetime | None = None
    oracle_then: Decimal | None = None
    outcome: Side | None = None
    """None at the end: it did not move in time."""

    @property
    def correct(self) -> bool | None:
        return None if self.ended_at is None else self.outcome is self.direction


@dataclass(slots=True)
class _Market:
    lag: KnownLag | None = None
    fast: deque[tuple[datetime, Decimal]] = field(default_factory=deque)
    oracle: tuple[datetime, Decimal] | None = None
    open: Prediction | None = None


@dataclass(slots=True)
class Predictions:
    """At most one open expectation an instrument, and what was made or ended since last asked."""

    quote: Quote = field(default=lambda *_: None)
    _markets: dict[Instrument, _Market] = field(default_factory=dict)
    _news: deque[Prediction] = field(default_factory=lambda: deque(maxlen=PENDING_MAX))

    def learn(self, instrument: Instrument, lag: KnownLag | None) -> None:
        """Take what an analysis proved; None: nothing, so nothing is predicted."""
        self._markets.setdefault(instrument, _Market()).lag = lag

    def take(self, tick: PriceTick) -> None:
        """Take a price of the primary feed or the oracle, in order of receipt."""
        market = self._markets.get(tick.instrument)
        if market is None:
            return
        if tick.source is PRIMARY:
            market.fast.append((tick.received_at, tick.price))
            while tick.received_at - market.fast[0][0] > REMEMBERED:
                market.fast.popleft()
            self._predict(market, tick)
        elif tick.source is Source.CHAINLINK:
            market.oracle = (tick.received_at, tick.price)
            self._judge(market, tick.received_at)

    def take_news(self) -> list[Prediction]:
        """Return what was made and what ended since the last call, in order."""
        news = list(self._news)
        self._news.clear()
        return news

    def give_back(self, news: list[Prediction]) -> None:
        """Take back what could not be written."""
        self._news.extendleft(reversed(news))

    def _predict(self, market: _Market, tick: PriceTick) -> None:
        self._judge(market, tick.received_at)
        if market.lag is None or market.oracle is None or market.open is not None:
            return
        told_at, oracle_price = market.oracle
        if tick.received_at - told_at > PATIENCE:
            return  # an oracle that is silent is no lag
        base = next((price for at, price in reversed(market.fast) if at <= told_at - market.lag.tau), None)
        if base is None or base == 0:
            return
        move_pct = ((tick.price - base) / base * 100).quantize(_PCT_STEP)
        if abs(move_pct) < MOVED_PCT:
            return
        direction = Side.UP if move_pct > 0 else Side.DOWN
        market.open = Prediction(
            instrument=tick.instrument,
            made_at=tick.received_at,
            spot_price=tick.price,
            oracle_price=oracle_price,
            move_pct=move_pct,
            direction=direction,
            lag=market.lag,
            quoted=self.quote(tick.instrument, direction, tick.received_at),
        )
        self._news.append(market.open)

    def _judge(self, market: _Market, now: datetime) -> None:
        """End the open expectation when the oracle moved enough, or did not in time."""
        made = market.open
        if made is None or market.oracle is None:
            return
        moved_pct = (market.oracle[1] - made.oracle_price) / made.oracle_price * 100
        answered = abs(moved_pct) >= abs(made.move_pct) * FOLLOWED_SHARE
        if not answered and now - made.made_at <= 2 * made.lag.tau + PATIENCE:
            return
        outcome = None if not answered else Side.UP if moved_pct > 0 else Side.DOWN
        market.open = None
        self._news.append(replace(made, ended_at=now, oracle_then=market.oracle[1], outcome=outcome))
