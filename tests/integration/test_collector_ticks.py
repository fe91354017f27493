"""The way of the prices into the Book, and down the ladder when one batch fails (C2, C3, T5)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
import pytest_asyncio

from services.feed_collector import actions
from services.feed_collector.retiring.days import Retirement
from services.feed_collector.tape import Tape
from services.feed_collector.writer import Displaced, Writer, wait_for_capture
from shared.db.engine import CommitUnknown, Database
from shared.db.queries import ticks as tick_queries
from shared.db.queries.ticks import CaptureFailed, CaptureSession, TickBatch
from shared.domain.ids import Instrument, TokenId
from shared.domain.ticks import PriceTick, Source
from shared.runtime.clock import SystemClock
from shared.runtime.pulse import LoopPulse
from tests.factories import Desk

pytestmark = pytest.mark.integration
BTC, ETH = Instrument("BTC"), Instrument("ETH")
CLOCK = SystemClock()
ROLE = "feed_collector"


def tick(serial: int, *, price: str = "60000.12345678", source: Source = Source.BINANCE) -> PriceTick:
    now = CLOCK.now()
    return PriceTick(BTC, source, Decimal(price), now - timedelta(milliseconds=40), now, trade_id=str(serial))


@pytest_asyncio.fixture
async def database(db) -> Database:
    return await db(role=ROLE)


@pytest_asyncio.fixture
async def session(database: Database) -> AsyncIterator[CaptureSession]:
    opened = await CaptureSession.try_open(database, [BTC])
    assert opened is not None
    yield opened
    await opened.close()


class Stand:
    """A writer on a tape, and a look at what it stored."""

    def __init__(self, database: Database, session: CaptureSession, desk: Desk) -> None:
        self.tape = Tape()
        self.told: list[PriceTick] = []
        self.desk = desk
        self.writer = Writer(
            database, session, self.tape, CLOCK, instruments=[BTC], instance="test", stored=self.told.extend
        )

    def stored(self) -> list[str]:
        return [row["trade_id"] for row in self.desk.all("SELECT trade_id FROM price_ticks ORDER BY id")]

    def count(self, table: str) -> int:
        return int(self.desk.one(f"SELECT count(*) AS n FROM {table}")["n"])


@pytest.fixture
def stand(database: Database, session: CaptureSession, desk: Desk) -> Stand:
    return Stand(database, session, desk)


def end_capture_sessions(desk: Desk) -> None:
    desk.owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = "
        "(SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()"
        " AND pid IN (SELECT pid FROM pg_stat_activity WHERE application_name = 'test_feed_collector')"
    )


async def test_a_batch_is_stored_whole_with_its_name_and_the_reader_gets_it_back(
    stand: Stand, database: Database
):
    since = CLOCK.now() - timedelta(seconds=1)
    mid = PriceTick(BTC, Source.POLYMARKET, Decimal("0.505"), None, CLOCK.now(), token_id=TokenId("1" * 78))
    await stand.writer.store([tick(1), tick(2, price="1"), mid])
    assert stand.stored() == ["1", "2", None]
    (batch,) = stand.desk.all("SELECT rows FROM capture_batches")
    assert batch["rows"] == 3
    assert len(stand.told) == 3
    async with database.begin() as tx:
        found = await tick_queries.list_recent(
            tx,
            {(Source.BINANCE, BTC): 1, (Source.POLYMARKET, BTC): 5, (Source.CHAINLINK, BTC): 5},
            since=since,
        )
    assert [point.price for point in found[Source.BINANCE, BTC]] == [Decimal(1)]
    assert [point.price for point in found[Source.POLYMARKET, BTC]] == [Decimal("0.505")]
    assert found[Source.CHAINLINK, BTC] == []


@pytest.mark.parametrize("name", ["a\tb", "a\nb", "a\\b", "\\N", "\\.", "a\r\nb", "é'\"$$%s"])
async def test_an_id_from_outside_stays_one_field_whatever_it_holds(stand: Stand, name: str):
    now = CLOCK.now()
    await stand.writer.store(
        [PriceTick(BTC, Source.POLYMARKET, Decimal("1E-7"), None, now, token_id=TokenId(name), trade_id=name)]
    )
    row = stand.desk.one("SELECT token_id, trade_id, price, source_timestamp, timestamp FROM price_ticks")
    assert (row["token_id"], row["trade_id"], row["source_timestamp"]) == (name, name, None)
    assert (row["price"], row["timestamp"]) == (Decimal("0.0000001"), now)


async def test_a_batch_whose_connection_dies_is_stored_once_on_a_new_one(stand: Stand):
    await stand.writer.store([tick(1)])
    end_capture_sessions(stand.desk)
    await stand.writer.store([tick(2)])
    await stand.writer.store([tick(3)])
    assert stand.stored() == ["1", "2", "3"]
    assert stand.count("failed_batches") == 0
    await stand.writer.close()


async def test_a_commit_whose_answer_was_lost_is_not_repeated(
    stand: Stand, session: CaptureSession, monkeypatch
):
    """The batch's name is written in the COPY's transaction, and the retry looks there first."""
    copy = session.copy

    async def copy_and_lose_the_answer(batch: TickBatch) -> None:
        await copy(batch)
        raise CaptureFailed("the connection was lost")

    monkeypatch.setattr(session, "copy", copy_and_lose_the_answer)
    await stand.writer.store([tick(1)])
    assert stand.stored() == ["1"]
    assert len(stand.told) == 1


async def test_a_batch_that_cannot_be_stored_is_put_aside_whole_and_the_next_goes_on(stand: Stand):
    await stand.writer.store([tick(1), tick(2, price="1e15")])
    await stand.writer.store([tick(3)])
    assert stand.stored() == ["3"]
    (failed,) = stand.desk.all("SELECT * FROM failed_batches")
    assert [row["trade_id"] for row in failed["batch_data"]] == ["1", "2"]
    assert failed["batch_data"][0]["price"] == "60000.12345678"
    assert "overflow" in failed["error_message"]
    assert stand.writer.trip_owed is None


async def test_when_nothing_can_be_put_aside_every_account_is_tripped_and_no_price_is_lost(stand: Stand):
    """C3's last rung: the trip is owed until the database hears it, the prices wait."""
    with stand.desk.owner.transaction():
        stand.desk.owner.execute("LOCK TABLE failed_batches IN ACCESS EXCLUSIVE MODE")
        await stand.writer.store([tick(1), tick(2, price="1e15")])
        assert stand.writer.trip_owed is not None
        assert stand.writer.account.waiting == 2
    pulse = LoopPulse("write_ticks", CLOCK, 15.0)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(stand.writer.run(pulse))
        while stand.count("failed_batches") == 0:
            await asyncio.to_thread(stand.desk.gate)
        pulse.stopping.set()
    gates = stand.desk.all("SELECT mode, breaker, breaker_reason FROM trading_gate")
    assert {row["mode"]: row["breaker_reason"] for row in gates} == {
        "LIVE": "DATA_CAPTURE_UNRECOVERABLE",
        "PAPER": "DATA_CAPTURE_UNRECOVERABLE",
        "DRY_RUN": "DATA_CAPTURE_UNRECOVERABLE",
        "BACKTEST": None,
    }
    assert stand.writer.trip_owed is None
    assert [
        row["trade_id"] for row in stand.desk.one("SELECT batch_data FROM failed_batches")["batch_data"]
    ] == [
        "1",
        "2",
    ]


