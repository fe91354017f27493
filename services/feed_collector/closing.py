"""The close recorder: what everybody says on the way to a window's end (C9).

Six named samples fill the window's one row; besides, from 90 s before the close, every price up to ten times a second.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta

from services.feed_collector import actions
from services.feed_collector.decide import consensus, due_samples, market_price
from services.feed_collector.metrics import CLOSE_SAMPLES
from services.feed_collector.shelf import Shelf
from services.feed_collector.tape import Tape
from services.feed_collector.watch import Watch
from shared.db.engine import Database
from shared.db.patience import endure
from shared.db.queries.closes import CloseSample, DenseSample
from shared.domain.books import Book
from shared.domain.ids import WindowId
from shared.domain.ticks import Source
from shared.domain.windows import Side, Window
from shared.runtime.clock import Clock
from shared.runtime.pulse import LoopPulse

CLOSE_LOOK_S = 0.02
TIMELY = timedelta(milliseconds=500)
SAMPLES_MAX = 1_000
DENSE_FROM = timedelta(seconds=90)
DENSE_EVERY_MS = 100
DENSE_WRITE_EVERY_S = 1.0
_MICROSECOND = timedelta(microseconds=1)


@dataclass(slots=True)
class CloseRecorder:
    """What the two kinds of samples share."""

    database: Database
    tape: Tape
    shelf: Shelf
    watch: Watch
    clock: Clock
    _taken: dict[WindowId, set[int]] = field(default_factory=dict)
    _waiting: deque[CloseSample] = field(default_factory=lambda: deque(maxlen=SAMPLES_MAX))
    _slots: dict[WindowId, int] = field(default_factory=dict)
    _dense: deque[DenseSample] = field(default_factory=lambda: deque(maxlen=SAMPLES_MAX))
    _written_at: float = 0.0

    async def watch_closes(self, pulse: LoopPulse) -> None:
        """Sample every window that nears its end; a slow database must not make a moment pass unseen."""
        while not pulse.stopping.is_set():
            pulse.tick()
            self.look()
            await asyncio.sleep(CLOSE_LOOK_S)

    async def write_closes(self, pulse: LoopPulse) -> None:
        """Write the samples; what is written late is still what was seen in time."""

        async def turn() -> None:
            while self._waiting:
                sample = self._waiting.popleft()
                try:
                    await actions.write_close_sample(self.database, sample)
                except BaseException:
                    self._waiting.appendleft(sample)
                    raise
            if self._dense and self.clock.monotonic() - self._written_at >= DENSE_WRITE_EVERY_S:
                await self._write_dense()
            await asyncio.sleep(CLOSE_LOOK_S)

        await endure(pulse, turn)

    async def _write_dense(self) -> None:
        rows = list(self._dense)
        self._dense.clear()
        try:
            await actions.write_dense_samples(self.database, rows)
        except BaseException:
            self._dense.extendleft(reversed(rows))
            raise
        CLOSE_SAMPLES.inc(len(rows))
        self._written_at = self.clock.monotonic()

    def look(self) -> None:
        """Take every sample whose moment is now."""
        for window in self.watch.windows:
            self._waiting.extend(self.samples_now(window))
            dense = self.dense_now(window)
            if dense is not None:
                self._dense.append(dense)
        over = self._taken.keys() - {window.window_id for window in self.watch.windows}
        for gone in over:
            del self._taken[gone]
            self._slots.pop(gone, None)

    def samples_now(self, window: Window) -> list[CloseSample]:
        """Return the named samples of this moment; one whose moment is past was missed: no later price is its."""
        taken = self._taken.setdefault(window.window_id, set())
        now = self.watch.venue_now()
        samples = []
        for seconds in due_samples(window, now, taken):
            taken.add(seconds)
            if now - (window.closes_at - timedelta(seconds=seconds)) <= TIMELY:
                samples.append(self._close_sample(window, seconds))
        return samples

    def dense_now(self, window: Window) -> DenseSample | None:
        """Return the sample of this tenth of a second, once, from 90 s before the close until it; else None."""
        now = self.watch.venue_now()
        slot = slot_of(window.closes_at - now)
        if slot is None or self._slots.get(window.window_id) == slot or now < window.opens_at:
            return None
        self._slots[window.window_id] = slot
        up, down = (self._sound_book(window, side) for side in (Side.UP, Side.DOWN))
        return DenseSample(
            window_id=window.window_id,
            at=self.clock.now(),
            ms_to_close=slot * DENSE_EVERY_MS,
            oracle_price=self.tape.feed(Source.CHAINLINK, window.instrument).last_price,
            oracle_average=self.tape.feed(Source.CHAINLINK_TWAP, window.instrument).last_price,
            binance_price=self.tape.feed(Source.BINANCE, window.instrument).last_price,
            pyth_price=self.tape.feed(Source.PYTH, window.instrument).last_price,
            up_bid=None if up is None else up.best_bid,
            up_ask=None if up is None else up.best_ask,
            down_bid=None if down is None else down.best_bid,
            down_ask=None if down is None else down.best_ask,
        )

    def _sound_book(self, window: Window, side: Side) -> Book | None:
        book = self.shelf.book(window.token(side))
        return book if book is not None and book.continuous else None

    def _close_sample(self, window: Window, seconds: int) -> CloseSample:
        up, down = (market_price(self.shelf.book(window.token(side))) for side in (Side.UP, Side.DOWN))
        favourite = consensus(up, down)
        return CloseSample(
            window_id=window.window_id,
            instrument=window.instrument,
            closes_at=window.closes_at,
            seconds_before=seconds,
            strike=window.strike,
            oracle_price=self.tape.feed(Source.CHAINLINK, window.instrument).last_price,
            oracle_average=self.tape.feed(Source.CHAINLINK_TWAP, window.instrument).last_price,
            binance_price=self.tape.feed(Source.BINANCE, window.instrument).last_price,
            pyth_price=self.tape.feed(Source.PYTH, window.instrument).last_price,
            up_price=up,
            down_price=down,
            consensus=None if favourite is None else favourite.direction.value,
            confidence=None if favourite is None else favourite.confidence,
        )


def slot_of(left: timedelta) -> int | None:
    """Return the tenth of a second before the close that this is, rounded up; None outside the last 90 s."""
    if not timedelta(0) <= left <= DENSE_FROM:
        return None
    return -(-(left // _MICROSECOND) // (DENSE_EVERY_MS * 1000))
