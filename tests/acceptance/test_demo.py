"""`make demo` as a whole: every service its own process, a real Postgres, the venue's wire protocols."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.local import embedded
from tests.conftest import REPOSITORY, RUN_FOLDER_VARIABLE
from tests.processes import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]
SERVICES = ("feed_collector", "signal_engine", "execution", "risk_monitor", "reconciler", "dashboard")
WITHIN_S = 300


@dataclass
class Demo:
    """A demo that runs."""

    process: subprocess.Popen[bytes]
    folder: Path

    def said(self) -> str:
        return (self.folder / "said.txt").read_text()

    def pids(self) -> dict[str, int]:
        with suppress(FileNotFoundError):
            return json.loads((self.folder / "processes.json").read_text())
        return {}

    def wait_for(self, words: str) -> None:
        until(words, lambda: words in self.said() or self.process.poll() is not None, within_s=WITHIN_S)
        assert words in self.said(), self.said()

    def kill(self, service: str) -> None:
        """Kill -9, and wait until another process of that name is there."""
        before = self.pids()[service]
        os.kill(before, signal.SIGKILL)
        until(f"{service} is started again", lambda: self.pids().get(service, before) != before)

    def summary(self) -> dict[str, Any]:
        self.process.wait(timeout=WITHIN_S)
        assert (self.folder / "s.json").exists(), self.said()
        return json.loads((self.folder / "s.json").read_text())


@contextmanager
def demo(name: str, *arguments: str) -> Iterator[Demo]:
    """Start a demo in a folder of the run; it is gone, and so is its database, when the block ends."""
    folder = Path(os.environ[RUN_FOLDER_VARIABLE]) / name
    folder.mkdir(mode=0o755)
    options = (
        "--headless",
        "--dashboard-port",
        "0",
        "--folder",
        str(folder),
        "--summary",
        str(folder / "s.json"),
    )
    with (folder / "said.txt").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.local.demo", *options, *arguments],
            cwd=REPOSITORY,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Demo(process, folder)
    finally:
        for _ in range(2):  # gracefully, then at once
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)
        process.kill()
        process.wait()
        server = embedded.find(folder / "postgres")
        if server is not None:
            server.stop()


def test_in_live_book_and_venue_agree_although_each_service_was_killed_with_a_position_open():
    with demo("demo-live", "--mode", "LIVE", "--windows", "1") as running:
        running.wait_for("position monitoring")
        for service in SERVICES:
            running.kill(service)
        found = running.summary()
    assert found["differences"] == []
    assert found["problems"] == []
    assert running.process.returncode == 0
    assert {service: times for service, times in found["restarts"].items() if times} == dict.fromkeys(
        SERVICES, 1
    )
    assert found["windows_settled"] >= 1
    assert found["fills"] >= 1
    assert set(found["positions_by_state"]) <= {"CLOSED", "VOID"}
    for account, wallet in found["simulator"].items():
        assert wallet["cash_usdc"] == found["accounts"][account]["cash_usdc"]


def test_in_paper_both_strategies_trade_to_settlement_and_no_order_leaves():
    with demo("demo-paper", "--windows", "1", "--source", "generator") as running:
        found = running.summary()
    assert found["ok"], running.said()
    assert running.process.returncode == 0
    assert found["windows_settled"] >= 1
    assert found["mismatches"] == 0
    assert found["simulator"] == {}


def test_a_demo_that_cannot_be_meant_ends_at_once_with_words(tmp_path: Path):
    told = subprocess.run(
        [sys.executable, "-m", "deploy.local.demo", "--mode", "REAL", "--folder", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 2
    assert "MODE must be PAPER, DRY_RUN or LIVE, not 'REAL'" in told.stderr


def test_ctrl_c_ends_it_gracefully_with_nothing_left_running():
    with demo("demo-interrupted") as running:
        running.wait_for("epoch taken")
        pids = running.pids()
        running.process.send_signal(signal.SIGINT)
        found = running.summary()
    assert running.process.returncode == 0
    assert found["ok"]
    assert [name for name, pid in pids.items() if Path(f"/proc/{pid}").exists()] == []
