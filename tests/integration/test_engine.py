"""The pool against a real server: limits, retries, and what a lost connection means (B3, B4, B5)."""

import asyncio
from contextlib import asynccontextmanager

import psycopg
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared.db.engine import CommitUnknown, Database, DatabaseUnreachable, connect_raw, is_connection_error
from shared.observability.logs import configure_logs


@pytest.fixture
def fewer_waits(monkeypatch):
    monkeypatch.setattr("shared.db.engine.CONNECT_TRIES_APART_S", 0.01)
    monkeypatch.setattr("shared.db.engine.READ_RETRIES_AFTER_S", (0.01, 0.02, 0.04))


@pytest.fixture
async def table(db):
    """A table of one unique number, and the database it is in."""
    database = await db()
    async with database.begin() as tx:
        await tx.execute(text("CREATE TABLE kept (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)"))
    return database


async def count(database):
    return await database.retry_read(lambda tx: tx.scalar(text("SELECT count(*) FROM kept")))


async def test_a_transaction_commits_at_the_end_of_its_block(table):
    async with table.begin() as tx:
        await tx.execute(text("INSERT INTO kept VALUES (1)"))
    assert await count(table) == 1


async def test_a_block_that_raises_leaves_nothing(table):
    with pytest.raises(RuntimeError, match="second thoughts"):
        async with table.begin() as tx:
            await tx.execute(text("INSERT INTO kept VALUES (1)"))
            raise RuntimeError("second thoughts")
    assert await count(table) == 0


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("statement_timeout", "5s"),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "5s"),
        ("transaction_isolation", "read committed"),
        ("TimeZone", "UTC"),
        ("application_name", "test_owner"),
    ],
)
async def test_the_server_limits_every_connection(db, setting, expected):
    database = await db()
    async with database.begin() as tx:
        assert await tx.scalar(text(f"SHOW {setting}")) == expected


async def test_the_pool_holds_four_connections_and_no_more(db, monkeypatch):
    monkeypatch.setattr("shared.db.engine.POOL_WAIT_S", 0.05)
    database = await db()
    async with database.begin(), database.begin(), database.begin(), database.begin():
        assert REGISTRY.get_sample_value("onebook_database_pool_used_connections") == 4
        with pytest.raises(PoolTimeout):
            async with database.begin():
                pass
    assert REGISTRY.get_sample_value("onebook_database_pool_used_connections") == 0


@pytest.mark.usefixtures("fewer_waits")
async def test_an_unreachable_database_is_tried_three_times_and_its_address_never_told():
    async with refusing_server() as (port, attempts):
        url = f"postgresql://someone:canary-password@127.0.0.1:{port}/book"
        with pytest.raises(DatabaseUnreachable) as caught:
            await Database.connect(url, application_name="test")
    assert len(attempts) == 3
    assert "canary" not in str(caught.value)
    assert "DATABASE_URL" in str(caught.value)


@asynccontextmanager
async def refusing_server():
    """A port that hangs up on everybody, and the list of those who called."""
    attempts = []

    def hang_up(_reader, writer):
        attempts.append(1)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], attempts


async def kill(administrator, tx):
    pid = await tx.scalar(text("SELECT pg_backend_pid()"))
    administrator.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


@pytest.mark.usefixtures("fewer_waits")
async def test_a_read_is_repeated_after_its_connection_was_cut(db, administrator):
    database = await db()
    tries = []

    async def read(tx):
        tries.append(1)
        if len(tries) < 4:
            await kill(administrator, tx)
        return await tx.scalar(text("SELECT 7"))

    assert await database.retry_read(read) == 7
    assert len(tries) == 4


@pytest.mark.usefixtures("fewer_waits")
async def test_a_read_gives_up_after_three_retries(db, administrator):
    database = await db()
    tries = []

    async def read(tx):
        tries.append(1)
        await kill(administrator, tx)
        return await tx.scalar(text("SELECT 7"))

    with pytest.raises(DBAPIError):
        await database.retry_read(read)
    assert len(tries) == 4


