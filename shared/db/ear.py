"""Hearing on a session that also works: what it is notified of is handed on between statements and with their answers.

psycopg reads a connection's socket only while a statement runs on it, so between statements the ear watches the socket
itself. Whoever runs the statements tells it when: ``rest`` before each, ``watch`` after.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import Notify


class Ear:
    """What one connection listens to; ``heard`` is called with each payload, and must not raise."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], heard: Callable[[str], None]) -> None:
        self._connection = connection
        self._heard = heard
        self._socket = connection.fileno()
        self._watching = False
        connection.add_notify_handler(self._hear)

    def watch(self) -> None:
        """Hand on what has arrived, and what will: nothing runs on the connection now."""
        self._hand_on()
        asyncio.get_running_loop().add_reader(self._socket, self._read)
        self._watching = True

    def rest(self) -> None:
        """Leave the socket to the statement that is about to run: what arrives meanwhile comes with its answer."""
        if self._watching:  # else the number may be another's by now: libpq closes a broken socket itself
            asyncio.get_running_loop().remove_reader(self._socket)
            self._watching = False

    def close(self) -> None:
        """Hear no more."""
        self.rest()
        self._connection.remove_notify_handler(self._hear)

    def _read(self) -> None:
        try:
            self._connection.pgconn.consume_input()
        except psycopg.OperationalError:
            self.rest()  # the session broke; the next statement on it says so
            return
        self._hand_on()

    def _hand_on(self) -> None:
        while (found := self._connection.pgconn.notifies()) is not None:
            self._hear(Notify(found.relname.decode(), found.extra.decode(), found.be_pid))

    def _hear(self, notification: Notify) -> None:
        self._heard(notification.payload)
