"""What every benchmark stands on: one durable Postgres of its own, and fresh Books in it."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from deploy.local import embedded
from tests.conftest import _with_database, _with_role, migrate

TEMPLATE = "onebook_bench"


@dataclass(frozen=True, slots=True)
class Book:
    """A database with the newest schema and nothing in it."""

    url: str
    """The superuser's address."""

    def role_url(self, role: str) -> str:
        """Return the same Book's address as a role sees it."""
        return _with_role(self.url, role, trusted=True)


@dataclass
class Ground:
    """The server of this run. It keeps its commits through a power cut, as a deployment's does."""

    folder: Path
    url: str
    _serial: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @classmethod
    @contextmanager
    def prepare(cls, folder: Path) -> Iterator["Ground"]:
        """Start the server and migrate a template; the server is stopped at the end."""
        folder.chmod(0o755)
        server = embedded.start(folder / "postgres", durable=True)
        with psycopg.connect(server.url, autocommit=True) as connection:
            # The server's own word on when a commit was: a client learns of it whenever it is next given a processor.
            connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
        server.stop()
        server = embedded.start(folder / "postgres", durable=True)
        try:
            ground = cls(folder, server.url)
            ground.database(TEMPLATE)
            migrate(_with_database(server.url, TEMPLATE))
            yield ground
        finally:
            server.stop()

    def database(self, name: str, template: str = "template1") -> str:
        """Make a database; returns the superuser's address of it."""
        with psycopg.connect(_with_database(self.url, "postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
        return _with_database(self.url, name)

    def book(self) -> Book:
        """Make a fresh Book."""
        return Book(self.database(f"book_{next(self._serial)}", TEMPLATE))

    def place(self, name: str) -> Path:
        """Make a folder for one part of the run."""
        folder = self.folder / f"{name}-{next(self._serial)}"
        folder.mkdir()
        return folder
