"""What strikes a process at a crash point: it dies, is frozen, loses its database, or the database dies under it.

The plan travels in one environment variable. A strike is made once: whoever makes its mark first is struck, and the
next strike of the plan waits for that mark, so a plan of two is a second crash during the recovery from the first.
"""

import json
import os
import signal
import socket
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from shared.runtime.faultpoints import FULL_NAMES, arm

PLAN = "ONEBOOK_MATRIX_PLAN"
ACTS = ("kill", "stop", "cut", "postgres")
"""kill -9 · SIGSTOP until a standby took over · every connection to Postgres cut · kill -9 of the Postgres server."""


@dataclass(frozen=True, slots=True)
class Strike:
    """One blow: where, how, and the file that says it was struck."""

    point: str
    act: str
    mark: str
    """``pid act`` of whoever was struck."""
    waits_for: str
    """The file without which nothing strikes yet."""
    delay_ms: float = 0.0
    """How much later the blow falls, while the process works on."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All blows of a cell, and where its Postgres is."""

    strikes: tuple[Strike, ...]
    postgres_port: int
    postgres_pid_file: str

    def text(self) -> str:
        return json.dumps(asdict(self))


def read_plan(text: str) -> Plan:
    fields = json.loads(text)
    return Plan(
        tuple(Strike(**strike) for strike in fields["strikes"]),
        fields["postgres_port"],
        fields["postgres_pid_file"],
    )


def arm_from(plan: Plan) -> None:
    """Strike this process as planned, from now on; raises ValueError for a point or act nobody knows."""
    for strike in plan.strikes:
        if strike.point not in FULL_NAMES or strike.act not in ACTS:
            raise ValueError(f"no such point or act: {strike.point} {strike.act}")
    arm(lambda name: _passed(plan, name))


def _passed(plan: Plan, name: str) -> None:
    if name not in FULL_NAMES:
        raise ValueError(f"the code passes a point nobody registered: {name}")
    for strike in plan.strikes:
        if strike.point == name and Path(strike.waits_for).exists() and _mark(strike):
            if strike.delay_ms:
                later = threading.Timer(strike.delay_ms / 1000, _strike, (plan, strike.act))
                later.daemon = True
                later.start()
            else:
                _strike(plan, strike.act)
            return


def _mark(strike: Strike) -> bool:
    """Return whether this process is the one to be struck; the file appears with its words in it."""
    draft = Path(f"{strike.mark}.{os.getpid()}")
    draft.write_text(f"{os.getpid()} {strike.act}\n")
    try:
        os.link(draft, strike.mark)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def _strike(plan: Plan, act: str) -> None:
    if act == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif act == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif act == "cut":
        cut_connections(plan.postgres_port)
    else:
        kill_postgres(Path(plan.postgres_pid_file))


def cut_connections(port: int) -> int:
    """Shut every connection of this process to Postgres, as a network that is gone does; returns how many."""
    cut = 0
    for entry in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError), socket.socket(fileno=os.dup(int(entry.name))) as connection:
            if connection.family == socket.AF_INET and connection.getpeername()[1] == port:
                connection.shutdown(socket.SHUT_RDWR)
                cut += 1
    return cut


def kill_postgres(pid_file: Path) -> None:
    """kill -9 the server and every process of it at once: nothing is flushed, nobody is told."""
    server = int(pid_file.read_text().split()[0])
    for pid in (server, *_children(server)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                    found.append(int(entry.name))
    return found
