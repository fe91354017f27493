"""One trial: a copy of the tree without one guard, in which the guard's own test is run."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.guards.guard import Guard, find, remove

TRIAL_S = 240
WHOLE_S = 1200
"""All tests of the list, once, with every guard in place."""


class Verdict(StrEnum):
    """What the test said of a tree without its guard."""

    KILLED = "killed"
    SURVIVED = "SURVIVED"
    BROKEN = "BROKEN"
    """The test did not run: what replaced the guard is not a program, so it proves nothing."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The end of one trial; ``told`` is the first line of what failed."""

    guard: Guard
    verdict: Verdict
    told: str


def copy_tree(source: Path, target: Path) -> None:
    """Copy what git knows or would add, as it stands on disk; the virtual environment is shared."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=source,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (source / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)


def run_tests(
    tree: Path, tests: Sequence[str], *, within_s: int = TRIAL_S
) -> subprocess.CompletedProcess[str]:
    """Run some tests of a tree; the answer's stdout ends with pytest's short summary."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ONEBOOK_TEST")}
    arguments = ["-q", "-x", "-rfE", "-p", "no:cacheprovider", "--no-header", "--tb=line"]
    try:
        return subprocess.run(
            [sys.executable, "-m", "pytest", *arguments, *tests],
            cwd=tree,
            env=inherited | {"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(
            [], 1, f"FAILED {tests[0]} - it did not end within {within_s} s", ""
        )


def attempt(guard: Guard, tree: Path) -> Trial:
    """Return what a guard's test says of the tree without it; the tree is whole again afterwards."""
    path, _ = find(guard, tree)
    whole = path.read_text()
    remove(guard, tree)
    try:
        run = run_tests(tree, [guard.test])
    finally:
        path.write_text(whole)
        with suppress(OSError):
            shutil.rmtree(path.parent / "__pycache__")
    failed = re.search(rf"^FAILED {re.escape(guard.test)}(.*)$", run.stdout, re.MULTILINE)
    if failed is not None:
        return Trial(guard, Verdict.KILLED, failed[1].partition(" - ")[2][:160])
    if run.returncode == 0:
        return Trial(guard, Verdict.SURVIVED, "")
    return Trial(guard, Verdict.BROKEN, (run.stdout + run.stderr)[-600:])
