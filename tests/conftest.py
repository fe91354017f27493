"""What every test may ask for: a fresh clone of the migrated Book, as its owner or as one service's role.

One embedded server a run, shared by all workers; one template database, migrated once; one clone a test. With
DATABASE_URL set the server behind it is used instead: its user must be a superuser, and the database it names is left
alone.
"""

import fcntl
import itertools
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import pytest_asyncio
import structlog
from hypothesis import settings
from psycopg import sql

from deploy.local import embedded
from shared.db.engine import Database
from shared.observability.redaction import forget_secrets

RUN_FOLDERS = Path(tempfile.gettempdir()) / f"onebook-tests-{os.geteuid()}"
RUN_FOLDER_VARIABLE = "ONEBOOK_TEST_RUN_FOLDER"
REPOSITORY = Path(__file__).parent.parent
TEMPLATE = "onebook_template"

settings.register_profile("ci", derandomize=True, deadline=None, database=None, print_blob=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure(config: pytest.Config) -> None:
    """Make the run's folder; xdist's workers inherit its name and start the server in it when one first needs it."""
    if hasattr(config, "workerinput"):
        return
    for left_over in RUN_FOLDERS.glob("*"):
        _remove_if_dead(left_over)
    folder = RUN_FOLDERS / str(os.getpid())
    folder.mkdir(parents=True, mode=0o755)
    os.environ[RUN_FOLDER_VARIABLE] = str(folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the server of this run, whichever worker started it."""
    folder = os.environ.get(RUN_FOLDER_VARIABLE)
    if hasattr(config, "workerinput") or folder is None:
        return
    _remove(Path(folder))
    del os.environ[RUN_FOLDER_VARIABLE]


def _remove_if_dead(folder: Path) -> None:
    try:
        os.kill(int(folder.name), 0)
    except ProcessLookupError:
        _remove(folder)
    except (ValueError, PermissionError):
        return


def _remove(folder: Path) -> None:
    server = embedded.find(folder / "postgres")
    if server is not None and server.pid is not None:
        with suppress(ProcessLookupError):
            os.kill(server.pid, signal.SIGINT)
        server.stop()
    template = folder / "template"
    if template.exists() and os.environ.get("DATABASE_URL"):
        with _administrator(os.environ["DATABASE_URL"]) as connection:
            _drop(connection, template.read_text())
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _administrator(url: str) -> Iterator[psycopg.Connection]:
    """A superuser's connection to the maintenance database: no template may have visitors while it is cloned."""
    with psycopg.connect(_with_database(url, "postgres"), autocommit=True) as connection:
        yield connection


def _with_database(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def _with_role(url: str, role: str, *, trusted: bool) -> str:
    """The same address as another role: by name where the server trusts us, else by taking the role at the start."""
    parts = urlsplit(url)
    if trusted:
        _, _, place = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{role}@{place}"))
    query = "&".join(part for part in (parts.query, f"options=-c%20role%3D{role}") if part)
    return urlunsplit(parts._replace(query=query))


def _drop(connection: psycopg.Connection, database: str) -> None:
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))


@pytest.fixture(scope="session")
def server_url() -> str:
    """The superuser's address of the server of this run."""
    given = os.environ.get("DATABASE_URL")
    if given:
        return given
    folder = Path(os.environ[RUN_FOLDER_VARIABLE])
    with (folder / "server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return embedded.start(folder / "postgres", durable=False).url


@pytest.fixture(scope="session")
def template(server_url: str) -> str:
    """The name of the migrated database that clones are made of."""
    folder = Path(os.environ[RUN_FOLDER_VARIABLE])
    name = f"{TEMPLATE}_{folder.name}"
    with (folder / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "template").exists():
            with _administrator(server_url) as connection:
                _drop(connection, name)
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            migrate(_with_database(server_url, name))
            (folder / "template").write_text(name)
    return name


def migrate(url: str, *arguments: str) -> None:
    """Run alembic on a database of ours, ``upgrade head`` unless told otherwise."""
    subprocess.run(
        [sys.executable, "-m", "alembic", *(arguments or ("upgrade", "head"))],
        env={**os.environ, "DATABASE_URL": url},
        cwd=REPOSITORY,
        check=True,
        stdout=subprocess.DEVNULL,
    )


@pytest.fixture(scope="session")
def administrator(server_url: str) -> Iterator[psycopg.Connection]:
    with _administrator(server_url) as connection:
        yield connection


_serial = itertools.count(1)


@pytest.fixture
def database_url(server_url: str, template: str, administrator: psycopg.Connection) -> Iterator[str]:
    """A fresh clone of the Book for this test, as the superuser who owns it."""
    name = f"onebook_test_{os.getpid()}_{next(_serial)}"
    administrator.execute(
        # Copying files is ten times faster here than the default, which writes every page to the log.
        sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
            sql.Identifier(name), sql.Identifier(template)
        )
    )
    yield _with_database(server_url, name)
    _drop(administrator, name)


RoleUrl = Callable[[str], str]


@pytest.fixture
def role_url(database_url: str) -> RoleUrl:
    """Return the same clone's address as a service's role: ``role_url("execution")`` or the role's full name."""
    trusted = not os.environ.get("DATABASE_URL")

    def make(role: str) -> str:
        full = role if re.match(r"onebook_", role) else f"onebook_{role}"
        return _with_role(database_url, full, trusted=trusted)

    return make


class Connect(Protocol):
    async def __call__(self, *, role: str | None = None) -> Database: ...


@pytest_asyncio.fixture
async def db(database_url: str, role_url: RoleUrl) -> AsyncIterator[Connect]:
    """Return a maker of Databases on this test's clone, as the owner or as a role; all are closed at the end."""
    opened: list[Database] = []

    async def connect(*, role: str | None = None) -> Database:
        url = role_url(role) if role else database_url
        database = await Database.connect(url, application_name=f"test_{role or 'owner'}")
        opened.append(database)
        return database

    yield connect
    for database in opened:
        await database.close()


@pytest.fixture(autouse=True)
def _no_secrets_left_over() -> Iterator[None]:
    """Redaction remembers for a process's life; a test's canaries must not reach the next test."""
    yield
    forget_secrets()


@pytest.fixture(autouse=True)
def process_logs() -> Iterator[None]:
    """A test may configure the logs of this process, or run what does: undone afterwards, whoever comes next."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.captureWarnings(capture=False)
    root.handlers, root.level = handlers, level
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
