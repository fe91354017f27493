"""The lock session: one connection that elects the executor, fences it, and is evicted by the server (D7).

Who holds the advisory lock is the executor; taking it raises the epoch, and every claim is one statement on this very
session, so a claim without the lock cannot exist. The server ends the session after one second of silence, so a frozen
or cut-off holder loses the lock without anybody's help. The holder itself stops earlier: its lease ends 0.8 s after the
last answered exchange was *sent*, by a clock that counts through suspension.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.abc import Params, QueryNoTemplate
from psycopg.rows import dict_row
from pydantic import SecretStr

from shared.db.engine import connect_raw, is_connection_error
from shared.db.line import Line
from shared.db.severing import severed_after
from shared.observability.logs import get_logger
from shared.runtime.clock import Clock
from shared.runtime.faultpoints import fault_point
from shared.runtime.pulse import LoopPulse

EXECUTOR_LOCK_KEY = 5712041998443917312
"""The key of the one executor; the SQL function ``executor_lock_key()`` says the same."""
PING_EVERY_S = 0.2
LEASE_S = 0.8
SEND_WITHIN_S = 0.1
ANSWER_WITHIN_S = 1.5
"""Longer than the server's own limit on a statement, so that its refusal arrives first."""
LOCK_LIMITS: Mapping[str, str] = {
    "statement_timeout": "1s",
    "lock_timeout": "250ms",
    "idle_session_timeout": "1s",
    "idle_in_transaction_session_timeout": "500ms",
    "client_connection_check_interval": "500ms",
    "default_transaction_isolation": r"read\ committed",
    # What a claim runs is planned once a session; by default each statement is planned anew five times.
    "plan_cache_mode": "force_generic_plan",
    "timezone": "UTC",
}

Row = Mapping[str, Any]
Connection = psycopg.AsyncConnection[Any]
Answer = TypeVar("Answer")
log = get_logger()


class LockLost(Exception):
    """The session is gone, and the lock with it. What a call that raised this did is unknown: read the rows."""


