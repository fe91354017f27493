"""Wiring of feed_collector. ``python -m services.feed_collector``"""

import random
from collections.abc import Sequence

from services.feed_collector import actions
from services.feed_collector.closing import CloseRecorder
from services.feed_collector.config import CollectorSettings
from services.feed_collector.feeds.ground import Ground
from services.feed_collector.feeds.plans import expected, feed_loops
from services.feed_collector.keeping import HOUSE_EVERY_S, Keeper
from services.feed_collector.loops import Collector
from services.feed_collector.quality.judging import Quality
from services.feed_collector.retiring.days import Retirement
from services.feed_collector.shelf import Shelf
from services.feed_collector.tape import Tape
from services.feed_collector.watch import Watch
from services.feed_collector.writer import Writer, wait_for_capture
from shared.db.engine import Database
from shared.db.schema import require_schema
from shared.domain.ticks import PriceTick, Source
from shared.observability.health import Check
from shared.runtime.service import Loop, Process, Wiring, run_service
from shared.venue.market_pair import MarketPair
from shared.venue.reading import PublicReading

DRAIN_S = 5.0
PATIENT_S = 60.0
"""A loop that asks the venue may wait that long for its answers."""


async def setup(process: Process[CollectorSettings]) -> Wiring:
    """Wait for the capture lock, then watch."""
    settings, clock = process.settings, process.clock
    database = await Database.connect(settings.database_url, application_name=process.name, clock=clock)
    process.on_exit(database.close)
    await database.retry_read(require_schema)
    session = await wait_for_capture(database, settings.instruments)
    process.on_exit(session.close)
    reading = await process.closing.enter_async_context(PublicReading(settings.venue_urls, clock))
    watch = Watch(clock)
    tape = Tape(await actions.start(database))
    shelf = Shelf(tape)

    def stored(ticks: Sequence[PriceTick]) -> None:
        watch.announce_instruments(tick.instrument for tick in ticks if tick.source is not Source.POLYMARKET)

    writer = Writer(
        database,
        session,
        tape,
        clock,
        instruments=settings.instruments,
        instance=settings.instance,
        stored=stored,
    )
    retirement = Retirement(database, settings.instance, settings.archive_address)
    await retirement.announce()
    keeper = Keeper(
        database,
        tape,
        shelf,
        watch,
        writer,
        clock,
        settings.instance,
        expected(settings),
        clock.now(),
        retirement,
    )
    await keeper.keep_partitions(clock.now().date())
    await keeper.write_status()
    process.on_exit(keeper.write_status)
    chance = random.Random(f"{settings.instance}:{clock.boottime()}")  # noqa: S311 jitter is no secret
    market = MarketPair(settings.market_stream_url, clock, chance)
    ground = Ground(settings, clock, chance, database, reading, tape, shelf, watch, market)
    collector = Collector(settings, database, reading, tape, shelf, watch, clock, market)
    recorder = CloseRecorder(database, tape, shelf, watch, clock)
    quality = Quality(database, tape, shelf, watch, clock, keeper.expected)
    loops = [
        *feed_loops(ground),
        Loop("write_ticks", writer.run, drain_s=DRAIN_S),
        *_window_loops(collector),
        Loop("watch_closes", recorder.watch_closes),
        Loop("write_closes", recorder.write_closes),
        *_keeping_loops(keeper),
        *_quality_loops(quality),
    ]
    return Wiring(loops=loops, checks=_checks(keeper), extra=keeper.describe)


def _checks(keeper: Keeper) -> dict[str, Check]:
    """Return what /health asks (O1)."""
    return {
        "database": keeper.database.check,
        "breaker": keeper.check_breaker,
        "primary_feed": keeper.check_primary,
        "capture": keeper.check_capture,
    }


def _window_loops(collector: Collector) -> list[Loop]:
    """Return what follows the windows."""
    return [
        Loop("discover", collector.discover, stale_after_s=PATIENT_S),
        Loop("advance", collector.advance),
        Loop("ask_strikes", collector.ask_strikes, stale_after_s=PATIENT_S),
        Loop("announce", collector.announce),
        Loop("read_clock", collector.read_clock, stale_after_s=PATIENT_S),
        Loop("resolve", collector.resolve, stale_after_s=PATIENT_S),
    ]


def _keeping_loops(keeper: Keeper) -> list[Loop]:
    """Return the regular work around the feeds."""
    return [
        Loop("status", keeper.keep_status),
        Loop("snapshots", keeper.keep_snapshots),
        Loop("house", keeper.keep_house, stale_after_s=2 * HOUSE_EVERY_S),
        Loop("beat", keeper.beat),
    ]


def _quality_loops(quality: Quality) -> list[Loop]:
    """Return what judges the recording while it is made."""
    return [
        Loop("divergences", quality.keep_divergences),
        Loop("clocks", quality.keep_clocks, stale_after_s=PATIENT_S),
        Loop("completeness", quality.keep_completeness, stale_after_s=PATIENT_S),
        Loop("lags", quality.keep_lags, stale_after_s=PATIENT_S),
    ]


if __name__ == "__main__":
    run_service("feed_collector", CollectorSettings, setup)
