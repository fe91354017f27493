"""A connection's socket watched by ourselves: notifications as they arrive, and quick questions of text for one text.

psycopg watches a connection's socket only while it runs a statement on it, and describes, loads and converts every
column of an answer. What a signal waits for needs neither: a question here is a prepared statement with texts for its
parameters and one text for its answer, half the time of a cursor's (ADR 0003). Statements by psycopg go on as ever;
whoever runs one tells the line: ``rest`` before it, ``watch`` after.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg import Notify, pq
from psycopg.errors import error_from_result


class Line:
    """One connection's own way to its server. One question at a time, and none while psycopg runs a statement."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._socket = connection.fileno()
        self._watching = False
        self._heard: dict[str, Callable[[str], None]] = {}
        self._asked: asyncio.Future[pq.abc.PGresult] | None = None
        self._result: pq.abc.PGresult | None = None
        self._names: dict[str, bytes] = {}
        connection.add_notify_handler(self._hear)

    def hear(self, channel: str, heard: Callable[[str], None]) -> None:
        """From now on call ``heard``, which must not raise, with what a channel brings; whoever asks for it LISTENs."""
        self._heard[channel] = heard

    def watch(self) -> None:
        """Hand on what has arrived, and what will: nothing of psycopg's runs on the connection now."""
        self._hand_on()
        asyncio.get_running_loop().add_reader(self._socket, self._read)
        self._watching = True

    def rest(self) -> None:
        """Leave the socket to the statement that is about to run: what arrives meanwhile comes with its answer."""
        if self._watching:  # else the number may be another's by now: libpq closes a broken socket itself
            asyncio.get_running_loop().remove_reader(self._socket)
            self._watching = False

    async def prepare(self, statement: str) -> None:
        """Have the server parse a statement before it is first asked; raises as ``ask``."""
        if statement not in self._names:
            name = f"line_{len(self._names)}".encode()
            self._pgconn.send_prepare(name, statement.encode())
            await self._answer()
            self._names[statement] = name

    async def ask(self, statement: str, parameters: Sequence[str | None]) -> str | None:
        """Run a statement whose parameters are ``$1`` …; returns the one text of its first row, None without one.

        Raises:
            psycopg.Error: the server's refusal, or OperationalError without a code when the connection broke.
            CancelledError: the connection is in the middle of an exchange then, and good for nothing.
        """
        await self.prepare(statement)
        self._pgconn.send_query_prepared(
            self._names[statement], [None if value is None else value.encode() for value in parameters]
        )
        result = await self._answer()
        value = result.get_value(0, 0) if result.ntuples else None
        return None if value is None else value.decode()

    async def _answer(self) -> pq.abc.PGresult:
        if not self._watching:
            raise psycopg.OperationalError("the connection broke, and nobody would read the answer")
        loop = asyncio.get_running_loop()
        self._result = None
        self._asked = loop.create_future()
        while self._pgconn.flush():  # more than the socket takes at once
            writable = loop.create_future()
            loop.add_writer(self._socket, writable.set_result, None)
            try:
                await writable
            finally:
                loop.remove_writer(self._socket)
        try:
            result = await self._asked
        finally:
            self._asked = None
        if result.status == pq.ExecStatus.FATAL_ERROR:
            raise error_from_result(result)
        return result

    def _read(self) -> None:
        try:
            self._pgconn.consume_input()
            self._hand_on()
            if self._asked is not None:
                self._collect(self._asked)
        except psycopg.OperationalError as broken:
            self.rest()
            if self._asked is not None and not self._asked.done():
                self._asked.set_exception(broken)

    def _collect(self, asked: "asyncio.Future[pq.abc.PGresult]") -> None:
        while not self._pgconn.is_busy():
            result = self._pgconn.get_result()
            if result is not None:
                self._result = result
                continue
            if self._result is not None and not asked.done():
                asked.set_result(self._result)
            return

    def _hand_on(self) -> None:
        while (found := self._pgconn.notifies()) is not None:
            self._hear(Notify(found.relname.decode(), found.extra.decode(), found.be_pid))

    def _hear(self, notification: Notify) -> None:
        if (heard := self._heard.get(notification.channel)) is not None:
            heard(notification.payload)
