"""``make mutate-guards``: remove one guard at a time and require its named test to fail.

``ONLY=name`` tries the guards whose name contains it, ``OUT=file.json`` writes what came out. Ends with status 1 when a
guard survived: then nothing proves it.
"""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.guards.guard import Guard
from tests.guards.in_a_long_life import LONG_LIFE_GUARDS
from tests.guards.in_the_book import BOOK_GUARDS
from tests.guards.in_the_code import CODE_GUARDS
from tests.guards.in_the_feeds import FEED_GUARDS
from tests.guards.trial import WHOLE_S, Trial, Verdict, attempt, copy_tree, run_tests

ROOT = Path(__file__).parent.parent.parent
TREES = 2
"""Trials at once: one a core."""


def main() -> int:
    """Run the trials asked for and print the list; returns the exit status."""
    wanted = os.environ.get("ONLY", "")
    guards = [
        guard
        for guard in (*BOOK_GUARDS, *CODE_GUARDS, *FEED_GUARDS, *LONG_LIFE_GUARDS)
        if wanted in guard.name
    ]
    if not guards:
        print(f"no guard is called {wanted!r}")
        return 2
    with tempfile.TemporaryDirectory(prefix="onebook-guards-") as folder:
        trees = [Path(folder) / str(number) for number in range(TREES)]
        for tree in trees:
            copy_tree(ROOT, tree)
        tests = sorted({guard.test for guard in guards})
        print(f"→ {len(guards)} guards; first their {len(tests)} tests on the whole tree")
        whole = run_tests(trees[0], tests, within_s=WHOLE_S)
        if whole.returncode != 0:
            print(whole.stdout[-3000:])
            print("these tests fail with every guard in place: nothing can be learnt from them")
            return 1
        trials = _try_all(guards, trees)
    survived = [trial for trial in trials if trial.verdict is not Verdict.KILLED]
    print(f"→ {len(trials)} guards, {len(trials) - len(survived)} killed, {len(survived)} survived")
    _write(trials)
    return 1 if survived else 0


def _try_all(guards: Sequence[Guard], trees: Sequence[Path]) -> list[Trial]:
    """Try every guard, each tree in a thread of its own; the order is the list's."""
    waiting: queue.SimpleQueue[Guard] = queue.SimpleQueue()
    for guard in guards:
        waiting.put(guard)
    done: dict[str, Trial] = {}

    def work(tree: Path) -> None:
        while True:
            try:
                guard = waiting.get_nowait()
            except queue.Empty:
                return
            trial = done[guard.name] = attempt(guard, tree)
            print(f"  {trial.verdict:8} {guard.row:4} {guard.name}\n           {guard.test}", flush=True)
            if trial.verdict is Verdict.BROKEN:
                print(trial.told)

    threads = [threading.Thread(target=work, args=(tree,)) for tree in trees]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [done[guard.name] for guard in guards]


def _write(trials: Sequence[Trial]) -> None:
    out = os.environ.get("OUT")
    if not out:
        return
    shown = [
        {
            "guard": trial.guard.name,
            "row": trial.guard.row,
            "place": trial.guard.place,
            "test": trial.guard.test,
            "verdict": str(trial.verdict),
            "told": trial.told,
        }
        for trial in trials
    ]
    killed = sum(trial.verdict is Verdict.KILLED for trial in trials)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    report = {
        "guards": len(trials),
        "killed": killed,
        "survived": len(trials) - killed,
        "commit": commit,
        "trials": shown,
    }
    Path(out).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
