"""Postgres killed under the writer's hands: received = stored + failed + counted drops, exactly (C3).

A server of its own, killed with SIGKILL, postmaster and backends. Mid-COMMIT is made certain by a synchronous standby
that does not exist: the server has flushed the commit, and answers nobody.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from deploy.local import embedded
from services.feed_collector import tape as tape_module
from services.feed_collector.tape import Tape
from services.feed_collector.writer import Writer, wait_for_capture
from shared.db.engine import Database
from shared.domain.ids import Instrument
from shared.domain.ticks import PriceTick, Source
from shared.runtime.clock import SystemClock
from shared.runtime.pulse import LoopPulse
from tests.conftest import RUN_FOLDER_VARIABLE, migrate

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
BTC = Instrument("BTC")
CLOCK = SystemClock()
QUEUE_MAX = 3_000
WITHIN_S = 40.0
POISON = Decimal("1e15")
"""More than the column holds: the batch it is in can only be put aside."""


@dataclass
class Server:
    """A Postgres that may be killed and comes back on the same port with what it had flushed."""

    folder: Path
    running: embedded.Embedded

    @property
    def port(self) -> int:
        return int(self.running.url.rpartition(":")[2].partition("/")[0])

    def kill(self) -> None:
        """SIGKILL for the postmaster and every backend: nobody gets to say goodbye."""
        assert self.running.pid is not None
        for pid in (self.running.pid, *children(self.running.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def come_back(self) -> None:
        (self.folder / "postmaster.pid").unlink(missing_ok=True)
        settings = self.folder / "postgresql.auto.conf"
        settings.write_text("")
        self.running = embedded.start(self.folder, port=self.port)

    def one(self, statement: str) -> Any:
        with psycopg.connect(self.running.url, autocommit=True) as connection:
            row = connection.execute(statement).fetchone()
        assert row is not None
        return row[0]

    def hold_commits(self) -> None:
        """From now on a COMMIT is flushed and never answered."""
        with psycopg.connect(self.running.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            connection.execute("SELECT pg_reload_conf()")

    def holds_a_commit(self) -> bool:
        held = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        return bool(self.one(held))


def children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError, ValueError):
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(after_name[1]) == parent:
                    found.append(int(entry.name))
    return found


@pytest.fixture
def server() -> Iterator[Server]:
    folder = Path(os.environ[RUN_FOLDER_VARIABLE]) / "killed"
    made = Server(folder, embedded.start(folder))
    migrate(made.running.url)
    yield made
    made.running.stop()


class Line:
    """A tape that prices come in on all the time, and the writer that stores them."""

    def __init__(self, database: Database, writer: Writer, tape: Tape) -> None:
        self.database = database
        self.writer = writer
        self.tape = tape
        self.pulse = LoopPulse("write_ticks", CLOCK, 15.0)
        self.serial = 0
        self.poison = 0
        self.ended = asyncio.Event()

    async def speak(self) -> None:
        """A few prices a millisecond, as a busy feed does."""
        while not self.ended.is_set():
            for _ in range(4):
                self.serial += 1
                now = CLOCK.now()
                price = Decimal(60_000) + self.serial
                if self.poison:
                    self.poison, price = self.poison - 1, POISON
                tick = PriceTick(BTC, Source.BINANCE, price, now - timedelta(milliseconds=40), now)
                self.tape.mid(PriceTick(*_fields(tick), trade_id=str(self.serial)))
            await until_turn()

    async def until(self, what: str, look: Callable[[], Any]) -> None:
        try:
            async with asyncio.timeout(WITHIN_S):
                while not await asyncio.to_thread(look):
                    await until_turn()
        except TimeoutError:
            raise AssertionError(f"did not happen: {what}; {self.writer.account}") from None


def _fields(tick: PriceTick) -> tuple[Any, ...]:
    return (tick.instrument, tick.source, tick.price, tick.source_at, tick.received_at, tick.token_id)


async def until_turn() -> None:
    """Give the others a millisecond: the pace of the feed, not a hope."""
    with suppress(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()


@pytest_asyncio.fixture
async def line(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Line]:
    monkeypatch.setattr(tape_module, "QUEUE_MAX", QUEUE_MAX)
    url = server.running.url.replace("postgres@", "onebook_feed_collector@", 1)
    database = await Database.connect(url, application_name="killed_writer")
    tape = Tape()
    session = await wait_for_capture(database, [BTC])
    writer = Writer(
        database, session, tape, CLOCK, instruments=[BTC], instance="killed", stored=lambda _: None
    )
    yield Line(database, writer, tape)
    await writer.close()
    await database.close()


def arithmetic(server: Server, line: Line) -> dict[str, int]:
    """What the process says of its prices, and what the Book says of them."""
    account = line.writer.account
    return {
        "received": account.received,
        "stored": account.stored,
        "failed": account.failed,
        "dropped": account.dropped,
        "waiting": account.waiting,
        "rows in price_ticks": server.one("SELECT count(*) FROM price_ticks"),
        "distinct trades in price_ticks": server.one("SELECT count(DISTINCT trade_id) FROM price_ticks"),
        "rows in failed_batches": server.one(
            "SELECT coalesce(sum(jsonb_array_length(batch_data)), 0) FROM failed_batches"
        ),
    }


async def test_whatever_kills_postgres_every_price_is_stored_put_aside_or_counted(
    server: Server, line: Line, capsys: pytest.CaptureFixture[str]
):
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(line.writer.run(line.pulse))
        group.create_task(line.speak())
        for round_ in range(3):
            await _stores_more(line)
            await asyncio.to_thread(server.kill)  # in mid-stream
            await line.until("the trip is owed", lambda: line.writer.trip_owed is not None)
            if round_ == 1:
                await line.until("the queue overflows", lambda: line.tape.dropped > 0)
            await asyncio.to_thread(server.come_back)
        for poisoned in (False, True):  # in mid-COMMIT: of a batch, and of putting one aside
            await _stores_more(line)
            if poisoned:
                line.poison = 3
                failed = line.writer.account.failed
                await line.until(
                    "one is put aside", lambda failed=failed: line.writer.account.failed > failed
                )
                line.poison = 1_000_000
            await asyncio.to_thread(server.hold_commits)
            await line.until("a commit is flushed and not answered", server.holds_a_commit)
            await asyncio.to_thread(server.kill)
            line.poison = 0
            await line.until("the trip is owed", lambda: line.writer.trip_owed is not None)
            await asyncio.to_thread(server.come_back)
        await _stores_more(line)
        line.ended.set()
        line.pulse.stopping.set()
        await writing
    found = await asyncio.to_thread(arithmetic, server, line)
    with capsys.disabled():
        print("\n" + "\n".join(f"  {name:>32} {number:>8}" for name, number in found.items()))
    assert found["waiting"] == 0
    assert found["received"] == found["stored"] + found["failed"] + found["dropped"]
    assert found["rows in price_ticks"] == found["distinct trades in price_ticks"] == found["stored"]
    assert found["rows in failed_batches"] == found["failed"]
    assert min(found["failed"], found["dropped"]) > 0, "each rung of the ladder was stood on"


async def _stores_more(line: Line) -> None:
    before = line.writer.account.stored
    await line.until("prices are stored", lambda: line.writer.account.stored > before + 500)
