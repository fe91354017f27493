"""Connections to the Book: one small pool a service, every statement limited by the server.

``begin()`` appears only in a service's ``actions``; reads that may be repeated go through ``retry_read``. The server,
not we, ends what takes too long: a client that is stopped or gone must not hold a lock.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias, TypeVar
from urllib.parse import parse_qsl, urlsplit

import psycopg
from psycopg.rows import TupleRow
from pydantic import SecretStr
from sqlalchemy import event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool
from sqlalchemy.sql import text
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_chain, wait_fixed

from shared.observability.health import CheckResult
from shared.observability.logs import get_logger
from shared.observability.metrics import POOL_SIZE, POOL_USED, STATEMENT_TIMEOUTS
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.database_url import parse_database_url
from shared.runtime.service import StartRefused

Tx: TypeAlias = AsyncConnection
"""One open transaction. Functions of ``queries`` take it first."""

LIMITS: Mapping[str, str] = {
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "5s",
    "default_transaction_isolation": r"read\ committed",
    "timezone": "UTC",
}
"""What the server enforces on every connection of a pool (B5)."""
LIMITS_WITH_STANDBY: Mapping[str, str] = {**LIMITS, "idle_in_transaction_session_timeout": "1s"}
"""For a process that another follows: a row it held when it froze is free by the time its lock is (D7)."""
CONNECT_TIMEOUT_S = 3
UNACKNOWLEDGED_MS = 6_000
POOL_MAX = 4
POOL_WAIT_S = 2.0
CONNECT_TRIES = 3
CONNECT_TRIES_APART_S = 2.0
READ_RETRIES_AFTER_S = (0.1, 0.2, 0.4)

T = TypeVar("T")
log = get_logger()

_TIMEOUT_KINDS = {"57014": "statement", "55P03": "lock", "25P03": "idle_in_transaction"}
_CONNECTION_STATES = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03"})
"""Besides class 08: the server shut down, crashed, is starting, or ended a session that had been idle too long."""


class DatabaseUnreachable(StartRefused):
    """No connection after the tries of B3."""


class CommitUnknown(Exception):
    """The connection was lost while COMMIT was under way: read the row before acting (B5)."""


def is_connection_error(error: BaseException) -> bool:
    """Return True when the connection failed, not the statement (reset, time-out of the network, 57P01).

    Whether repeating is safe is another question: only the caller knows what the statement does.
    """
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (error.orig is not None and is_connection_error(error.orig))
    if isinstance(error, psycopg.Error):
        state = error.sqlstate
        if state is None:
            return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return state.startswith("08") or state in _CONNECTION_STATES
    return isinstance(error, ConnectionError)


class Database:
    """A bounded pool of connections to the Book."""

    def __init__(self, engine: AsyncEngine, *, url: str, application_name: str, clock: Clock) -> None:
        self._engine = engine
        self._url = url
        self._application_name = application_name
        pool = engine.sync_engine.pool
        assert isinstance(pool, QueuePool)
        self._pool = pool
        POOL_SIZE.set(pool.size())
        POOL_USED.set_function(pool.checkedout)
        _log_timeouts(engine, pool, clock)

    @classmethod
    async def connect(
        cls,
        url: SecretStr | str,
        *,
        application_name: str,
        pool_max: int = POOL_MAX,
        limits: Mapping[str, str] = LIMITS,
        clock: Clock | None = None,
    ) -> "Database":
        """Return a pool that has reached the database: three tries, 2 s apart, then DatabaseUnreachable (B3)."""
        plain = url.get_secret_value() if isinstance(url, SecretStr) else url
        engine = create_async_engine(
            _sqlalchemy_url(plain),
            pool_size=pool_max,
            max_overflow=0,
            pool_timeout=POOL_WAIT_S,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args=_connect_arguments(plain, application_name, limits),
        )
        database = cls(engine, url=plain, application_name=application_name, clock=clock or SystemClock())
        try:
            async for attempt in AsyncRetrying(
                stop=stop_after_attempt(CONNECT_TRIES),
                wait=wait_fixed(CONNECT_TRIES_APART_S),
                retry=retry_if_exception(is_connection_error),
                reraise=True,
            ):
                with attempt:
                    await database._select_one()
        except (DBAPIError, OSError) as error:
            await engine.dispose()
            raise _unreachable(plain, error) from None
        return database

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Tx]:
        """Open a transaction at READ COMMITTED; commit at the end of the block, roll back when it raises.

        Raises CommitUnknown when the connection was lost during the COMMIT.
        """
        async with self._engine.connect() as connection:
            transaction = await connection.begin()
            try:
                yield connection
            except BaseException:
                # A lost connection has rolled back by itself, and its reason is the one to tell.
                with suppress(DBAPIError):
                    await transaction.rollback()
                raise
            try:
                await transaction.commit()
            except DBAPIError as error:
                if is_connection_error(error):
                    raise CommitUnknown("the connection was lost during COMMIT") from error
                raise

    async def retry_read(self, read: Callable[[Tx], Awaitable[T]]) -> T:
        """Return what ``read`` returns, repeated after 100, 200 and 400 ms when the connection failed (B5).

        It runs in a READ ONLY transaction, so a statement that is not safe to repeat is refused by the server.
        """
        async for attempt in AsyncRetrying(
            stop=stop_after_attempt(1 + len(READ_RETRIES_AFTER_S)),
            wait=wait_chain(*map(wait_fixed, READ_RETRIES_AFTER_S)),
            retry=retry_if_exception(is_connection_error),
            reraise=True,
        ):
            with attempt:
                async with self._engine.connect() as connection:
                    await connection.execution_options(postgresql_readonly=True)
                    return await read(connection)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def raw_connection(self) -> psycopg.AsyncConnection[TupleRow]:
        """Return a psycopg connection of its own, outside the pool, for COPY; the caller closes it."""
        return await connect_raw(self._url, application_name=self._application_name, autocommit=False)

    async def check(self) -> CheckResult:
        """Answer the check of /health: a round trip to the server, and how full the pool is."""
        await self._select_one()
        return CheckResult(
            ok=True, detail=f"{self._pool.checkedout()} of {self._pool.size()} connections in use"
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    async def _select_one(self) -> None:
        async with self._engine.connect() as connection:
            await connection.execute(text("SELECT 1"))


async def connect_raw(
    url: SecretStr | str, *, application_name: str, autocommit: bool, limits: Mapping[str, str] = LIMITS
) -> psycopg.AsyncConnection[TupleRow]:
    """Return a psycopg connection under the server's ``limits``; raises psycopg.OperationalError."""
    plain = url.get_secret_value() if isinstance(url, SecretStr) else url
    arguments = _connect_arguments(plain, application_name, limits)
    return await psycopg.AsyncConnection.connect(plain, autocommit=autocommit, **arguments)


