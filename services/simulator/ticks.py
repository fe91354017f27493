"""The feeds of one asset: Chainlink, its average, Binance's trades and best prices, Pyth; each has its own delay.

PURE.

Chainlink and the average tick on the grid of the timeline. Binance is the same price between the grid points plus a
basis of its own, so neither feed can be computed from the other; it arrives sooner, as it does in reality.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import count
from math import exp
from random import Random

from services.simulator.calibration import ASSETS, BINANCE_LAG, CHAINLINK_LAG, Lag
from services.simulator.prices import Basis, average, lag_ms, priced, seeded_basis
from services.simulator.timeline import Segment, Timeline
from services.simulator.world import FeedTick

# Binance sends 33 changes of BTC's best price a second; ten of each stream are shown.
BINANCE_EVERY_MS = 100
BASIS_POINT = 1e-4
# Noise of single trades, a part of the measured spread of the basis (its correlation after 1 s is 0.6).
TRADE_NOISE_SHARE = 0.5
# Pyth: assumed to follow the exchanges as Chainlink does, a quarter of a basis point apart; one recorded update of
# BTC had a confidence of 2.5 basis points. Its slots are 400 ms,
# shorter where the replay is denser than that: each price has its own.
PYTH_NOISE_BP, PYTH_CONFIDENCE_BP, PYTH_SLOT_MS = 0.25, 2.5, 400


class Feeds:
    """The feeds of one timeline; the same seed gives the same ticks, from wherever one begins."""

    def __init__(self, timeline: Timeline, *, compression: float, seed: str) -> None:
        self._timeline = timeline
        self._compression = compression
        self._seed = f"{seed}:{timeline.asset}"
        figures = ASSETS[timeline.asset]
        self._step = figures.price_step
        self._noise = figures.basis_spread_bp * BASIS_POINT * TRADE_NOISE_SHARE
        self._basis: Basis = seeded_basis(
            Random(f"{self._seed}:basis"),
            standing=figures.basis_bp * BASIS_POINT,
            spread=figures.basis_spread_bp * BASIS_POINT,
            window_ms=timeline.schedule.window_ms,
        )

    def ticks(self, from_ms: int) -> Iterator[FeedTick]:
        """Yield every tick sent at or after ``from_ms``, for ever, in order of sending."""
        # A window earlier, so that a tick delayed past its window's end is not lost.
        first = max(self._timeline.schedule.index_at(from_ms) - 1, -1)
        makers = (self._chainlink, self._twap, self._trades, self._books, self._pyth)
        merged = heapq.merge(*(_ordered(make, first) for make in makers), key=lambda tick: tick.at_ms)
        return (tick for tick in merged if tick.at_ms >= from_ms)

    def _chainlink(self, index: int) -> Iterator[FeedTick]:
        segment, chance = self._timeline.segment(index), self._chance(index, "chainlink")
        for position, price in enumerate(segment.prices[1:], start=1):
            observed_ms = segment.opens_ms + position * self._timeline.schedule.tick_ms
            at_ms = observed_ms + self._lag(chance, CHAINLINK_LAG)
            yield FeedTick(at_ms, observed_ms, self._timeline.asset, "chainlink", price)

    def _twap(self, index: int) -> Iterator[FeedTick]:
        segment, chance = self._timeline.segment(index), self._chance(index, "twap")
        schedule = self._timeline.schedule
        earlier = self._timeline.segment(index - 1).prices[:-1] if index >= 0 else ()
        prices = (*earlier[-schedule.points :], *segment.prices)
        skipped = len(prices) - len(segment.prices)
        for position in range(1, len(segment.prices)):
            last = skipped + position + 1
            if last < schedule.points:
                continue
            value = average(prices[last - schedule.points : last])
            observed_ms = segment.opens_ms + position * schedule.tick_ms
            at_ms = observed_ms + self._lag(chance, CHAINLINK_LAG)
            extra = {"window_seconds": schedule.lookback_s}
            yield FeedTick(at_ms, observed_ms, self._timeline.asset, "chainlink_twap", value, extra)

    def _trades(self, index: int) -> Iterator[FeedTick]:
        chance = self._chance(index, "trades")
        for serial, observed_ms, middle in self._binance(index, chance):
            buyer_is_maker = chance.random() < 1 / 2
            price = self._on_step(middle) + (0 if buyer_is_maker else self._step)
            extra = {
                "trade_id": serial,
                "quantity": Decimal(round(exp(chance.gauss(6.0, 1.5)) / middle * 100_000) + 1) / 100_000,
                "buyer_is_maker": buyer_is_maker,
            }
            at_ms = observed_ms + self._lag(chance, BINANCE_LAG)
            yield FeedTick(at_ms, observed_ms, self._timeline.asset, "binance_trade", price, extra)

    def _books(self, index: int) -> Iterator[FeedTick]:
        chance = self._chance(index, "books")
        for serial, observed_ms, middle in self._binance(index, chance):
            bid = self._on_step(middle)
            extra = {
                "update_id": serial,
                "bid": bid,
                "bid_size": Decimal(round(exp(chance.gauss(0.5, 1.0)) * 1000)) / 1000,
                "ask": bid + self._step,
                "ask_size": Decimal(round(exp(chance.gauss(0.5, 1.0)) * 1000)) / 1000,
            }
            at_ms = observed_ms + self._lag(chance, BINANCE_LAG)
            price = bid + self._step / 2
            yield FeedTick(at_ms, observed_ms, self._timeline.asset, "binance_book", price, extra)

    def _pyth(self, index: int) -> Iterator[FeedTick]:
        segment, chance = self._timeline.segment(index), self._chance(index, "pyth")
        for position, price in enumerate(segment.prices[1:], start=1):
            observed_ms = segment.opens_ms + position * self._timeline.schedule.tick_ms
            value = priced(price, chance.gauss(0, PYTH_NOISE_BP * BASIS_POINT))
            extra = {
                "confidence": priced(price, PYTH_CONFIDENCE_BP * BASIS_POINT) - price,
                "slot": observed_ms // min(PYTH_SLOT_MS, self._timeline.schedule.tick_ms),
            }
            at_ms = observed_ms + self._lag(chance, BINANCE_LAG)
            yield FeedTick(at_ms, observed_ms, self._timeline.asset, "pyth", value, extra)

    def _binance(self, index: int, chance: Random) -> Iterator[tuple[int, int, float]]:
        """Yield serial number, moment and Binance's price, ten times a second."""
        segment = self._timeline.segment(index)
        length_ms = (len(segment.prices) - 1) * self._timeline.schedule.tick_ms
        schedule = self._timeline.schedule
        # Serial numbers only have to rise: tenths of seconds do, and they differ from one start to the next.
        first_serial = segment.opens_ms // BINANCE_EVERY_MS
        for serial, slot_ms in enumerate(range(0, length_ms, BINANCE_EVERY_MS)):
            offset_ms = slot_ms + chance.randrange(BINANCE_EVERY_MS)
            value = _between(segment, min(offset_ms, length_ms) / schedule.tick_ms)
            at_ms = segment.opens_ms + offset_ms
            gap = self._basis.at(at_ms) + chance.gauss(0, self._noise)
            yield first_serial + serial, at_ms, value * (1 + gap)

    def _lag(self, chance: Random, lag: Lag) -> int:
        return lag_ms(chance, lag, compression=self._compression)

    def _on_step(self, price: float) -> Decimal:
        return Decimal(price).quantize(self._step, rounding=ROUND_HALF_EVEN)

    def _chance(self, index: int, what: str) -> Random:
        return Random(f"{self._seed}:{index}:{what}")


def _between(segment: Segment, position: float) -> float:
    index = min(int(position), len(segment.binance) - 2)
    low, high = float(segment.binance[index]), float(segment.binance[index + 1])
    return low + (high - low) * (position - index)


def _ordered(make: Callable[[int], Iterator[FeedTick]], first: int) -> Iterator[FeedTick]:
    """Yield one feed from window ``first`` on, no tick overtaking another: a socket keeps its order."""
    latest_ms = 0
    for index in count(first):
        for tick in make(index):
            latest_ms = max(latest_ms, tick.at_ms)
            yield tick if tick.at_ms == latest_ms else replace(tick, at_ms=latest_ms)
