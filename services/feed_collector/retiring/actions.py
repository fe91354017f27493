"""One function, one transaction: what becomes of old ticks."""

from datetime import date, datetime, timedelta
from functools import partial

from shared.db.engine import Database
from shared.db.queries import administration, archives, scheduled_work, ticks

BAR_SPAN = timedelta(minutes=2)
KEEP_TICKS = timedelta(days=7)


async def claim_retirement(database: Database, day: date, *, instance: str) -> bool:
    """Claim the day's retirement of old ticks; False when it is done or under way elsewhere (T5)."""
    async with database.begin() as tx:
        return await scheduled_work.claim_once(tx, "retire_ticks", done_for=day.isoformat(), by=instance)


async def give_back_retirement(database: Database, day: date, *, instance: str) -> None:
    """Leave the day's retirement to be claimed again: it failed."""
    async with database.begin() as tx:
        await scheduled_work.give_back(tx, "retire_ticks", done_for=day.isoformat(), by=instance)


async def old_days(database: Database) -> list[datetime]:
    """Return the beginnings of the recorded days past retention, oldest first."""
    return await database.retry_read(lambda tx: ticks.list_days_before(tx, keep=KEEP_TICKS))


async def make_bars(database: Database, *, since: datetime, until: datetime) -> None:
    """Fold the ticks of some whole minutes into bars (B16), in spans, for a day would outlast a statement's limit."""
    while since < until:
        async with database.begin() as tx:
            await ticks.make_bars(tx, since=since, until=min(since + BAR_SPAN, until))
        since += BAR_SPAN


async def set_archive(database: Database, address: str | None) -> None:
    """Say where days are archived before they are dropped; the Book refuses to drop others from then on (B16)."""
    async with database.begin() as tx:
        await archives.set_policy(tx, address)


async def is_archived(database: Database, day: date) -> bool:
    """Return whether a day has its archive."""
    find = partial(archives.list_archived, since=day, until=day + timedelta(days=1))
    return bool(await database.retry_read(find))


async def save_archived(database: Database, archived: archives.ArchivedDay) -> bool:
    """Say that a day is archived, if it still is what was archived; raises DayChanged when it is not."""
    async with database.begin() as tx:
        return await archives.insert_once(tx, archived)


async def drop_old_ticks(database: Database) -> list[str]:
    """Drop the days past retention, where days are archived only archived ones; returns what was dropped (C12)."""
    async with database.begin() as tx:
        return await administration.drop_partitions(tx, keep_days=KEEP_TICKS.days)
