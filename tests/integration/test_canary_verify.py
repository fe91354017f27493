"""canary verify on a real Book, through the command line."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import REPOSITORY
from tests.factories import Desk

pytestmark = pytest.mark.integration


@pytest.fixture
def desk(database_url: str, role_url: Callable[[str], str]) -> Iterator[Desk]:
    with Desk(role_url, database_url, account="canary", strategy="always-trade-canary") as opened:
        yield opened


def verify(desk: Desk) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "services.operator", "canary", "verify", "--windows", "1"],
        env={**os.environ, "DATABASE_URL": desk.role_url("onebook_operator")},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_window_is_verified_point_by_point(desk: Desk) -> None:
    assert "has spoken in no window" in verify(desk).stderr
    window = desk.window(closes_in_s=10)
    desk.hold(window)
    desk.do(
        "risk_monitor",
        "INSERT INTO position_verifications (account_id, mode, verified) VALUES (%s, %s, true)",
        desk.account,
        desk.mode,
    )
    desk.owner.execute("UPDATE windows SET closes_at = clock_timestamp() WHERE window_id = %s", [window])
    desk.do("reconciler", "SELECT settle(%s, 0, 1, 'data', now(), 'DOWN')", window)
    answer = verify(desk)
    assert answer.returncode == 1
    # Nobody sent the order, recorded the close or compared the balance: those do not hold, the rest does.
    missing = [line for line in answer.stdout.splitlines() if "✗" in line]
    assert [line.split("✗")[1].split(".")[0].strip() for line in missing] == ["2", "6", "10"]
