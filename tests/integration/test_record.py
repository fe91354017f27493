"""Recorder mode: the collector alone, on the feeds' real protocols, until Ctrl-C."""

import signal
from pathlib import Path

import pytest

from tests.factories import Desk
from tests.processes import running, until, venue

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]


def test_the_recorder_records_says_so_and_ends_on_an_interrupt(desk: Desk, database_url: str, tmp_path: Path):
    (tmp_path / "venue").mkdir()
    with (
        venue(tmp_path / "venue", WINDOW_S="20", FIRST_OPEN_IN_S="1") as simulator,
        running(
            "deploy.local.record",
            {"DATABASE_URL": database_url, "INSTANCE": "recorder", **simulator.environment()},
            tmp_path / "record.log",
        ) as recorder,
    ):

        def ticks() -> bool:
            assert recorder.process.poll() is None, recorder.output()
            found = desk.all("SELECT 1 FROM price_ticks WHERE source = 'binance_spot' LIMIT 1")
            books = desk.all("SELECT 1 FROM order_book_snapshots LIMIT 1")
            return bool(found and books)

        until("prices and books are recorded", ticks, within_s=90)
        until("a line says so", lambda: "BTC binance_spot" in recorder.output(), within_s=40)
        assert recorder.kill(signal.SIGINT) == 0, recorder.output()
        said = recorder.output()
    assert "FEED_API_KEY is not set" in said
    assert "recorded so far" in said
    assert "0 rows put aside" in said
    beats = desk.all("SELECT service FROM heartbeats WHERE instance = 'recorder'")
    assert beats == [{"service": "feed_collector"}], "nobody else runs"


def test_a_recorder_that_cannot_run_says_why(tmp_path: Path, database_url: str):
    with running(
        "deploy.local.record",
        {"DATABASE_URL": database_url, "INSTRUMENTS": "TULIPS"},
        tmp_path / "record.log",
    ) as recorder:
        assert until("it ends", lambda: recorder.process.poll() is not None, within_s=60)
        assert recorder.process.returncode == 1
        assert "TULIPS cannot be watched" in recorder.output()