def _sqlalchemy_url(plain: str) -> URL:
    return make_url(parse_database_url(plain).text).set(drivername="postgresql+psycopg")


def _connect_arguments(plain: str, application_name: str, limits: Mapping[str, str]) -> dict[str, Any]:
    """Return libpq parameters; server options of the address itself come first, so that ours win."""
    own = dict(parse_qsl(urlsplit(plain).query)).get("options", "")
    ours = " ".join(f"-c {name}={value}" for name, value in limits.items())
    return {
        "application_name": application_name,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "options": f"{own} {ours}".strip(),
        # A peer that has vanished is noticed in seconds, not after the kernel's quarter of an hour.
        "tcp_user_timeout": UNACKNOWLEDGED_MS,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
    }


def _unreachable(plain: str, error: Exception) -> DatabaseUnreachable:
    url = parse_database_url(plain)
    place = url.host if url.port is None else f"{url.host}:{url.port}"
    reason = str(error.orig if isinstance(error, DBAPIError) else error).strip().replace("\n", " ")
    return DatabaseUnreachable(
        f"the database {url.database} at {place} was not reached in {CONNECT_TRIES} tries: check DATABASE_URL and that "
        f"the server runs and takes connections. It said: {reason}"
    )


def _log_timeouts(engine: AsyncEngine, pool: QueuePool, clock: Clock) -> None:
    """Log every statement the server stopped: its name, how long it ran, and the state of the pool (B5).

    A statement's name is its execution option ``statement_name``, else its first words; parameters are never logged.
    """

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def note_start(connection: object, *arguments: object) -> None:
        del connection
        context = arguments[3]
        context._onebook_began = clock.monotonic()  # type: ignore[attr-defined]  # noqa: SLF001 the context is there for this

    @event.listens_for(engine.sync_engine, "handle_error")
    def note_end(context: ExceptionContext) -> None:
        kind = _TIMEOUT_KINDS.get(getattr(context.original_exception, "sqlstate", None) or "")
        if kind is None:
            return
        STATEMENT_TIMEOUTS.labels(kind).inc()
        execution = context.execution_context
        began = getattr(execution, "_onebook_began", None)
        named = execution.execution_options.get("statement_name") if execution is not None else None
        log.warning(
            "statement_timed_out",
            statement=named or " ".join((context.statement or "").split()[:8]),
            kind=kind,
            seconds=round(clock.monotonic() - began, 3) if began is not None else None,
            pool_used=pool.checkedout(),
            pool_size=pool.size(),
        )
