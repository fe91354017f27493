"""Keeps the deployment's processes alive on one machine: started, watched, restarted when they die, ended together.

A process that says its settings are wrong (status 2) is not started again: that changes nothing. Every other death is
answered with a restart, at once the first time and after a growing pause when it keeps dying.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from shared.runtime.clock import Clock

BAD_SETTING_STATUS = 2
STOP_WITHIN_S = 12.0
STEADY_AFTER_S = 10.0
PAUSES_S = (0.1, 0.5, 1.0, 2.0, 5.0)
_LINES_TOLD = 6


class ProcessRefused(Exception):
    """A process cannot run, or cannot be replaced; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Program:
    """One process of the deployment: ``python -m module …`` with exactly this environment."""

    name: str
    module: str
    environment: Mapping[str, str]
    arguments: Sequence[str] = ()
    replaceable: bool = True
    """False for one that takes what it knows to its grave: its death is the end, not a restart."""


@dataclass(slots=True)
class Watched:
    """A program while it is kept alive."""

    program: Program
    log: Path
    pid: int | None = None
    restarts: int = 0
    last_status: int | None = None

    @property
    def name(self) -> str:
        return self.program.name


def clean_environment(*, keep: Sequence[str] = ()) -> dict[str, str]:
    """Return what a process needs of ours to run at all: nothing of the caller's own settings, keys or database."""
    wanted = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", *keep)
    return {name: os.environ[name] for name in wanted if name in os.environ}


class Supervisor:
    """Runs programs until told to stop. Each program's output goes to ``folder``/NAME.log."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._clock = clock
        self._stopping = asyncio.Event()
        self.watched: dict[str, Watched] = {}

    @property
    def restarts(self) -> int:
        """Return how many times any process had to be started again."""
        return sum(each.restarts for each in self.watched.values())

    async def keep(self, program: Program) -> None:
        """Keep one program alive until ``stop``; raises ProcessRefused when starting it again is no use."""
        watched = Watched(program, self._folder / f"{program.name}.log")
        self.watched[program.name] = watched
        failures = 0
        with watched.log.open("ab") as log:
            while not self._stopping.is_set():
                started = self._clock.monotonic()
                watched.last_status = await self._run_once(watched, log)
                if self._stopping.is_set():
                    return
                if watched.last_status == BAD_SETTING_STATUS or not program.replaceable:
                    raise ProcessRefused(
                        f"{program.name} ended with status {watched.last_status}; the end of {watched.log}:"
                        f"\n{tail(watched.log)}"
                    )
                steady = self._clock.monotonic() - started > STEADY_AFTER_S
                failures = 0 if steady else failures + 1
                watched.restarts += 1
                await self._pause(PAUSES_S[min(failures, len(PAUSES_S) - 1)])

    def stop(self) -> None:
        """End every program; each ``keep`` returns once its process is gone."""
        self._stopping.set()

    async def _run_once(self, watched: Watched, log: IO[bytes]) -> int:
        """Start the process and wait for its end, or end it when we stop; returns its status."""
        program = watched.program
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            program.module,
            *program.arguments,
            env=dict(program.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C in the terminal is for us to answer, not for each of them
        )
        watched.pid = process.pid
        try:
            async with asyncio.TaskGroup() as group:
                ending = group.create_task(self._end_when_stopping(process))
                status = await process.wait()
                ending.cancel()
        finally:
            watched.pid = None
            if process.returncode is None:
                process.kill()
                await process.wait()
        return status

    async def _end_when_stopping(self, process: asyncio.subprocess.Process) -> None:
        await self._stopping.wait()
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_WITHIN_S):
                await process.wait()
                return
        with suppress(ProcessLookupError):
            process.kill()

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


def tail(log: Path, *, lines: int = _LINES_TOLD) -> str:
    """Return the last lines of a log, for a person."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "(no log)"


async def run_once(program: Program, *, within_s: float) -> str:
    """Run a program to its end and return what it printed; raises ProcessRefused with its words when it fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        program.module,
        *program.arguments,
        env=dict(program.environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(within_s):
            printed, complained = await process.communicate()
    except TimeoutError:
        raise ProcessRefused(f"{program.name} did not end within {within_s:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise ProcessRefused(f"{program.name} failed: {complained.decode(errors='replace').strip()[-800:]}")
    return printed.decode()
