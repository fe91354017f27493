"""What a benchmark found: figures for a machine, a text for a person, and the arithmetic of both."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any


@dataclass(frozen=True, slots=True)
class Findings:
    """Figures by name, flat, as OUT gets them; ``text`` is what is printed."""

    figures: Mapping[str, Any]
    text: str
    faults: Sequence[str] = field(default_factory=tuple)
    """What was seen that must not be: the run fails, however fast it was."""


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least ``percent`` of the values do not exceed (nearest rank)."""
    assert values, "nothing was measured"
    return sorted(values)[max(ceil(len(values) * percent / 100), 1) - 1]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return lines of a table: first column to the left, the others to the right."""
    texts = [list(head), *([str(each) for each in row] for row in rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(head))]
    return "\n".join(
        "  "
        + row[0].ljust(widths[0])
        + "".join("  " + each.rjust(width) for each, width in zip(row[1:], widths[1:], strict=True))
        for row in texts
    )


def histogram(values: Sequence[float], edges: Sequence[float], unit: str) -> str:
    """Return one line a bin: its edges, how many values fell into it, and a bar."""
    lines = []
    low = float("-inf")
    for high in (*edges, float("inf")):
        count = sum(low < value <= high for value in values)
        name = f"over {low:g}" if high == float("inf") else f"to {high:g}"
        lines.append(f"  {name:>9} {unit} {count:5d} {'#' * ceil(count * 60 / max(len(values), 1))}")
        low = high
    return "\n".join(lines)
