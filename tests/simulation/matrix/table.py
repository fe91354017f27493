"""The table a person reads: points down, answers across, one sign a cell; and the same as numbers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from shared.runtime.faultpoints import FULL_NAMES
from tests.simulation.matrix.answers import ANSWERS
from tests.simulation.matrix.story import Result

SIGNS = {"kill": "k", "stop": "s", "cut": "c", "postgres": "p"}
FAILED, VOID, NOT_RUN = "X", "·", " "
LEGEND = (
    "held: k kill -9, s frozen, c cut from its database, p Postgres killed"
    f"   {FAILED} broken   {VOID} cannot happen"
)


def drawn(results: Sequence[Result], void: Mapping[str, str]) -> str:
    """Return the table of single cells."""
    signs = {result.cell.name: sign(result) for result in results}
    width = max(len(name) for name in FULL_NAMES)
    lines = []
    for number, answer in enumerate(ANSWERS):
        bars = "".join("│ " if before < number else "" for before in range(number))
        lines.append(f"{'':{width}}  {bars}{answer}")
    for point in FULL_NAMES:
        row = [_of(f"{point}/{answer}", signs, void) for answer in ANSWERS]
        lines.append(f"{point:{width}}  {' '.join(row)}")
    return "\n".join([*lines, "", LEGEND])


def void_lines(void: Mapping[str, str]) -> list[str]:
    """Return each reason why cells cannot happen, and how many cells of each answer it concerns."""
    by_reason: dict[str, Counter[str]] = {}
    for name, reason in void.items():
        by_reason.setdefault(reason, Counter())[name.partition("/")[2]] += 1
    return [
        f"{sum(answers.values()):4} {reason}: {', '.join(f'{answer} {count}' for answer, count in answers.items())}"
        for reason, answers in by_reason.items()
    ]


def _of(name: str, signs: Mapping[str, str], void: Mapping[str, str]) -> str:
    return VOID if name in void else signs.get(name, NOT_RUN)


def sign(result: Result) -> str:
    """Return one letter for how a cell went."""
    return FAILED if result.problems else SIGNS[result.cell.blows[0].act]


def reproduce(result: Result) -> str:
    """Return the command that plays a cell again."""
    return f"make fault-matrix CELL={result.cell.name} SEED={result.cell.seed}"


def numbers(
    results: Sequence[Result], pairs: Sequence[Result], void: Mapping[str, str], *, seed: int, seconds: float
) -> dict[str, Any]:
    """Return the run as one flat object, with lists beside the numbers."""
    everything = [*results, *pairs]
    failed = [result for result in everything if result.problems]
    return {
        "points": len({result.cell.point for result in results}),
        "answers": len({result.cell.answer for result in results}),
        "cells": len(results),
        "void": len(void),
        "failed": sum(bool(result.problems) for result in results),
        "pairs": len(pairs),
        "pairs_failed": sum(bool(result.problems) for result in pairs),
        "seed": seed,
        "seconds": round(seconds),
        "restarts": sum(result.restarts for result in everything),
        "played_again": sum(result.tries - 1 for result in everything),
        "acts": dict(Counter(blow.act for result in everything for blow in result.cell.blows)),
        "point_names": list(FULL_NAMES),
        "answer_names": list(ANSWERS),
        "void_reasons": dict(void),
        "failures": [
            {"cell": each.cell.name, "reproduce": reproduce(each), "problems": each.problems}
            for each in failed
        ],
    }
