"""Many cells at once: they wait most of the time, so several share the machine."""

import os
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.simulation.matrix.cells import Cell
from tests.simulation.matrix.ground import Ground
from tests.simulation.matrix.story import Result, run_cell

AT_ONCE = int(os.environ.get("CELLS_AT_ONCE") or 8)


def run_cells(
    ground: Ground, cells: Sequence[Cell], what: str, *, on_failure: Callable[[Result], None]
) -> list[Result]:
    """Return the results in the order of the cells; a line of progress goes to the terminal.

    They are played shuffled: those that wait a minute for a receipt would else all wait together.
    """
    done, broken, saying = 0, 0, threading.Lock()

    def play(cell: Cell) -> Result:
        nonlocal done, broken
        result = run_cell(ground, cell)
        with saying:
            done += 1
            broken += bool(result.problems)
            if result.problems:
                on_failure(result)
            print(f"\r{what} {done}/{len(cells)}, {broken} broken: {cell.name:60.60}", end="", flush=True)
        return result

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix=what) as pool:
        try:
            order = random.Random(0).sample(range(len(cells)), len(cells))
            played = dict(zip(order, pool.map(play, [cells[number] for number in order]), strict=True))
            results = [played[number] for number in range(len(cells))]
        except KeyboardInterrupt:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    if cells:
        print()
    return results
