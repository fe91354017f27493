import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.demo_options import read_options
from deploy.local.demo_world import (
    SERVICES,
    Wallets,
    demo_key,
    end_leftovers,
    note_processes,
    port_or_any,
    role_url,
    service_programs,
    simulator_program,
)
from services.dashboard.api.config import DashboardSettings
from services.execution.config import ExecutionSettings
from services.feed_collector.config import CollectorSettings
from services.reconciler.config import ReconcilerSettings
from services.risk_monitor.config import RiskMonitorSettings
from services.signal_engine.config import EngineSettings

SUPERUSER = "postgresql://postgres@127.0.0.1:5999/onebook"
URLS = dict.fromkeys(
    (
        "clob_url",
        "gamma_url",
        "data_url",
        "site_url",
        "relayer_url",
        "rpc_url",
        "clob_market_ws_url",
        "clob_user_ws_url",
        "polybolt_url",
        "binance_url",
    ),
    "http://127.0.0.1:1",
)
KEYS = '{"canary": {"private_key": "0x' + "1" * 64 + '", "wallet": "", "signature_type": 0}}'
WALLETS = Wallets(
    signing_keys=KEYS,
    account_credentials="{}",
    feed={
        "FEED_API_KEY": "k",
        "FEED_API_SECRET": "s",
        "FEED_API_PASSPHRASE": "p",
        "FEED_API_ADDRESS": "0x0",
    },
    addresses={},
)
SETTINGS = {
    "feed_collector": CollectorSettings,
    "signal_engine": EngineSettings,
    "execution": ExecutionSettings,
    "risk_monitor": RiskMonitorSettings,
    "reconciler": ReconcilerSettings,
    "dashboard": DashboardSettings,
}
READS_ACCOUNTS = {"risk_monitor", "reconciler"}


def programs(tmp_path: Path, mode: str = "LIVE"):
    options = read_options(
        ["--mode", mode, "--folder", str(tmp_path), "--dashboard-port", "0"], {}, is_terminal=False
    )
    return {program.name: program for program in service_programs(options, URLS, WALLETS, SUPERUSER)}


def test_only_execution_is_given_a_key_and_only_readers_credentials(tmp_path: Path):
    for name, program in programs(tmp_path).items():
        assert ("SIGNING_KEYS" in program.environment) == (name == "execution")
        assert ("ACCOUNT_CREDENTIALS" in program.environment) == (name in READS_ACCOUNTS)
        assert ("FEED_API_SECRET" in program.environment) == (name == "feed_collector")


def test_every_service_connects_as_its_own_role(tmp_path: Path):
    for name, program in programs(tmp_path).items():
        assert program.environment["DATABASE_URL"] == f"postgresql://onebook_{name}@127.0.0.1:5999/onebook"
    assert role_url(SUPERUSER, "operator").startswith("postgresql://onebook_operator@")


@pytest.mark.parametrize("name", sorted(SETTINGS))
@pytest.mark.parametrize("mode", ["PAPER", "DRY_RUN", "LIVE"])
def test_each_service_takes_the_settings_it_is_given(
    tmp_path: Path, name: str, mode: str, monkeypatch: pytest.MonkeyPatch
):
    for variable, value in programs(tmp_path, mode)[name].environment.items():
        monkeypatch.setenv(variable, value)
    settings = SETTINGS[name]()
    assert getattr(settings, "trading_mode", mode) == mode
    assert {*SERVICES, "dashboard"} == set(SETTINGS)


def test_the_fake_venue_cannot_be_replaced_and_starts_without_an_old_ready_file(tmp_path: Path):
    ready = tmp_path / "ready.json"
    ready.write_text("{}")
    program = simulator_program(read_options([], {}, is_terminal=False), ready)
    assert not program.replaceable
    assert not ready.exists()


def test_demo_keys_are_functions_of_seed_and_name():
    assert demo_key(1, "canary") == demo_key(1, "canary")
    assert len({demo_key(seed, name) for seed in (1, 2) for name in ("canary", "oracle")}) == 4


def test_a_port_somebody_holds_is_left_to_them():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert port_or_any(taken.getsockname()[1]) == 0
        free = taken.getsockname()[1]
    assert port_or_any(free) == free


def test_what_a_killed_demo_left_behind_is_ended_and_nobody_else(tmp_path: Path):
    """The note may be old: a pid in it may be a stranger's by now."""
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "__init__.py").touch()
    (tmp_path / "services" / "left_over.py").write_text(
        "import signal\nprint(1, flush=True)\nsignal.pause()\n"
    )
    ours = subprocess.Popen(
        [sys.executable, "-m", "services.left_over"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    stranger = subprocess.Popen(
        [sys.executable, "-c", "import signal; print(1, flush=True); signal.pause()"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with ours, stranger:
        try:
            for process in (ours, stranger):
                assert process.stdout is not None
                process.stdout.readline()
            note_processes(tmp_path, {"left_over": ours.pid, "stranger": stranger.pid})
            assert end_leftovers(tmp_path) == 1
            assert ours.wait(timeout=10) != 0
            assert stranger.poll() is None
        finally:
            ours.kill()
            stranger.kill()
    assert end_leftovers(tmp_path) == 0
