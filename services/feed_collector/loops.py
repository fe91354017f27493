"""The waiting of feed_collector around its windows: find, open and close them, learn their strike and their end."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.feed_collector import actions
from services.feed_collector.config import CollectorSettings
from services.feed_collector.decide import (
    Clocked,
    ListingChange,
    deciding_source,
    has_ids,
    narrowed,
    next_step_at,
    opening_price,
    resolution_wait_s,
)
from services.feed_collector.metrics import CLOCK_OFFSET_S, LISTINGS_REFUSED, RESOLUTIONS, WINDOWS
from services.feed_collector.shelf import Shelf
from services.feed_collector.tape import EVERY, Tape
from services.feed_collector.watch import Watch
from shared.db.engine import Database
from shared.db.patience import endure
from shared.domain.ids import Instrument, WindowId
from shared.domain.ticks import Source
from shared.domain.windows import Window
from shared.observability.logs import get_logger
from shared.runtime.clock import Clock
from shared.runtime.pulse import LoopPulse
from shared.venue.listings import Discovery
from shared.venue.market_pair import MarketPair
from shared.venue.reading import PublicReading
from shared.venue.refusals import VenueProblem

DISCOVER_EVERY_S = 5.0
DISCOVER_AHEAD = timedelta(hours=2)
"""How far ahead windows are written down; the venue lists a day."""
LOOK_EVERY_S = 0.25
STRIKE_EVERY_S = 1.0
CLOCK_EVERY_S = 10.0
CLOCK_FIRST_READINGS = 5
"""At the start the venue's clock is read in quick succession: each reading narrows the others'."""
CLOCK_FIRST_EVERY_S = 0.35
ANNOUNCE_EVERY_S = 0.01
RESOLUTION_LATE = timedelta(seconds=60)
"""A result still missing then is an error somebody should know of (C9); it is asked for on and on."""

log = get_logger()


@dataclass(slots=True)
class Collector:
    """What the loops share."""

    settings: CollectorSettings
    database: Database
    reading: PublicReading
    tape: Tape
    shelf: Shelf
    watch: Watch
    clock: Clock
    market: MarketPair
    said: set[tuple[WindowId, str]] = field(default_factory=set)
    """Listings already reported as refused: each is logged once."""
    overdue: set[WindowId] = field(default_factory=set)
    """Windows whose missing result was reported."""

    async def discover(self, pulse: LoopPulse) -> None:
        """Find the windows of every instrument and interval before they open (C5)."""

        async def turn() -> None:
            for instrument in self.settings.instruments:
                for interval in self.settings.intervals:
                    pulse.tick()
                    await self._discover_one(instrument, interval)
            self.watch.discovered.set()
            await asyncio.sleep(DISCOVER_EVERY_S)

        await endure(pulse, turn)

    async def _discover_one(self, instrument: Instrument, interval: str) -> None:
        now = self.watch.venue_now()
        try:
            found = await self.reading.discover(instrument, interval, now, ahead=DISCOVER_AHEAD)
        except VenueProblem as problem:
            log.warning("discovery_failed", instrument=instrument, interval=interval, reason=str(problem))
            return
        await self._report_refused(found)
        listed = [
            listing.as_window() for listing in found.listings if listing.opens_at - now <= DISCOVER_AHEAD
        ]
        saved = await actions.save_listings(self.database, listed)
        for window_id, change in saved.changes.items():
            if change is ListingChange.NEW:
                log.info("window_discovered", window_id=window_id)
            elif change is ListingChange.IDS_CHANGED:
                log.error("window_ids_changed", window_id=window_id)

    async def _report_refused(self, found: Discovery) -> None:
        for refused in found.refused:
            key = (refused.window_id, refused.kind)
            if key in self.said:
                continue
            self.said.add(key)
            LISTINGS_REFUSED.labels(refused.kind).inc()
            log.warning(
                "listing_refused", window_id=refused.window_id, kind=refused.kind, reason=refused.message
            )
            await actions.alert(
                self.database,
                severity="WARNING",
                kind="listing_refused",
                key=f"listing_refused:{refused.kind}",
                details={"window_id": refused.window_id, "reason": refused.message},
            )

    async def advance(self, pulse: LoopPulse) -> None:
        """Open and close windows at their own moments by the venue's clock; follow the books of those that matter."""

        async def turn() -> None:
            now = self.watch.venue_now()
            current = await actions.read_windows(self.database, now)
            if await actions.move_windows(self.database, current, now):
                current = await actions.read_windows(self.database, now)
            self.watch.windows = tuple(current)
            WINDOWS.set(len(current))
            await self._follow()
            await self._report_without_ids(now)
            await self._strike_ourselves()
            await self._look_up()

        await endure(pulse, turn)

    async def _look_up(self) -> None:
        """Wait until the next window opens or closes, something was discovered, or a quarter of a second."""
        due_at = next_step_at(self.watch.windows)
        left_s = LOOK_EVERY_S if due_at is None else (due_at - self.watch.venue_now()).total_seconds()
        try:
            async with asyncio.timeout(min(max(left_s, 0.005), LOOK_EVERY_S)):
                await self.watch.discovered.wait()
        except TimeoutError:
            return
        self.watch.discovered.clear()

    async def _follow(self) -> None:
        wanted = self.watch.tokens()
        if wanted.keys() != self.shelf.tokens:
            self.shelf.follow(wanted)
            await self.market.follow(wanted.keys())

    async def _report_without_ids(self, now: datetime) -> None:
        for window in self.watch.windows:
            key = (window.window_id, "without_ids")
            if window.opens_at > now or has_ids(window) or key in self.said:
                continue
            self.said.add(key)
            log.error("window_without_ids", window_id=window.window_id)
            await actions.alert(
                self.database,
                severity="ERROR",
                kind="window_without_ids",
                key=f"window_without_ids:{window.window_id}",
                details={"window_id": window.window_id, "opens_at": window.opens_at},
            )

    async def _strike_ourselves(self) -> None:
        """Write the deciding feed's first price as the strike of a window that has none yet, and say it is ours."""
        for window in self.watch.open_windows:
            if window.strike is not None:
                continue
            source = deciding_source(window.rule)
            strike = opening_price(self.tape.feed(source, window.instrument).readings, window.opens_at)
            if strike is not None:
                await actions.set_strike(
                    self.database, window.window_id, strike, source=f"own:{source.value}"
                )

    async def ask_strikes(self, pulse: LoopPulse) -> None:
        """Read the venue's price to beat of each running window until it appears."""

        async def turn() -> None:
            for window_id in await actions.strikes_wanted(self.database):
                pulse.tick()
                try:
                    listing = await self.reading.market(window_id)
                except VenueProblem as problem:
                    log.warning("strike_unread", window_id=window_id, reason=str(problem))
                    continue
                if listing is not None and listing.strike is not None:
                    await actions.set_strike(self.database, window_id, listing.strike, source="venue")
            await asyncio.sleep(STRIKE_EVERY_S)

        await endure(pulse, turn)

    async def announce(self, pulse: LoopPulse) -> None:
        """Wake whoever looks at markets, at most a hundred times a second (D6)."""

        async def turn() -> None:
            try:
                async with asyncio.timeout(1.0):
                    await self.watch.moved.wait()
            except TimeoutError:
                return
            moved = self.watch.take_moved()
            try:
                await actions.announce(self.database, moved)
            except BaseException:
                self.watch.announce(moved)
                raise
            await asyncio.sleep(ANNOUNCE_EVERY_S)

        await endure(pulse, turn)

    async def read_clock(self, pulse: LoopPulse) -> None:
        """Measure how far the venue's clock is ahead; it tells whole seconds, so readings are combined (C13)."""
        known: Clocked | None = None
        readings = 0

        async def turn() -> None:
            nonlocal known, readings
            try:
                said = await self.reading.venue_time()
            except VenueProblem as problem:
                log.warning("venue_clock_unread", reason=str(problem))
            else:
                readings += 1
                known = narrowed(
                    known, said=said.venue_at, asked_at=said.asked_at, answered_at=said.answered_at
                )
                self._take_offset(known, readings)
            await asyncio.sleep(CLOCK_FIRST_EVERY_S if readings < CLOCK_FIRST_READINGS else CLOCK_EVERY_S)

        await endure(pulse, turn)

    def _take_offset(self, known: Clocked, readings: int) -> None:
        offset_s = known.offset_s
        self.tape.feed(Source.POLYMARKET, EVERY).offset_ms = offset_s * 1000
        CLOCK_OFFSET_S.labels(Source.POLYMARKET.value).set(float(offset_s))
        if readings < CLOCK_FIRST_READINGS:
            return  # one reading alone is half a second wide
        self.watch.offset = timedelta(microseconds=int(offset_s * 1_000_000))
        self.watch.offset_error_ms = (known.most_s - known.least_s) * 500

    async def resolve(self, pulse: LoopPulse) -> None:
        """Ask the venue how each window ended, one second after its close and then ever more seldom (C9)."""
        asked: dict[WindowId, tuple[int, datetime]] = {}

        async def turn() -> None:
            now = self.watch.venue_now()
            waiting = await actions.unresolved(self.database, now)
            names = {window.window_id for window in waiting}
            for gone in asked.keys() - names:
                del asked[gone]
            hinted = self.watch.resolved.is_set()
            self.watch.resolved.clear()
            for window in waiting:
                attempt, last_at = asked.get(window.window_id, (0, window.closes_at))
                due_at = last_at + timedelta(seconds=resolution_wait_s(attempt))
                if (hinted or self.watch.venue_now() >= due_at) and now >= window.closes_at:
                    pulse.tick()
                    asked[window.window_id] = (attempt + 1, self.watch.venue_now())
                    await self._ask_resolution(window, attempt + 1)
            await self._until_hint()

        await endure(pulse, turn)

    async def _until_hint(self) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await self.watch.resolved.wait()
        except TimeoutError:
            return

    async def _ask_resolution(self, window: Window, attempt: int) -> None:
        assert window.condition_id is not None, "a window without ids never opens, so it never closes"
        said = await self.reading.resolutions(window.window_id, window.condition_id)
        new = await actions.save_resolutions(self.database, window, said.found)
        for source in new:
            RESOLUTIONS.labels(source).inc()
        log.info(
            "resolution_asked",
            window_id=window.window_id,
            attempt=attempt,
            told=[each.source for each in said.found],
            failed=list(said.failed),
        )
        late = self.watch.venue_now() - window.closes_at
        if not said.found and late > RESOLUTION_LATE and window.window_id not in self.overdue:
            self.overdue.add(window.window_id)
            log.error(
                "resolution_missing", window_id=window.window_id, attempt=attempt, late_s=late.total_seconds()
            )
        elif said.found:
            self.overdue.discard(window.window_id)
