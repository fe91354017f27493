"""`make record`: capture every feed and trade nothing, for as long as you like.

It brings the Book of DATABASE_URL (else the local one) to the newest schema, keeps the collector alone alive, says
every second what comes in, and ends on Ctrl-C with what was recorded. Feeds and venue are the real ones unless their
variables say otherwise; without FEED_API_… the oracle of PolyBolt is not recorded, and a line says so.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console

from deploy.local import embedded
from deploy.local.demo_world import role_url
from deploy.local.processes import ProcessRefused, Program, Supervisor, clean_environment, run_once
from services.feed_collector.config import CollectorSettings
from shared.db.engine import Database
from shared.db.patience import is_passing
from shared.db.queries import failed_batches, feeds
from shared.db.queries.feeds import FeedRow
from shared.observability.logs import configure_logs
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.service import StartRefused

FOLDER = Path("var/record")
LOCAL_DATABASE = Path("var/postgres")
LOOK_EVERY_S = 1.0
PAGE_EVERY = 10
"""Where nobody watches (a file, a pipe) one line in so many is enough."""
MIGRATED_WITHIN_S = 180.0


@dataclass(frozen=True, slots=True)
class Look:
    """What the Book says of the recording at one moment."""

    at: datetime
    feeds: Sequence[FeedRow]
    gaps: int
    failed_rows: int

    @property
    def ticks(self) -> int:
        return sum(row.ticks for row in self.feeds)


async def look(database: Database, now: datetime, since: datetime) -> Look:
    """Read the feeds, the gaps since the start and what waits to be stored."""
    waiting = await database.retry_read(failed_batches.list_waiting)
    return Look(
        now,
        [row for row in await database.retry_read(feeds.list_all) if row.instrument != "*"],
        len(await database.retry_read(lambda tx: feeds.list_gaps(tx, since=since))),
        sum(batch.rows for batch in waiting),
    )


def status_line(before: Look | None, now: Look) -> str:
    """Return one line: each feed's ticks a second and age, then what is wrong, if anything is."""
    counted = {(row.feed, row.instrument): row.ticks for row in before.feeds} if before else {}
    seconds = (now.at - before.at).total_seconds() if before else 0.0
    parts = []
    for row in now.feeds:
        rate = (row.ticks - counted.get((row.feed, row.instrument), row.ticks)) / seconds if seconds else 0.0
        heard = row.last_received_at
        age = "never" if heard is None else f"{max((now.at - heard).total_seconds(), 0.0):.1f} s ago"
        mark = " STALE" if row.stale_since is not None else ""
        parts.append(f"{row.instrument} {row.feed.value} {rate:.0f}/s, {age}{mark}")
    return (
        f"{now.at:%H:%M:%S}  {' · '.join(parts) or 'nothing heard yet'}  |  {now.ticks:,} ticks, {now.gaps} gaps,"
        f" {now.failed_rows} rows put aside"
    )


def collector_environment(environment: Mapping[str, str], database_url: str) -> dict[str, str]:
    """Return what the collector is started with: its own settings as they are given here, and nothing else of ours."""
    names = [name.upper() for name in CollectorSettings.model_fields if name != "database_url"]
    given = {name: environment[name] for name in names if name in environment}
    return {**clean_environment(), **given, "DATABASE_URL": database_url}


async def record(environment: Mapping[str, str], console: Console, clock: Clock) -> int:
    """Record until told to stop; returns the exit status."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    server = await asyncio.to_thread(embedded.use_or_start, environment, LOCAL_DATABASE)
    try:
        console.print("→ bringing the Book to the newest schema")
        migration = {**clean_environment(), "DATABASE_URL": server.url}
        await run_once(
            Program("migrations", "alembic", migration, ("upgrade", "head")), within_s=MIGRATED_WITHIN_S
        )
        # The local server trusts whoever reaches it; elsewhere the address given is used as it is.
        url = role_url(server.url, "feed_collector")
        program = Program(
            "feed_collector", "services.feed_collector", collector_environment(environment, url)
        )
        await _Recording(program, url, console, clock, stopping).run()
    finally:
        await asyncio.to_thread(server.stop)
    return 0


@dataclass(frozen=True, slots=True)
class _Recording:
    """The collector while it runs, and who looks at it."""

    program: Program
    url: str
    console: Console
    clock: Clock
    stopping: asyncio.Event

    async def run(self) -> None:
        """Keep the collector alive and say how it does until we are to stop."""
        say = self.console.print
        say(f"→ recording; the collector's log is {FOLDER / 'logs' / 'feed_collector.log'}; Ctrl-C ends it")
        if "FEED_API_KEY" not in self.program.environment:
            say("  FEED_API_KEY is not set: PolyBolt's oracle prices are not recorded")
        supervisor = Supervisor(FOLDER / "logs", self.clock)
        database = await Database.connect(self.url, application_name="record", pool_max=1)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(supervisor.keep(self.program))
                try:
                    await self._tell(database)
                finally:
                    supervisor.stop()
            await self._sum_up(database)
        finally:
            await database.close()

    async def _tell(self, database: Database) -> None:
        started_at, before, lines = self.clock.now(), None, 0
        while not self.stopping.is_set():
            try:
                now = await look(database, self.clock.now(), started_at)
            except Exception as error:
                if not is_passing(error):
                    raise
                self.console.print(f"the database does not answer ({type(error).__name__}); prices wait")
            else:
                line = status_line(before, now)
                if self.console.is_terminal:
                    self.console.print(line, end="\r", overflow="crop", no_wrap=True)
                elif lines % PAGE_EVERY == 0:
                    self.console.print(line, soft_wrap=True)
                before, lines = now, lines + 1
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self.stopping.wait()

    async def _sum_up(self, database: Database) -> None:
        now = self.clock.now()
        end = await look(database, now, now - timedelta(days=1))
        lines = [f"recorded so far: {end.ticks:,} ticks of {len(end.feeds)} feeds"]
        lines += [
            f"  {row.instrument} {row.feed.value}: {row.ticks:,} ticks, {row.duplicates} duplicates,"
            f" {row.out_of_order} out of order, {row.malformed} not understood"
            for row in end.feeds
        ]
        lines.append(
            f"{end.gaps} gaps in the last 24 h (`make check-gaps`),"
            f" {end.failed_rows} rows put aside (`make replay-batches`)"
        )
        self.console.print("\n" + "\n".join(lines), soft_wrap=True)


def main() -> int:
    """Record; 1 when it cannot, with the reason."""
    console = Console(highlight=False)
    configure_logs("record", level="ERROR", stream=sys.stderr)
    try:
        return asyncio.run(record(os.environ, console, SystemClock()))
    except* (ProcessRefused, StartRefused, embedded.EmbeddedFailed) as refused:
        for error in refused.exceptions:
            console.print(f"it cannot record: {error}", style="bold red", soft_wrap=True)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
