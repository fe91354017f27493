"""One reader of recorded ticks: the same rows in the same order, from the Book or from a day's archive (B16)."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, date, datetime, timedelta
from functools import partial

from shared.db.engine import Database
from shared.db.queries import archives
from shared.db.queries.archives import ArchivedDay, StoredTick
from shared.db.tick_archive import read_day
from shared.domain.ids import Instrument

PAGE_ROWS = 5_000
_DAY = timedelta(days=1)


class DayLost(Exception):
    """A day of the span is neither in the Book nor archived: a reader must not take it for a quiet one."""


async def read_ticks(
    database: Database, *, since: datetime, until: datetime, instrument: Instrument | None = None
) -> AsyncGenerator[list[StoredTick]]:
    """Yield the ticks received in [since, until) in order of receipt, in pages; whoever calls closes the generator.

    Raises DayLost, and ArchiveDamaged for an archive that has changed.
    """
    placed = await database.retry_read(archives.list_places)
    archived = {
        each.day: each
        for each in await database.retry_read(
            partial(archives.list_archived, since=since.date(), until=until.date() + _DAY)
        )
    }
    begin = since
    while begin < until:
        day = begin.astimezone(UTC).date()
        end = min(_midnight(day + _DAY), until)
        if day in placed:
            async for page in _from_book(database, begin, end, instrument):
                yield page
        elif day in archived:
            async for page in _from_archive(archived[day], begin, end, instrument):
                yield page
        else:
            raise DayLost(f"no ticks of {day}: it was dropped without an archive, or never recorded")
        begin = end


async def _from_book(
    database: Database, begin: datetime, end: datetime, instrument: Instrument | None
) -> AsyncGenerator[list[StoredTick]]:
    after = (begin, -1)
    while True:
        page = await database.retry_read(
            partial(archives.page, after=after, until=end, limit=PAGE_ROWS, instrument=instrument)
        )
        if page:
            yield page
            after = page[-1].place
        if len(page) < PAGE_ROWS:
            return


async def _from_archive(
    archived: ArchivedDay, begin: datetime, end: datetime, instrument: Instrument | None
) -> AsyncGenerator[list[StoredTick]]:
    batches = read_day(archived)
    while (batch := await asyncio.to_thread(next, batches, None)) is not None:
        wanted = [
            each
            for each in batch
            if begin <= each.tick.received_at < end
            and (instrument is None or each.tick.instrument == instrument)
        ]
        if wanted:
            yield wanted


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
