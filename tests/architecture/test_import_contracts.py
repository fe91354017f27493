"""The import contracts hold, and a forbidden import breaks the contract that is meant for it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
LINT = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]

# contract number: file, and the import that must break it
FORBIDDEN = {
    "1": ("shared/runtime/bad.py", "import services.execution"),
    "2": ("services/execution/bad.py", "import services.feed_collector"),
    "3": ("shared/observability/bad.py", "import shared.runtime.clock"),
    "4": ("services/execution/decide.py", "import services.execution.config"),
    "5": ("shared/domain/bad.py", "import asyncio"),
    "6a": ("services/execution/actions.py", "import sqlalchemy"),
    "6c": ("services/execution/loops.py", "import shared.db.queries.lifecycle"),
    "6d": ("shared/db/bad.py", "import shared.bus.channels"),
    "7": ("services/feed_collector/bad.py", "import shared.venue.trading"),
    "7b": ("shared/venue/reading.py", "import shared.venue.signing"),
    "7c": ("services/execution/worse.py", "import shared.venue.wire"),
    "8": ("shared/bus/bad.py", "import httpx"),
    "9": ("services/simulator/bad.py", "import shared.domain.money"),
    "10": ("services/backtesting/bad.py", "import shared.bus.listen"),
    "11": ("shared/db/severing.py", "import shared.db.lock"),
    "12": ("services/feed_collector/worse.py", "import socket"),
    "13": ("services/operator/bad.py", "import polymarket"),
}


def broken_contracts(folder):
    """Return the numbers of the contracts that do not hold."""
    done = subprocess.run(LINT, cwd=folder, capture_output=True, text=True, check=False)
    assert "Contracts: " in done.stdout, done.stdout + done.stderr
    return set(
        re.findall(r"^(\d+[a-z]?) [^\n]*(?:\n[^\n\d][^\n]*)*? BROKEN", done.stdout, flags=re.MULTILINE)
    )


def test_nobody_imports_what_they_must_not():
    assert broken_contracts(REPOSITORY) == set()


@pytest.fixture(scope="module")
def broken_by_bad_imports(tmp_path_factory):
    """Return what breaks in a copy of the house where every forbidden import stands once."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copy(REPOSITORY / "pyproject.toml", folder)
    for part in ("shared", "services"):
        shutil.copytree(REPOSITORY / part, folder / part, ignore=shutil.ignore_patterns("web", "__pycache__"))
    for place, line in FORBIDDEN.values():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        old = path.read_text() if path.exists() else ""
        path.write_text(f"{old}\n{line}\n")
    return broken_contracts(folder)


@pytest.mark.parametrize("contract", FORBIDDEN)
def test_a_forbidden_import_is_caught(broken_by_bad_imports, contract):
    assert contract in broken_by_bad_imports
