"""How good the recording is: completeness of each window, the exchanges' clocks, divergences, the feeds' lags."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from services.feed_collector import actions as collector
from services.feed_collector.clocks import DatabaseClock
from services.feed_collector.decide import market_price, milliseconds, summarise
from services.feed_collector.divergences import Divergence
from services.feed_collector.metrics import CLOCK_OFFSET_S, DIVERGENCES, LAG_S
from services.feed_collector.predictions import KnownLag, Prediction, Quoted
from services.feed_collector.quality import actions
from services.feed_collector.shelf import Shelf
from services.feed_collector.statistics import Lag, measure_lag
from services.feed_collector.tape import EVERY, Tape
from services.feed_collector.watch import Watch
from shared.db.engine import Database
from shared.db.patience import endure
from shared.db.queries.divergences import DivergenceBegun, DivergenceEnded
from shared.db.queries.lag_signals import LagSignal
from shared.db.queries.quality import LagRow
from shared.domain.clocks import MeasuredClock
from shared.domain.ids import Instrument
from shared.domain.ticks import PRIMARY, Source
from shared.domain.windows import Side, Window
from shared.observability.logs import get_logger
from shared.runtime.clock import Clock
from shared.runtime.pulse import LoopPulse

DIVERGENCES_EVERY_S = 0.5
CLOCKS_EVERY_S = 10.0
CLOCKS_FIRST_EVERY_S = 1.0
"""Until every exchange's clock has shown itself once."""
CLOCKS_OF = (Source.BINANCE, Source.CHAINLINK)
"""Feeds whose messages carry their exchange's time."""
COMPLETENESS_EVERY_S = 5.0
LAGS_LOOK_S = 5.0
LAGS_EVERY = timedelta(minutes=5)
LAGS_AGAIN = timedelta(minutes=1)
LAG_SPAN = timedelta(minutes=10)
PROVED_BELOW = 0.01
CORRELATED_ABOVE = 0.3

log = get_logger()


