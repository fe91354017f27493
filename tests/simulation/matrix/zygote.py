"""A process that has imported every service once and forks the real ones: a start costs 30 ms instead of two seconds.

What it forks is a process like any other: its own pid, its own loop, killed and frozen by real signals. It forks before
any thread, loop or connection exists, and its children die with it.

``python -m tests.simulation.matrix.zygote SOCKET``
"""

import ctypes
import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tests.simulation.matrix.strikes import PLAN, arm_from, read_plan

_PR_SET_PDEATHSIG = 1
_REAP_EVERY_S = 0.2


def serve(path: str) -> NoReturn:
    """Fork one service for each request, for ever."""
    die_with_parent()
    services = _services()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    gc.collect()
    gc.freeze()
    while True:
        readable, _, _ = select.select([listener], [], [], _REAP_EVERY_S)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not readable:
            continue
        asking, _ = listener.accept()
        with asking:
            request = json.loads(asking.makefile().readline())
            pid = os.fork()
            if pid == 0:
                listener.close()
                asking.close()
                _become(services[request["service"]], request)
            asking.sendall(f"{pid}\n".encode())


def _services() -> Mapping[str, Any]:
    """Import every service and what they import late."""
    import services.execution.__main__ as execution  # noqa: PLC0415
    import services.reconciler.__main__ as reconciler  # noqa: PLC0415
    from services.execution.config import ExecutionSettings  # noqa: PLC0415
    from services.reconciler.config import ReconcilerSettings  # noqa: PLC0415

    return {
        "execution": (ExecutionSettings, execution.setup),
        "reconciler": (ReconcilerSettings, reconciler.setup),
    }


def _become(service: Any, request: Mapping[str, Any]) -> NoReturn:
    """Be a service of one's own: its environment, its log, its faults."""
    status = 1
    try:
        die_with_parent()
        os.setsid()
        sink = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        os.environ.clear()
        os.environ.update(request["environment"])
        if PLAN in os.environ:
            arm_from(read_plan(os.environ[PLAN]))
        from shared.runtime.service import run_service  # noqa: PLC0415

        settings, setup = service
        run_service(request["service"], settings, setup)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except Exception:  # noqa: BLE001 - whatever it was, this is a fork: it must not run on as the zygote
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def die_with_parent() -> None:
    """Let the kernel kill us when whoever started us is gone."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass
class Forked:
    """One process the zygote made for us."""

    service: str
    pid: int
    handle: int

    @property
    def alive(self) -> bool:
        return not select.select([self.handle], [], [], 0)[0]

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, number)

    def end(self) -> None:
        """Kill it, frozen or not, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        select.select([self.handle], [], [], 10)
        os.close(self.handle)


def fork(path: Path, service: str, environment: Mapping[str, str], log: Path) -> Forked:
    """Ask the zygote for a service."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(20)
        asking.connect(str(path))
        request = {"service": service, "environment": dict(environment), "log": str(log)}
        asking.sendall(json.dumps(request).encode() + b"\n")
        pid = int(asking.makefile().readline())
    return Forked(service, pid, os.pidfd_open(pid))


if __name__ == "__main__":
    serve(sys.argv[1])
