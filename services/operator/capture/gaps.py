"""``check-gaps``: where the recording was silent for over a minute, by its ticks and by what the collector noticed."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated

import typer

from services.operator.console import fail, in_book, say
from shared.db.engine import Database
from shared.db.queries import feeds, holes
from shared.runtime.clock import SystemClock

LONGEST = timedelta(minutes=1)
"""A silence beyond this fails the check (C11, stage 3)."""


@dataclass(frozen=True, slots=True)
class Silence:
    """One gap, and who says so: ``ticks`` (nothing is stored) or ``collector`` (nothing came)."""

    feed: str
    symbol: str
    since: datetime
    until: datetime | None
    seen_by: str

    def __str__(self) -> str:
        end = "now" if self.until is None else f"{self.until:%Y-%m-%d %H:%M:%S}"
        return f"{self.feed} {self.symbol}: {self.since:%Y-%m-%d %H:%M:%S} to {end} ({self.seen_by})"


async def find_gaps(database: Database, now: datetime, span: timedelta) -> tuple[int, list[Silence]]:
    """Return how many feeds were looked at and every silence over a minute that lasted into ``span`` before ``now``."""
    since = now - span
    recorded = await database.retry_read(holes.list_recorded)
    found: list[Silence] = []
    for feed, instrument in recorded:
        find = partial(
            holes.list_holes, feed=feed, instrument=instrument, since=since, until=now, longer_than=LONGEST
        )
        found += [
            Silence(hole.feed.value, hole.instrument, hole.since, hole.until, "ticks")
            for hole in await database.retry_read(find)
        ]
    found += [
        Silence(gap.feed.value, gap.instrument, gap.started_at, gap.ended_at, "collector")
        for gap in await database.retry_read(lambda tx: feeds.list_gaps(tx, since=since))
        if (gap.ended_at or now) - gap.started_at > LONGEST
    ]
    return len(recorded), sorted(found, key=lambda each: (each.since, each.feed, each.symbol, each.seen_by))


def check_gaps(
    hours: Annotated[int, typer.Option(min=1, max=24 * 30, help="how far to look back")] = 24,
) -> None:
    """List the gaps over a minute of the last 24 hours; fails if there is one, or if nothing is recorded."""
    now = SystemClock().now()
    looked_at, found = in_book(lambda database: find_gaps(database, now, timedelta(hours=hours)))
    for each in found:
        lasted_s = ((each.until or now) - each.since).total_seconds()
        say(f"{lasted_s:>10.1f} s  {each}")
    if found:
        fail(f"{len(found)} gaps over a minute in the last {hours} h")
    if not looked_at:
        fail("nothing is recorded: no feed has ever spoken")
    say(f"no gap over a minute in the last {hours} h, {looked_at} feeds")
