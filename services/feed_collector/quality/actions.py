"""One function, one transaction: what is written of the recording's own quality."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from shared.db.engine import Database
from shared.db.queries import divergences, lag_signals, quality
from shared.domain.clocks import MeasuredClock
from shared.domain.ids import Instrument
from shared.domain.ticks import Source
from shared.domain.windows import Window

MEASURE_AFTER = timedelta(seconds=10)
"""So long after a close the feeds' last words of a window have come."""
MEASURE_BEHIND = timedelta(hours=6)


async def write_divergences(
    database: Database, news: Sequence[divergences.DivergenceBegun | divergences.DivergenceEnded]
) -> None:
    """Write where feeds came apart and where they met again (C8)."""
    async with database.begin() as tx:
        await divergences.write(tx, news)


async def read_database_clock(database: Database) -> datetime:
    """Return the database's time."""
    return await database.retry_read(quality.read_clock)


async def write_clocks(database: Database, rows: Sequence[MeasuredClock]) -> None:
    """Write how far every clock is from the database's (C13)."""
    async with database.begin() as tx:
        await quality.write_clocks(tx, rows)


async def unmeasured(database: Database, venue_now: datetime) -> list[Window]:
    """Return the windows that ended a little while ago and whose completeness nobody has counted."""
    return await database.retry_read(
        lambda tx: quality.list_unmeasured(
            tx, closed_before=venue_now - MEASURE_AFTER, closed_after=venue_now - MEASURE_BEHIND
        )
    )


async def measure_window(database: Database, window: Window, feeds_expected: Sequence[Source]) -> int:
    """Count what a window received against what it should have (C14); returns how many feeds."""
    async with database.begin() as tx:
        return await quality.measure(tx, window, expected=feeds_expected)


async def read_pair(
    database: Database,
    fast: Source,
    slow: Source,
    instrument: Instrument,
    *,
    since: datetime,
    until: datetime,
) -> tuple[quality.Series, quality.Series]:
    """Return the ticks of two feeds within some time, for statistics."""
    series = [
        await database.retry_read(
            partial(quality.read_series, source=source, instrument=instrument, since=since, until=until)
        )
        for source in (fast, slow)
    ]
    return series[0], series[1]


async def write_lag(database: Database, row: quality.LagRow) -> None:
    """Write one analysis of two feeds (C15)."""
    async with database.begin() as tx:
        await quality.insert_lag(tx, row)


async def write_lag_signals(database: Database, signals: Sequence[lag_signals.LagSignal]) -> None:
    """Write what was expected of the oracle and what came of it (C15)."""
    async with database.begin() as tx:
        await lag_signals.write(tx, signals)
