"""What was asked and what came back, by whom and when: the history of a run, in the manner of Jepsen.

An operation begins with ``invoke`` and ends with ``ok`` (it happened), ``fail`` (it certainly did not) or ``info`` (it
may have happened); one whose process died has no end at all, which says as much as ``info``. Times are seconds of the
machine's monotonic clock, which all its processes share.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from tests.factories import CLOCK


class End(StrEnum):
    OK = "ok"
    FAIL = "fail"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one process. ``completed_at`` of an ``info`` says when its caller gave up, not when it happened."""

    process: str
    function: str
    invoked_at: float
    value: Mapping[str, Any] = field(default_factory=dict)
    end: End = End.INFO
    completed_at: float | None = None
    answer: Any = None

    @property
    def last_at(self) -> float:
        """The last moment at which it can have taken effect."""
        known = self.end is not End.INFO and self.completed_at is not None
        return self.completed_at if known and self.completed_at is not None else float("inf")


class Journal:
    """Appends to the history of a run; several processes may write to one file, a line is one write."""

    def __init__(self, path: Path, process: str) -> None:
        self.process = process
        self._count = 0
        self._file = path.open("ab", buffering=0)

    def invoke(self, function: str, /, **value: object) -> str:
        """Write that an operation begins; returns its name."""
        self._count += 1
        name = f"{self.process}#{self._count}"
        self._write(
            {
                "id": name,
                "process": self.process,
                "function": function,
                "value": value,
                "at": CLOCK.monotonic(),
            }
        )
        return name

    def complete(self, name: str, end: End, answer: object = None) -> None:
        """Write how an operation ended."""
        self._write({"id": name, "end": end, "answer": answer, "at": CLOCK.monotonic()})

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, row: Mapping[str, object]) -> None:
        self._file.write(json.dumps(row, default=str).encode() + b"\n")


def read(path: Path) -> Sequence[Operation]:
    """Return the operations of a journal in the order they were invoked."""
    return tuple(sorted(_pair(path.read_text().splitlines()), key=lambda each: each.invoked_at))


def _pair(lines: Iterable[str]) -> Iterator[Operation]:
    begun: dict[str, dict[str, Any]] = {}
    for line in lines:
        row = json.loads(line)
        if "function" in row:
            begun[row["id"]] = row
        else:
            first = begun.pop(row["id"])
            yield Operation(
                *(first["process"], first["function"], first["at"], first["value"]),
                *(End(row["end"]), row["at"], row["answer"]),
            )
    for row in begun.values():
        yield Operation(row["process"], row["function"], row["at"], row["value"])