@dataclass(slots=True)
class Quality:
    """What these loops share."""

    database: Database
    tape: Tape
    shelf: Shelf
    watch: Watch
    clock: Clock
    expected: Sequence[tuple[Source, Instrument]]
    """The feeds that should speak."""
    _lags_at: datetime | None = None
    _alerted: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.tape.predictions.quote = self._quote

    async def keep_divergences(self, pulse: LoopPulse) -> None:
        """Write where feeds came apart and where they met again (C8)."""

        async def turn() -> None:
            news = self.tape.divergences.take_news()
            if news:
                try:
                    await actions.write_divergences(self.database, [self._as_row(each) for each in news])
                except BaseException:
                    self.tape.divergences.give_back(news)
                    raise
                for each in news:
                    self._report(each)
            await self._write_predictions()
            await asyncio.sleep(DIVERGENCES_EVERY_S)

        await endure(pulse, turn)

    async def _write_predictions(self) -> None:
        """Write what the primary feed says the oracle will do, and what it did (C15)."""
        news = self.tape.predictions.take_news()
        if not news:
            return
        try:
            await actions.write_lag_signals(self.database, [self._as_signal(each) for each in news])
        except BaseException:
            self.tape.predictions.give_back(news)
            raise

    def _as_signal(self, each: Prediction) -> LagSignal:
        window = self._window_at(each.instrument, each.made_at)
        took = None if each.ended_at is None else each.ended_at - each.made_at
        quoted = each.quoted
        return LagSignal(
            at=each.made_at,
            instrument=each.instrument,
            window_id=None if window is None else window.window_id,
            spot_price=each.spot_price,
            oracle_price=each.oracle_price,
            move_pct=each.move_pct,
            direction=each.direction.value,
            tau_ms=int(milliseconds(each.lag.tau)),
            correlation=each.lag.correlation,
            market_price=None if quoted is None else quoted.price,
            spread=None if quoted is None else quoted.spread,
            depth_usdc=None if quoted is None else quoted.depth_usdc,
            ended_at=each.ended_at,
            oracle_then=each.oracle_then,
            took_ms=None if took is None else int(milliseconds(took)),
            outcome=None if each.outcome is None else each.outcome.value,
            correct=each.correct,
        )

    def _quote(self, instrument: Instrument, side: Side, at: datetime) -> Quoted | None:
        """Return what a side of the window that runs is quoted at now; it costs what is offered within 1 % (C15)."""
        window = self._window_at(instrument, at)
        book = None if window is None else self.shelf.book(window.token(side))
        price = market_price(book)
        if book is None or price is None:
            return None
        numbers = summarise(book)
        return Quoted(price, numbers.spread, numbers.ask_depth_100)

    def _window_at(self, instrument: Instrument, at: datetime) -> Window | None:
        """Return the window that ran then, the one that ends first where there are several."""
        running = [
            window
            for window in self.watch.windows
            if window.instrument == instrument and window.opens_at <= at < window.closes_at
        ]
        return min(running, key=lambda window: window.closes_at, default=None)

    def _as_row(self, each: Divergence) -> DivergenceBegun | DivergenceEnded:
        if each.ended_at is not None and each.converged_to is not None:
            took = each.ended_at - each.began_at
            return DivergenceEnded(
                each.instrument,
                each.fast,
                each.slow,
                each.began_at,
                int(milliseconds(took)),
                each.converged_to,
            )
        window = self._window_at(each.instrument, each.began_at)
        return DivergenceBegun(
            instrument=each.instrument,
            fast=each.fast,
            slow=each.slow,
            at=each.began_at,
            fast_price=each.fast_price,
            slow_price=each.slow_price,
            pct=each.pct,
            direction=each.direction,
            window_id=None if window is None else window.window_id,
            ms_to_close=None if window is None else int(milliseconds(window.closes_at - each.began_at)),
        )

    def _report(self, each: Divergence) -> None:
        if each.ended_at is None:
            DIVERGENCES.labels(each.fast.value, each.slow.value).inc()
            log.info(
                "feeds_diverged",
                symbol=each.instrument,
                fast=each.fast.value,
                slow=each.slow.value,
                pct=str(each.pct),
            )

    async def keep_clocks(self, pulse: LoopPulse) -> None:
        """Write how far every exchange's clock is from the database's, and alert beyond a second (C13)."""
        wanted = {Source.POLYMARKET, *(source for source, _ in self.expected if source in CLOCKS_OF)}

        async def turn() -> None:
            shown = await self.write_clocks()
            await asyncio.sleep(CLOCKS_EVERY_S if shown >= wanted else CLOCKS_FIRST_EVERY_S)

        await endure(pulse, turn)

    async def write_clocks(self) -> frozenset[Source]:
        """Measure the database's clock, and write every clock against it; returns whose clock has shown itself."""
        asked_at = self.clock.now()
        said_at = await actions.read_database_clock(self.database)
        own = DatabaseClock(asked_at, said_at, self.clock.now())
        rows = [MeasuredClock("feed_collector", -own.offset_ms, own.error_ms)]
        shown = set()
        venue = self.tape.feed(Source.POLYMARKET, EVERY)
        if venue.offset_ms is not None:
            shown.add(Source.POLYMARKET)
            rows.append(
                MeasuredClock(
                    "clob", venue.offset_ms - own.offset_ms, own.error_ms + self.watch.offset_error_ms
                )
            )
        for source in CLOCKS_OF:
            leads = [
                lead
                for each in self.tape.news.values()
                if each.source is source and (lead := each.lead.best()) is not None
            ]
            if leads:
                shown.add(source)
                best = max(leads, key=lambda lead: lead.least_ms)
                rows.append(
                    MeasuredClock(source.value, best.least_ms - own.offset_ms, own.error_ms + best.spread_ms)
                )
                CLOCK_OFFSET_S.labels(source.value).set(float(best.least_ms / 1000))
        await actions.write_clocks(self.database, rows)
        await self._alert_of(rows)
        return frozenset(shown)

    async def _alert_of(self, rows: Sequence[MeasuredClock]) -> None:
        for row in rows:
            if not row.is_off:
                self._alerted.discard(row.source)
            elif row.source not in self._alerted:
                log.error("clock_off", source=row.source, offset_ms=str(row.offset_ms))
                await collector.alert(
                    self.database,
                    severity="ERROR",
                    kind="clock_off",
                    key=f"clock_off:{row.source}",
                    details={"offset_ms": str(row.offset_ms), "error_ms": str(row.error_ms)},
                )
                self._alerted.add(row.source)

    async def keep_completeness(self, pulse: LoopPulse) -> None:
        """Count what each window received against what it should have, a little after its close (C14)."""

        async def turn() -> None:
            now = self.watch.venue_now()
            for window in await actions.unmeasured(self.database, now):
                pulse.tick()
                feeds = [source for source, instrument in self.expected if instrument == window.instrument]
                await actions.measure_window(self.database, window, feeds)
            await asyncio.sleep(COMPLETENESS_EVERY_S)

        await endure(pulse, turn)

    async def keep_lags(self, pulse: LoopPulse) -> None:
        """Measure every five minutes how far the other feeds are behind the primary (C15)."""

        async def turn() -> None:
            now = self.clock.now()
            if self._lags_at is None or now - self._lags_at >= LAGS_EVERY:
                found = True
                for slow, instrument in self.expected:
                    if slow not in {PRIMARY, Source.POLYMARKET}:
                        pulse.tick()
                        found = await self.analyse_lag(slow, instrument, now) is not None and found
                # Too few ticks yet: look again in a minute.
                self._lags_at = now if found else now - LAGS_EVERY + LAGS_AGAIN
            await asyncio.sleep(LAGS_LOOK_S)

        await endure(pulse, turn)

    async def analyse_lag(self, slow: Source, instrument: Instrument, now: datetime) -> Lag | None:
        """Measure one pair over the last ten minutes of ticks and write it down; None with too few of them."""
        fast_ticks, slow_ticks = await actions.read_pair(
            self.database, PRIMARY, slow, instrument, since=now - LAG_SPAN, until=now
        )
        lag = await asyncio.to_thread(
            measure_lag, fast_ticks.at_s, fast_ticks.prices, slow_ticks.at_s, slow_ticks.prices
        )
        if slow is Source.CHAINLINK:
            self.tape.predictions.learn(instrument, _proved(lag))
        if lag is None:
            return None
        LAG_S.labels(slow.value, instrument).set(lag.tau_ms / 1000)
        await actions.write_lag(
            self.database,
            LagRow(
                now,
                instrument,
                PRIMARY,
                slow,
                lag.tau_ms,
                lag.correlation,
                lag.p_value,
                lag.samples,
                lag.tau_variance_s2,
                lag.profile,
            ),
        )
        return lag


def _proved(lag: Lag | None) -> KnownLag | None:
    """Return the lag if the analysis proves one; nothing is predicted from less."""
    if lag is None or lag.p_value > PROVED_BELOW or lag.correlation < CORRELATED_ABOVE:
        return None
    return KnownLag(timedelta(milliseconds=lag.tau_ms), Decimal(str(round(lag.correlation, 4))))
