"""``make fault-matrix``: every crash point times every answer of the venue, on real processes, then pairs of crashes.

CELL=point/answer plays one cell (``point/answer+point`` a pair), SEED draws acts and pairs, PAIRS= says how many pairs,
ONLY=pattern plays the cells whose name has it, OUT=file.json keeps the numbers. It fails when a cell does.
"""

import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.simulation.matrix.cells import Cell, cell, pairs, table
from tests.simulation.matrix.desk import CLOCK
from tests.simulation.matrix.ground import ground
from tests.simulation.matrix.running import run_cells
from tests.simulation.matrix.story import Result
from tests.simulation.matrix.table import drawn, numbers, reproduce, void_lines

PAIRS = 200
LOGS = Path("var/fault-matrix")


def main() -> int:
    """Run what the environment asks for; return the exit status."""
    seed = int(os.environ.get("SEED") or 1)
    wanted = os.environ.get("CELL") or ""
    only = os.environ.get("ONLY") or ""
    void = {each.name: reason for each, reason in table(seed) if reason is not None}
    if wanted:
        if reason := void.get(wanted):
            print(f"{wanted} cannot happen: {reason}")
            return 0
        single, double = ([cell(wanted, seed)], []) if "+" not in wanted else ([], [cell(wanted, seed)])
    else:
        count = int(os.environ.get("PAIRS") or (0 if only else PAIRS))
        single = [each for each, reason in table(seed) if reason is None and re.search(only, each.name)]
        double = pairs(seed, count)
    began = CLOCK.monotonic()
    with ground(seed=seed) as common:
        results = run_cells(common, single, "cell", on_failure=_show)
        in_pairs = run_cells(common, double, "pair", on_failure=_show)
    seconds = CLOCK.monotonic() - began
    if single and not wanted:
        print(drawn(results, void))
        print(f"{len(void)} cells cannot happen:", *void_lines(void), sep="\n")
    found = numbers(results, in_pairs, void, seed=seed, seconds=seconds)
    _report(results, in_pairs, seconds)
    if out := os.environ.get("OUT"):
        Path(out).write_text(json.dumps(found, indent=2) + "\n")
    return 1 if found["failed"] or found["pairs_failed"] else 0


def _show(result: Result) -> None:
    """Say at once what broke and how to see it again; the logs of its processes are kept."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{result.cell.name.replace('/', '-')}-{result.cell.seed}.log"
    log.write_text("\n".join([*result.problems, result.seen, result.logs]))
    acts = ", ".join(
        f"{blow.act} +{blow.delay_ms:g} ms" if blow.delay_ms else blow.act for blow in result.cell.blows
    )
    print(f"\nBROKEN {result.cell.name} ({acts})  {reproduce(result)}  {log}")
    for problem in result.problems:
        print(f"    {problem.strip().splitlines()[-1]}")


def _report(results: Sequence[Result], in_pairs: Sequence[Result], seconds: float) -> None:
    broken = sum(bool(each.problems) for each in (*results, *in_pairs))
    cells: list[Cell] = [each.cell for each in (*results, *in_pairs)]
    acts = {
        act: sum(blow.act == act for each in cells for blow in each.blows)
        for act in ("kill", "stop", "cut", "postgres")
    }
    print(
        f"{len(results)} cells, {len(in_pairs)} pairs, {broken} broken, {seconds / 60:.1f} min; blows: {acts}"
    )


if __name__ == "__main__":
    sys.exit(main())
