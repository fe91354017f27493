"""Execution that stops itself (SIGSTOP) once, at the named point: ``python -m tests.integration.stopping_execution``."""

import os
import signal

from services.execution.__main__ import setup
from services.execution.config import ExecutionSettings
from shared.runtime.faultpoints import arm
from shared.runtime.service import run_service

if __name__ == "__main__":
    waiting = {os.environ["ONEBOOK_TEST_STOP_AT"]}

    def stop_at(name: str) -> None:
        if name in waiting:
            waiting.discard(name)
            os.kill(os.getpid(), signal.SIGSTOP)

    arm(stop_at)
    run_service("execution", ExecutionSettings, setup)
