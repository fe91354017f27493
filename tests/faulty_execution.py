"""Execution that kills itself at the crash point named by ONEBOOK_TEST_FAULT: run as ``python -m tests.faulty_execution``."""

import os
import signal

from services.execution.__main__ import setup
from services.execution.config import ExecutionSettings
from shared.runtime.faultpoints import arm
from shared.runtime.service import run_service


def _die_at(wanted: str, name: str) -> None:
    if name == wanted or name.endswith(f".{wanted}"):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    wanted = os.environ["ONEBOOK_TEST_FAULT"]
    arm(lambda name: _die_at(wanted, name))
    run_service("execution", ExecutionSettings, setup)
