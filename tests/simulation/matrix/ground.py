"""What all cells stand on: one simulator, one Postgres server, one zygote; and a server apart for cells that kill it."""

import ctypes
import itertools
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from deploy.local import embedded
from tests.conftest import migrate
from tests.processes import Venue, look_again_after, running, until, venue

TEMPLATE = "matrix_template"
WINDOW_S = 6
CONNECTIONS_MAX = 400
"""A cell has three processes and their supervisor on the server: two dozen connections."""
_PR_SET_CHILD_SUBREAPER = 36
_SIMULATOR = {
    "SOURCE": "generator",
    "WINDOW_S": str(WINDOW_S),
    "WINDOWS_AHEAD": "2",
    "FIRST_OPEN_IN_S": "2",
    "LOOKBACK_S": "2",
    "RESOLUTION_DELAY_S": "0.5",
    "MINED_S": "0.3",
    "CONFIRMED_S": "0.8",
    "TAKER_HOLD_MS": "20",
    "BALANCE_LAG_S": "0.5",
    "DATA_LAG_S": "0.5",
    "RELAYER_MINED_S": "0.5",
}


@dataclass
class Server:
    """A Postgres server with one Book to trade on, or the common one."""

    data_dir: Path
    running: embedded.Embedded

    @property
    def port(self) -> int:
        port = urlsplit(self.running.url).port
        assert port is not None
        return port

    @property
    def pid_file(self) -> Path:
        return self.data_dir / "postmaster.pid"

    def url(self, database: str, role: str = embedded.SUPERUSER) -> str:
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"

    @property
    def is_alive(self) -> bool:
        assert self.running.pid is not None
        with suppress(ChildProcessError):
            os.waitpid(self.running.pid, os.WNOHANG)  # it is ours to bury: nobody else looks after orphans
        with suppress(ProcessLookupError):
            os.kill(self.running.pid, 0)
            return True
        return False

    def revive(self) -> None:
        """Start it again at the same address.

        What its killed processes still hold may take a moment to go, and a second blow may meet it as it comes up.
        """
        for attempt in itertools.count(1):
            try:
                self.running = embedded.start(self.data_dir, port=self.port, durable=False)
            except (embedded.EmbeddedFailed, psycopg.OperationalError):
                if attempt > 20:
                    raise
                look_again_after(0.1)
            else:
                return


@dataclass
class Ground:
    """The common deployment of a run."""

    folder: Path
    venue: Venue
    server: Server
    zygote: Path
    seed_dir: Path
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _cloning: threading.Lock = field(default_factory=threading.Lock)

    def number(self) -> int:
        return next(self._numbers)

    @contextmanager
    def book(self, name: str, *, own_server: bool) -> Iterator[tuple[Server, str]]:
        """A fresh Book: a database of the common server, or the only one of a server of its own."""
        if own_server:
            with self._own_server(name) as server:
                yield server, TEMPLATE
            return
        with self._administrator() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                    sql.Identifier(name), sql.Identifier(TEMPLATE)
                )
            )
        try:
            yield self.server, name
        finally:
            with self._administrator() as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextmanager
    def _administrator(self) -> Iterator[psycopg.Connection]:
        # One at a time: a template may not be copied by two at once without waiting for each other anyway.
        with self._cloning, psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            yield connection

    @contextmanager
    def _own_server(self, name: str) -> Iterator[Server]:
        data_dir = self.folder / f"server-{name}"
        subprocess.run(["cp", "-a", str(self.seed_dir), str(data_dir)], check=True)
        server = Server(data_dir, embedded.start(data_dir, durable=False))
        try:
            yield server
        finally:
            if server.is_alive:
                server.running.stop()
            _bury_orphans()
            shutil.rmtree(data_dir, ignore_errors=True)


def _bury_orphans() -> None:
    """Let go of the dead processes of killed servers: they became ours when their parent died."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ChildProcessError):
                name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
                state, parent = rest.split()[:2]
                if (name, state, int(parent)) == ("postgres", "Z", os.getpid()):
                    os.waitpid(int(entry.name), os.WNOHANG)


@contextmanager
def ground(*, seed: int) -> Iterator[Ground]:
    """Start everything common; all of it is gone at the end."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    embedded._COMMON_SETTINGS["max_connections"] = str(CONNECTIONS_MAX)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="onebook-matrix-")))
        folder.chmod(0o755)
        seed_dir = _make_seed(folder)
        common = folder / "server"
        subprocess.run(["cp", "-a", str(seed_dir), str(common)], check=True)
        server = Server(common, embedded.start(common, durable=False))
        stack.callback(server.running.stop)
        world = stack.enter_context(venue(folder, SEED=str(seed), **_SIMULATOR))
        zygote = folder / "zygote"
        process = stack.enter_context(
            running("tests.simulation.matrix.zygote", {}, folder / "zygote.log", str(zygote))
        )
        until(
            "the zygote is ready",
            lambda: zygote.exists() or process.process.poll() is not None,
        )
        assert zygote.exists(), process.output()
        yield Ground(folder, world, server, zygote, seed_dir)


def _make_seed(folder: Path) -> Path:
    """Make the cluster every server here is a copy of: migrated once, stopped cleanly."""
    seed_dir = folder / "seed"
    seed = embedded.start(seed_dir, durable=False)
    with psycopg.connect(seed.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    parts = urlsplit(seed.url)
    migrate(urlunsplit(parts._replace(path=f"/{TEMPLATE}")))
    seed.stop()
    return seed_dir