class LockSession:
    """The executor's only way to claim. Serialises its callers; one statement is one transaction."""

    def __init__(self, connection: Connection, *, epoch: int, clock: Clock, last_sent_at: float) -> None:
        self.epoch = epoch
        self._connection = connection
        self._clock = clock
        self._last_sent_at = last_sent_at
        self._turn = asyncio.Lock()
        self._lost = False
        self._line = Line(connection)
        self._line.watch()

    @classmethod
    async def try_acquire(
        cls, url: SecretStr | str, *, key: int, clock: Clock, instance: str
    ) -> "LockSession | None":
        """Return the session when the lock was free, else None; raises LockLost when there is no connection."""
        candidate = LockCandidate(url, key=key, clock=clock, instance=instance)
        try:
            return await candidate.try_acquire()
        finally:
            await candidate.close()

    @property
    def deadline(self) -> float:
        """Return the boot time, in seconds, until which the lease holds; already past once the session is lost."""
        return float("-inf") if self._lost else self._last_sent_at + LEASE_S

    def may_send(self, committed_at_boottime: float) -> bool:
        """Return True when a send may begin now: 0.1 s after its claim's commit at most, and within the lease (E3).

        Give the boot time read before the claim was called: the commit cannot be older, so the answer errs towards
        NOT_SENT. No await may lie between this check and the write.
        """
        now = self._clock.boottime()
        return now - committed_at_boottime <= SEND_WITHIN_S and now < self.deadline

    async def call(self, statement: QueryNoTemplate, parameters: Params | None) -> Row:
        """Run one statement that returns one row, and return it by column name.

        Raises LockLost when the connection failed; a refusal of the database comes out as the psycopg.Error it is.
        """
        row = await self._run(statement, parameters, within_s=ANSWER_WITHIN_S)
        assert row is not None
        return row

    async def ask(self, statement: str, *parameters: str | None) -> str | None:
        """Run one statement that returns one text, its parameters being ``$1`` …; raises as ``call``.

        The quick way, for what a signal waits for.
        """
        ask = partial(self._line.ask, statement, parameters)
        return await self._exchange(statement, ask, within_s=ANSWER_WITHIN_S)

    async def prepare(self, statement: str) -> None:
        """Have a statement ready before it is first asked; raises as ``call``."""
        await self._exchange(statement, partial(self._line.prepare, statement), within_s=ANSWER_WITHIN_S)

    async def hear(self, channel: str, heard: Callable[[str], None]) -> None:
        """From now on call ``heard``, which must not raise, with each payload sent on a channel; raises LockLost.

        The leader hears on the session it claims on: with a second one, every notification would wake two processes of
        the server on the way of a signal to its order (ADR 0003). What is missed is found by whoever polls.
        """
        self._line.hear(channel, heard)
        await self._run(sql.SQL("LISTEN {}").format(sql.Identifier(channel)), None, within_s=ANSWER_WITHIN_S)

    async def ping(self) -> None:
        """Renew the lease; raises LockLost."""
        await self._run("SELECT 1", None, within_s=LEASE_S)

    async def hold(self, pulse: LoopPulse) -> None:
        """Ping for ever; a loop of the service. Raises LockLost."""
        while True:
            pulse.tick()
            await self.ping()
            await asyncio.sleep(PING_EVERY_S)

    async def close(self) -> None:
        """Give the lock up by closing the session."""
        await self._lose()

    async def _run(
        self, statement: QueryNoTemplate, parameters: Params | None, *, within_s: float
    ) -> Row | None:
        async def run() -> Row | None:
            self._line.rest()
            try:
                cursor = self._connection.cursor(row_factory=dict_row)
                await cursor.execute(statement, parameters, prepare=True)
                return None if cursor.description is None else await cursor.fetchone()
            finally:
                if not self._connection.closed:
                    self._line.watch()

        return await self._exchange(statement, run, within_s=within_s)

    async def _exchange(
        self, statement: QueryNoTemplate, run: Callable[[], Awaitable[Answer]], *, within_s: float
    ) -> Answer:
        async with self._turn:
            if self._lost:
                raise LockLost("the lock session has ended")
            sent_at = self._clock.boottime()
            try:
                with severed_after(self._connection, within_s):
                    answer = await run()
            except psycopg.Error as error:
                if is_connection_error(error) or self._connection.closed:
                    await self._lose()
                    raise LockLost(f"the lock session ended: {error}") from error
                if isinstance(error, psycopg.errors.QueryCanceled | psycopg.errors.LockNotAvailable):
                    self._log_timeout(statement, sent_at)
                self._last_sent_at = sent_at
                raise
            except BaseException:
                # Cancelled half-way: whether the statement committed is unknown, so the session must not go on.
                await self._lose()
                raise
            self._last_sent_at = sent_at
            return answer

    async def _lose(self) -> None:
        self._lost = True
        self._line.rest()
        await self._connection.close()

    def _log_timeout(self, statement: QueryNoTemplate, sent_at: float) -> None:
        name = " ".join(str(statement).split()[:8])
        seconds = round(self._clock.boottime() - sent_at, 3)
        log.warning("statement_timed_out", statement=name, kind="lock_session", seconds=seconds)


class LockCandidate:
    """A standby: one connection that asks for the lock again and again, and becomes the lock session when it gets it.

    Ask at least every half second: the server ends this session, too, when it is silent.
    """

    def __init__(self, url: SecretStr | str, *, key: int, clock: Clock, instance: str) -> None:
        self._url = url
        self._key = key
        self._clock = clock
        self._instance = instance
        self._connection: Connection | None = None

    async def try_acquire(self) -> LockSession | None:
        """Return the session, its epoch taken, or None when another holds the lock; raises LockLost."""
        try:
            if self._connection is None:
                self._connection = await connect_raw(
                    self._url, application_name=f"lock_{self._instance}", autocommit=True, limits=LOCK_LIMITS
                )
            session = await self._ask(self._connection)
        except psycopg.OperationalError as error:
            # The connection, or a row the epoch needs that another held too long: both are tried again.
            await self.close()
            raise LockLost(f"no lock session: {error}") from error
        except BaseException:
            await self.close()
            raise
        if session is not None:
            self._connection = None
        return session

    async def _ask(self, connection: Connection) -> LockSession | None:
        with severed_after(connection, ANSWER_WITHIN_S):
            cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", [self._key])
            answer = await cursor.fetchone()
            assert answer is not None
            if not answer[0]:
                return None
            fault_point("epoch.lock_won")
            sent_at = self._clock.boottime()
            cursor = await connection.execute("SELECT take_epoch(%s)", [self._instance])
            taken = await cursor.fetchone()
            fault_point("epoch.taken")
        assert taken is not None
        log.info("lock_acquired", epoch=taken[0], instance=self._instance)
        return LockSession(connection, epoch=taken[0], clock=self._clock, last_sent_at=sent_at)

    async def close(self) -> None:
        """Close the connection, if the lock was not won with it."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
