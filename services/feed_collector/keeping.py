"""The regular work around the feeds: how they are, books' history, closes, partitions, the heartbeat."""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from services.feed_collector import actions
from services.feed_collector.decide import stale_since, summarise
from services.feed_collector.metrics import FEED_AGE_S, SNAPSHOTS
from services.feed_collector.rates import Rates
from services.feed_collector.retiring.days import Retirement
from services.feed_collector.shelf import Shelf
from services.feed_collector.tape import EVERY, FeedNews, Tape
from services.feed_collector.watch import Watch
from services.feed_collector.writer import Writer
from shared.db.engine import Database
from shared.db.patience import endure
from shared.db.queries.books import SnapshotRow
from shared.db.queries.feeds import FeedRow
from shared.domain.ids import Instrument, TokenId
from shared.domain.ticks import PRIMARY, STALE_AFTER, Source
from shared.domain.windows import Window
from shared.observability.health import CheckResult
from shared.observability.logs import get_logger
from shared.runtime.clock import Clock
from shared.runtime.pulse import LoopPulse

STATUS_EVERY_S = 0.5
SNAPSHOT_EVERY_S = 1.0
BEAT_EVERY_S = 2.0
HOUSE_EVERY_S = 60.0
PARTITIONS_AT = timedelta(minutes=5)
"""After midnight UTC (C12)."""
SNAPSHOTS_OF = "order_book_snapshots"
"""The name of the books' history among the rates."""
PRIMARY_AGE_MAX = timedelta(seconds=30)
"""A collector whose primary feed is older is not fit to trade on (O1)."""

log = get_logger()