async def test_a_batch_put_aside_without_an_answer_is_not_stored_besides(
    stand: Stand, session: CaptureSession, monkeypatch
):
    """Both the COPY and the answer to putting it aside were lost; what is on record decides, not the silence."""
    copy, put_aside = session.copy, actions.put_aside

    async def no_copy(_: TickBatch) -> None:
        raise CaptureFailed("the connection was lost")

    async def put_aside_and_lose_the_answer(*arguments: object) -> None:
        await put_aside(*arguments)
        raise CommitUnknown("the connection was lost during COMMIT")

    monkeypatch.setattr(session, "copy", no_copy)
    monkeypatch.setattr(actions, "put_aside", put_aside_and_lose_the_answer)
    await stand.writer.store([tick(1), tick(2)])
    assert (stand.writer.account.waiting, stand.count("failed_batches")) == (2, 1)
    monkeypatch.setattr(session, "copy", copy)
    pulse = LoopPulse("write_ticks", CLOCK, 15.0)
    pulse.stopping.set()
    await stand.writer.run(pulse)
    assert (stand.writer.account.failed, stand.writer.account.waiting) == (2, 0)
    assert stand.stored() == []


async def test_two_collectors_make_one_tick(database: Database, session: CaptureSession):
    """The lock belongs to the very connection that writes: who has not got it cannot write (T5)."""
    assert await CaptureSession.try_open(database, [ETH, BTC]) is None
    other = await CaptureSession.try_open(database, [ETH])
    assert other is not None, "a half-taken pair of locks is given back"
    await other.close()
    await session.close()
    heir = await wait_for_capture(database, [BTC])
    await heir.close()


async def test_a_collector_that_lost_the_lock_to_another_ends(stand: Stand, database: Database):
    end_capture_sessions(stand.desk)
    heir = await wait_for_capture(database, [BTC])
    with pytest.raises(Displaced):
        await stand.writer.store([tick(1)])
    assert stand.stored() == []
    assert stand.writer.account.failed == 1, "the heir may have missed it: it is put aside"
    await heir.close()


async def test_what_waits_at_the_end_is_stored_before_the_writer_goes(stand: Stand):
    pulse = LoopPulse("write_ticks", CLOCK, 15.0)
    for serial in range(7):
        stand.tape.mid(tick(serial))
    pulse.stopping.set()
    await stand.writer.run(pulse)
    assert len(stand.stored()) == 7


async def test_old_days_become_bars_before_they_are_dropped_once_a_day(
    database: Database, desk: Desk, connect_as_owner: Callable[[], psycopg.Connection]
):
    today = CLOCK.now().date()
    old = datetime(today.year, today.month, today.day, 12, tzinfo=UTC) - timedelta(days=9)
    with connect_as_owner() as owner:
        owner.execute("SELECT ensure_partitions(0, %s::date)", [old.date()])
        for second, price in ((0, 10), (20, 12), (59, 11), (60, 20)):
            owner.execute(
                "INSERT INTO price_ticks (timestamp, symbol, source, price) VALUES (%s, 'BTC', 'chainlink', %s)",
                [old + timedelta(seconds=second), price],
            )
    dropped = await Retirement(database, "test", None).retire(today)
    assert dropped == [f"price_ticks_{old:%Y%m%d}"]
    bars = desk.all("SELECT open, high, low, close, ticks FROM price_bars_1m ORDER BY minute")
    assert [tuple(int(bar[name]) for name in ("open", "high", "low", "close", "ticks")) for bar in bars] == [
        (10, 12, 10, 11, 3),
        (20, 20, 20, 20, 1),
    ]
    with connect_as_owner() as owner:
        owner.execute("SELECT ensure_partitions(0, %s::date)", [old.date()])
    assert await Retirement(database, "another", None).retire(today) == []


@pytest.fixture
def connect_as_owner(database_url: str) -> Callable[[], psycopg.Connection]:
    return lambda: psycopg.connect(database_url, autocommit=True)
