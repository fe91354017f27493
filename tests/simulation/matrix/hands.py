"""The roles a cell's harness plays: each statement goes out as the service that may make it, and outlives a lost server."""

import itertools
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.processes import look_again_after

Row = dict[str, Any]
PATIENCE_S = 25.0
_AGAIN_AFTER_S = 0.1


class Hands:
    """Connections by role, made when first needed and made anew when lost; for one thread."""

    def __init__(self, url_of: Callable[[str], str], *, on_lost: Callable[[], None]) -> None:
        self._url_of = url_of
        self._on_lost = on_lost
        self._open: dict[str, psycopg.Connection[Row]] = {}
        self._thread = threading.get_ident()

    def close(self) -> None:
        for connection in self._open.values():
            with suppress(psycopg.Error):
                connection.close()
        self._open.clear()

    def all(self, role: str, statement: str, *parameters: object) -> list[Row]:
        """Return the rows of one statement, repeated while the server is away: only for what may be done twice."""
        assert threading.get_ident() == self._thread
        for attempt in itertools.count():
            try:
                cursor = self._connection(role).execute(statement, parameters)
                return cursor.fetchall() if cursor.description is not None else []
            except psycopg.OperationalError:
                self._drop(role)
                if attempt * _AGAIN_AFTER_S > PATIENCE_S:
                    raise
                self._on_lost()
                look_again_after(_AGAIN_AFTER_S)
        raise AssertionError("unreachable")

    def one(self, role: str, statement: str, *parameters: object) -> Row:
        rows = self.all(role, statement, *parameters)
        assert rows, statement
        return rows[0]

    def do(self, role: str, statement: str, *parameters: object) -> Any:
        """Run one statement; return the first column of its first row, if it has one."""
        rows = self.all(role, statement, *parameters)
        return next(iter(rows[0].values())) if rows else None

    def _connection(self, role: str) -> psycopg.Connection[Row]:
        if role not in self._open:
            self._open[role] = psycopg.connect(
                self._url_of(role), autocommit=True, row_factory=dict_row, connect_timeout=3
            )
        return self._open[role]

    def _drop(self, role: str) -> None:
        connection = self._open.pop(role, None)
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()