@dataclass(slots=True)
class Keeper:
    """What these loops share."""

    database: Database
    tape: Tape
    shelf: Shelf
    watch: Watch
    writer: Writer
    clock: Clock
    instance: str
    expected: Sequence[tuple[Source, Instrument]]
    """The feeds that should speak all the time."""
    started_at: datetime
    retirement: Retirement
    snapshots: Counter[Instrument] = field(default_factory=Counter)
    """Lines appended to the books' history by this process."""
    rates: Rates = field(default_factory=Rates)
    per_second: Mapping[str, Decimal] = field(default_factory=dict)
    """Prices a second by feed and symbol, and lines of the books' history by symbol, over the last ten seconds."""

    async def keep_status(self, pulse: LoopPulse) -> None:
        """Write how the feeds are, twice a second; a silence begins a gap (C1, C11)."""

        async def turn() -> None:
            await self.write_status()
            await asyncio.sleep(STATUS_EVERY_S)

        await endure(pulse, turn)

    async def write_status(self) -> None:
        """Write how the feeds are now."""
        now = self.clock.now()
        rows = [news.take_row(self._stale_since(key, now)) for key, news in self._all_news()]
        for row in rows:
            if row.last_received_at is not None:
                FEED_AGE_S.labels(row.feed.value, row.instrument).set(
                    (now - row.last_received_at).total_seconds()
                )
        try:
            gaps = await actions.write_feeds(self.database, rows, now)
        except BaseException:
            self._give_back(rows)
            raise
        for feed, instrument in gaps.begun:
            log.warning("gap_begun", feed=feed.value, symbol=instrument)
        for feed, instrument in gaps.ended:
            log.info("gap_ended", feed=feed.value, symbol=instrument)
        await self._write_changes()

    async def _write_changes(self) -> None:
        """Append what the oracle changed since the last time (C7)."""
        changes = self.tape.take_changes()
        if not changes:
            return
        try:
            await actions.write_oracle_changes(self.database, changes)
        except BaseException:
            self.tape.give_back_changes(changes)
            raise

    def _all_news(self) -> list[tuple[tuple[Source, Instrument], FeedNews]]:
        for source, instrument in self.expected:
            self.tape.feed(source, instrument)
        return list(self.tape.news.items())

    def _stale_since(self, key: tuple[Source, Instrument], now: datetime) -> datetime | None:
        """Return since when a feed that should speak does not."""
        source, instrument = key
        if instrument == EVERY or not self._should_speak(source, instrument):
            return None
        news = self.tape.feed(source, instrument)
        return stale_since(news.last_received_at, self.started_at, now, STALE_AFTER[source])

    def _should_speak(self, source: Source, instrument: Instrument) -> bool:
        if source is Source.POLYMARKET:
            # Without an open window there is nothing to be said.
            return any(window.instrument == instrument for window in self.watch.open_windows)
        return (source, instrument) in self.expected

    def _give_back(self, rows: Sequence[FeedRow]) -> None:
        for row in rows:
            self.tape.feed(row.feed, row.instrument).give_back(row)

    async def keep_snapshots(self, pulse: LoopPulse) -> None:
        """Append a line to each sound book's history every second (C6)."""

        async def turn() -> None:
            now = self.clock.now()
            rows = [
                row
                for window, token in self.shelf.followed()
                if (row := self._snapshot(window, token, now)) is not None
            ]
            if rows:
                await actions.write_snapshots(self.database, rows)
                SNAPSHOTS.inc(len(rows))
                self.snapshots.update(row.instrument for row in rows)
            await asyncio.sleep(SNAPSHOT_EVERY_S)

        await endure(pulse, turn)

    def _snapshot(self, window: Window, token: TokenId, now: datetime) -> SnapshotRow | None:
        book = self.shelf.book(token)
        if book is None or not book.continuous:
            return None
        numbers = summarise(book)
        return SnapshotRow(
            at=now,
            instrument=window.instrument,
            token_id=book.token_id,
            best_bid=numbers.best_bid,
            best_ask=numbers.best_ask,
            spread=numbers.spread,
            mid=numbers.mid,
            bid_depth_100=numbers.bid_depth_100,
            ask_depth_100=numbers.ask_depth_100,
            bid_depth_500=numbers.bid_depth_500,
            ask_depth_500=numbers.ask_depth_500,
        )

    async def keep_house(self, pulse: LoopPulse) -> None:
        """Make partitions ahead and retire old ticks once a day, five past midnight UTC (C12)."""
        done_for: date | None = None

        async def turn() -> None:
            nonlocal done_for
            day = (self.clock.now() - PARTITIONS_AT).date()
            if day != done_for and await self.keep_partitions(day):
                done_for = day
            await self.retirement.make_recent_bars(self.clock.now())
            await actions.forget_books(self.database)
            await actions.forget_batches(self.database)
            await asyncio.sleep(HOUSE_EVERY_S)

        await endure(pulse, turn)

    async def keep_partitions(self, day: date) -> bool:
        """Do the day's work on the partitions; False when it failed: capture goes on, and it is tried again."""
        try:
            made = await actions.ensure_partitions(self.database)
            dropped = await self.retirement.retire(day)
        except Exception:  # whatever it is, it must not stop the capture
            log.critical("partitions_failed", exc_info=True)
            return False
        log.info("partitions_kept", made=made, dropped=dropped)
        return True

    async def beat(self, pulse: LoopPulse) -> None:
        """Say every two seconds that the collector lives, and whether it is fit (R11)."""

        async def turn() -> None:
            primary = await self.check_primary()
            self.per_second = self.rates.note(Decimal(str(self.clock.monotonic())), self._totals())
            await actions.beat(
                self.database,
                instance=self.instance,
                healthy=primary.ok and self.writer.trip_owed is None,
                details={
                    "primary_feed": primary.detail,
                    "ticks_waiting": self.tape.waiting,
                    "ticks_dropped": self.tape.dropped,
                    "ticks_failed": self.writer.account.failed,
                    "per_second": self.per_second,
                    "snapshots_wanted": self._snapshots_wanted(),
                },
            )
            await asyncio.sleep(BEAT_EVERY_S)

        await endure(pulse, turn)

    def _totals(self) -> dict[str, int]:
        """Return what has been received and kept so far, by the names under which rates are told."""
        feeds = {
            f"{news.source.value}/{news.instrument}": news.received
            for news in self.tape.news.values()
            if news.instrument != EVERY
        }
        return feeds | {f"{SNAPSHOTS_OF}/{symbol}": lines for symbol, lines in self.snapshots.items()}

    def _snapshots_wanted(self) -> dict[str, int]:
        """Return how many lines of the books' history each symbol should get a second: one a followed token (C6)."""
        return Counter(str(window.instrument) for window, _ in self.shelf.followed())

    async def check_primary(self) -> CheckResult:
        """Answer whether every instrument's primary feed is at most 30 s old."""
        now = self.clock.now()
        silent = [
            instrument
            for source, instrument in self.expected
            if source is PRIMARY
            and stale_since(
                self.tape.feed(source, instrument).last_received_at, self.started_at, now, PRIMARY_AGE_MAX
            )
        ]
        heard = all(
            self.tape.feed(source, instrument).last_received_at is not None
            for source, instrument in self.expected
            if source is PRIMARY
        )
        if silent or not heard:
            return CheckResult(
                ok=False, detail=f"{PRIMARY.value} is silent: {', '.join(silent) or 'nothing heard yet'}"
            )
        return CheckResult(ok=True)

    async def check_breaker(self) -> CheckResult:
        """Answer whether every account's breaker is closed (O1): the collector serves all of them."""
        tripped = [f"{account}/{mode}" for account, mode in await actions.open_breakers(self.database)]
        return CheckResult(ok=not tripped, detail=f"open: {', '.join(tripped)}" if tripped else "")

    async def check_capture(self) -> CheckResult:
        """Answer whether prices reach the Book."""
        if self.writer.trip_owed is not None:
            return CheckResult(ok=False, detail=f"prices cannot be stored: {self.writer.trip_owed}")
        return CheckResult(ok=True, detail=f"{self.tape.waiting} prices wait")

    async def describe(self) -> dict[str, object]:
        """Return what /health shows besides its checks: the gaps of a day, the feeds' ages, the windows."""
        now = self.clock.now()
        gaps = await actions.gaps_of_day(self.database, now)
        return {
            "data_gaps": [
                {
                    "feed": gap.feed.value,
                    "symbol": gap.instrument,
                    "from": gap.started_at.isoformat(),
                    "to": None if gap.ended_at is None else gap.ended_at.isoformat(),
                }
                for gap in gaps[-20:]
            ],
            "capture": dataclasses.asdict(self.writer.account),
            "per_second": {name: str(rate) for name, rate in self.per_second.items()},
            "snapshots_wanted_per_s": self._snapshots_wanted(),
            "feeds": {
                f"{news.source.value}/{news.instrument}": round(
                    (now - news.last_received_at).total_seconds(), 3
                )
                for news in self.tape.news.values()
                if news.last_received_at is not None
            },
            "windows": [window.window_id for window in self.watch.open_windows],
            "books_in_doubt": len(self.shelf.doubtful()),
            "venue_clock_offset_ms": round(self.watch.offset.total_seconds() * 1000),
        }
