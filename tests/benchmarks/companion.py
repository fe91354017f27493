"""A process of the benchmark's own, spoken to in lines of JSON: its time is not the time of who measures."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.conftest import REPOSITORY

ANSWER_S = 20.0


class Companion:
    """One running ``python -m module`` that reads lines from us and writes lines to us."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._read = b""

    def say(self, words: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words).encode() + b"\n")
        self._process.stdin.flush()

    def hear(self, *, within_s: float = ANSWER_S) -> Any:
        """Return its next line; fails when none comes."""
        heard = self.hear_if_any(within_s=within_s)
        assert heard is not None, f"{self._process.args!r} said nothing for {within_s} s"
        return heard

    def hear_if_any(self, *, within_s: float = 0.0) -> Any | None:
        """Return its next line, or None when none comes in time."""
        assert self._process.stdout is not None
        while b"\n" not in self._read:
            ready, _, _ = select.select([self._process.stdout], [], [], within_s)
            if not ready:
                return None
            chunk = os.read(self._process.stdout.fileno(), 65_536)
            assert chunk, f"{self._process.args!r} has ended"
            self._read += chunk
        line, _, self._read = self._read.partition(b"\n")
        return json.loads(line)


@contextmanager
def companion(module: str, *arguments: str) -> Iterator[Companion]:
    """Start a process and wait until it says that it is ready; it is gone when the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    try:
        yield Companion(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait(timeout=15)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