async def test_a_statement_that_is_wrong_is_not_repeated(db):
    database = await db()
    tries = []

    async def read(tx):
        tries.append(1)
        return await tx.scalar(text("SELECT no_such_column"))

    with pytest.raises(DBAPIError):
        await database.retry_read(read)
    assert len(tries) == 1


async def test_a_write_cannot_hide_in_a_repeatable_read(table):
    with pytest.raises(DBAPIError, match="read-only transaction"):
        await table.retry_read(lambda tx: tx.execute(text("INSERT INTO kept VALUES (1)")))


async def test_a_connection_lost_during_commit_is_unknown(table, administrator):
    with pytest.raises(CommitUnknown):
        async with table.begin() as tx:
            await tx.execute(text("INSERT INTO kept VALUES (1)"))
            await kill(administrator, tx)


async def test_a_commit_the_database_refuses_is_no_mystery(table):
    with pytest.raises(IntegrityError):
        async with table.begin() as tx:
            await tx.execute(text("INSERT INTO kept VALUES (1), (1)"))


async def test_a_connection_that_died_in_the_pool_costs_nobody_a_transaction(table, administrator):
    async with table.begin() as tx:
        pid = await tx.scalar(text("SELECT pg_backend_pid()"))
    administrator.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    async with table.begin() as tx:
        assert await tx.scalar(text("SELECT pg_backend_pid()")) != pid


async def test_the_pool_survives_a_server_that_ended_its_connections(table, administrator):
    with pytest.raises(DBAPIError):
        async with table.begin() as tx:
            await kill(administrator, tx)
            await tx.scalar(text("SELECT 1"))
    async with table.begin() as tx:
        assert await tx.scalar(text("SELECT 1")) == 1


@pytest.mark.usefixtures("process_logs")
async def test_a_stopped_statement_is_told_with_its_name_and_without_its_parameters(db, capsys):
    configure_logs("test")
    database = await db()
    with pytest.raises(DBAPIError):
        async with database.begin() as tx:
            await tx.execute(text("SET LOCAL statement_timeout = '10ms'"))
            await tx.execute(
                text("SELECT pg_sleep(:s), :canary"),
                {"s": 5, "canary": "canary-value"},
                execution_options={"statement_name": "orders.sleep"},
            )
    told = capsys.readouterr().out
    assert '"statement": "orders.sleep"' in told
    assert '"pool_used": 1' in told
    assert "canary-value" not in told


async def test_a_raw_connection_copies_under_the_same_limits(table):
    connection = await table.raw_connection()
    async with connection:
        async with connection.cursor().copy("COPY kept FROM STDIN") as copy:
            for n in range(100):
                await copy.write_row([n])
        row = await (await connection.execute("SHOW statement_timeout")).fetchone()
    assert row == ("5s",)
    assert await count(table) == 100


async def test_options_of_the_address_are_kept_but_cannot_lift_a_limit(database_url):
    url = f"{database_url}?options=-c%20statement_timeout%3D0%20-c%20search_path%3Dpg_temp"
    async with await connect_raw(url, application_name="test", autocommit=True) as connection:
        assert await (await connection.execute("SHOW statement_timeout")).fetchone() == ("5s",)
        assert await (await connection.execute("SHOW search_path")).fetchone() == ("pg_temp",)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (psycopg.OperationalError("server closed the connection unexpectedly"), True),
        (psycopg.errors.ConnectionTimeout("connection timeout expired"), True),
        (psycopg.InterfaceError("the connection is closed"), True),
        (psycopg.errors.AdminShutdown("57P01"), True),
        (psycopg.errors.CannotConnectNow("57P03"), True),
        (psycopg.errors.IdleSessionTimeout("57P05"), True),
        (psycopg.errors.ConnectionFailure("08006"), True),
        (ConnectionResetError(), True),
        (psycopg.errors.QueryCanceled("57014"), False),
        (psycopg.errors.LockNotAvailable("55P03"), False),
        (psycopg.errors.UniqueViolation("23505"), False),
        (psycopg.errors.SyntaxError("42601"), False),
        (psycopg.errors.SerializationFailure("40001"), False),
        (ValueError(), False),
    ],
)
def test_what_counts_as_a_lost_connection(error, expected):
    assert is_connection_error(error) is expected
