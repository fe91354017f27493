"""What becomes of old ticks: bars, an archive where one is wanted, and only then their partition's end (B16, C12)."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from services.feed_collector.metrics import ARCHIVED_DAYS
from services.feed_collector.retiring import actions
from shared.db.engine import Database
from shared.db.queries.archives import ArchivedDay
from shared.db.tick_archive import DayWriter
from shared.db.tick_reader import read_ticks
from shared.observability.logs import get_logger

_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
BARS_BEHIND = timedelta(minutes=3)

log = get_logger()


@dataclass(frozen=True, slots=True)
class Retirement:
    """Retires days of ticks; ``address`` None: without an archive."""

    database: Database
    instance: str
    address: str | None

    async def announce(self) -> None:
        """Write down where days are archived: from then on nobody drops one that is not."""
        await actions.set_archive(self.database, self.address)

    async def retire(self, today: date) -> list[str]:
        """Fold the days past retention into bars, archive and drop them, once a day whoever asks; returns the dropped.

        What fails is left to be claimed again; nothing is dropped before it is safe.
        """
        if not await actions.claim_retirement(self.database, today, instance=self.instance):
            return []
        try:
            for begin in await actions.old_days(self.database):
                await actions.make_bars(self.database, since=begin, until=begin + _DAY)
                if self.address is not None:
                    await archive_day(self.database, self.address, begin.astimezone(UTC).date())
            return await actions.drop_old_ticks(self.database)
        except BaseException:
            await actions.give_back_retirement(self.database, today, instance=self.instance)
            raise

    async def make_recent_bars(self, now: datetime) -> None:
        """Fold the last whole minutes into bars."""
        minute = now.replace(second=0, microsecond=0)
        await actions.make_bars(self.database, since=minute - BARS_BEHIND, until=minute)


async def archive_day(database: Database, address: str, day: date) -> ArchivedDay | None:
    """Write a closed day to its archive, read it back, and say so in the Book; None when it is there already.

    Raises ArchiveDamaged when what was written does not come back, DayChanged when the day grew meanwhile.
    """
    if await actions.is_archived(database, day):
        return None
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    writer = await asyncio.to_thread(DayWriter, address, day)
    try:
        async with aclosing(read_ticks(database, since=begin, until=begin + _DAY)) as pages:
            async for page in pages:
                await asyncio.to_thread(writer.add, page)
    except BaseException:
        writer.abandon()
        raise
    archived = await asyncio.to_thread(writer.finish)
    await actions.save_archived(database, archived)
    ARCHIVED_DAYS.inc()
    log.info("day_archived", day=str(day), rows=archived.rows, bytes=archived.size_bytes)
    return archived
