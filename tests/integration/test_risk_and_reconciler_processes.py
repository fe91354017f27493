"""The two watchdogs as the processes they are: an epoch is compared, a position expires and is settled by the venue."""

import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.db.lock import EXECUTOR_LOCK_KEY
from tests.factories import Desk
from tests.processes import Running, Street, running, until, venue

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@contextmanager
def service(name: str, street: Street, **more: str) -> Iterator[Running]:
    environment = {
        "DATABASE_URL": street.desk.role_url(f"onebook_{name}"),
        "INSTANCE": f"{name}-under-test",
        "HTTP_PORT_FILE": str(street.folder / f"{name}.port"),
        **street.venue.environment(),
        **more,
    }
    with running(f"services.{name}", environment, street.folder / f"{name}.log") as process:
        until(f"{name} has started", lambda: _started(process, street.folder / f"{name}.port"))
        yield process


def _started(process: Running, port_file: Path) -> bool:
    assert process.process.poll() is None, process.output()
    return port_file.exists()


def page(street: Street, name: str, path: str) -> tuple[int, Any]:
    port = (street.folder / f"{name}.port").read_text().strip()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=6) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def beaten(desk: Desk, name: str) -> bool:
    rows = desk.all("SELECT healthy FROM heartbeats WHERE instance = %s", f"{name}-under-test")
    return bool(rows and rows[0]["healthy"])


def test_an_epoch_is_compared_and_a_window_settled_by_processes_that_end_when_asked(
    desk: Desk, tmp_path: Path
):
    with venue(tmp_path, SOURCE="generator", WINDOW_S="15", FIRST_OPEN_IN_S="2") as simulator:
        street = Street(simulator, desk, tmp_path)
        with service("reconciler", street) as reconciler, service("risk_monitor", street) as risk_monitor:
            assert desk.do("execution", "SELECT pg_try_advisory_lock(%s)", EXECUTOR_LOCK_KEY)
            desk.epoch = desk.do("execution", "SELECT take_epoch('next')")
            until(
                "the epoch is compared",
                lambda: desk.one("SELECT reconciled_at FROM executor_epochs WHERE epoch = %s", desk.epoch)[
                    "reconciled_at"
                ],
            )
            for name in ("reconciler", "risk_monitor"):
                until(f"{name} beats", lambda name=name: beaten(desk, name))
            window = street.open_market(left_s=4)
            token = street.window["up_token"]
            claim = desk.claim(desk.signal(window, token_id=token), token_id=token)
            assert claim.refused is None
            desk.trade(claim.order_id, "t1", shares="4", usdc="2")
            desk.record(claim.order_id, "MATCHED")
            street.tick()
            _, body = page(street, "risk_monitor", "/health")
            assert json.loads(body)["checks"]["capital_invariant"] is True
            assert page(street, "reconciler", "/health")[0] == 200, page(street, "reconciler", "/health")
            until(
                "the position expires",
                lambda: desk.position(claim)["state"] in {"EXPIRED", "SETTLEMENT", "CLOSED"},
            )
            until(
                "the venue's word is recorded",
                lambda: (
                    desk.one("SELECT state FROM windows WHERE window_id = %s", window)["state"] == "RESOLVED"
                ),
            )
            winner = next(
                each["winner"] for each in simulator.ask("/windows")["windows"] if each["slug"] == window
            )
            check = desk.one("SELECT * FROM settlement_checks WHERE window_id = %s", window)
            assert check["venue_direction"] == winner
            assert desk.position(claim)["state"] == ("SETTLEMENT" if winner == "UP" else "CLOSED")
            desk.assert_books_agree()
            for name, process in (("reconciler", reconciler), ("risk_monitor", risk_monitor)):
                assert f"{name}_" in page(street, name, "/metrics")[1]
                assert page(street, name, "/livez")[0] == 200
                assert process.kill(signal.SIGTERM) == 0, process.output()


@pytest.mark.parametrize("name", ["reconciler", "risk_monitor"])
def test_a_watchdog_that_finds_a_signing_key_does_not_start(desk: Desk, tmp_path: Path, name: str):
    environment = {"DATABASE_URL": desk.role_url(f"onebook_{name}"), "SIGNING_KEYS": '{"desk": {}}'}
    with running(f"services.{name}", environment, tmp_path / "log") as process:
        assert process.process.wait(timeout=20) == 2
        assert "only execution may hold a signing key" in process.output()


def test_credentials_that_are_not_json_stop_the_start_and_are_not_repeated(desk: Desk, tmp_path: Path):
    environment = {"DATABASE_URL": desk.role_url("onebook_reconciler"), "ACCOUNT_CREDENTIALS": "canary-4711"}
    with running("services.reconciler", environment, tmp_path / "log") as process:
        assert process.process.wait(timeout=20) == 2
        assert "ACCOUNT_CREDENTIALS is wrong: it is not JSON" in process.output()
        assert "canary-4711" not in process.output()
