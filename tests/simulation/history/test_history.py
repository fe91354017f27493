"""A short run of everybody at once, with executors frozen, killed and cut off, judged by every rule (item by item in rules.py)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulation.history.run import late_ms, run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


def test_whatever_is_cut_frozen_or_killed_no_promise_is_broken(
    database_url: str, role_url: Callable[[str], str], tmp_path: Path
) -> None:
    outcome = run(database_url, role_url, tmp_path, seed=7, operations=900)
    assert outcome.violations == []
    counts = outcome.counts()
    for what in ("claim ok", "claim fail", "send ok", "record ok", "take_epoch ok", "control ok", "trade ok"):
        assert counts[what] > 1, f"a history without {what} proves nothing"
    assert set(late_ms(outcome.history, "claim")) == {0}, "no claim began after a switch was answered"
