"""The process: starts by one command, says where it listens, ends when asked."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from services.simulator.config import SimulatorSettings

REPOSITORY = Path(__file__).parents[4]
SURFACES = {
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
    "control_url",
    "rtds_url",
    "pyth_url",
}


def start(*arguments, **variables):
    command = [sys.executable, "-m", "services.simulator", *arguments]
    environment = {**os.environ, "SIMULATOR_SOURCE": "generator", **variables}
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(path, process):
    for line in process.stdout:
        if json.loads(line)["event"] == "simulator_ready":
            return json.loads(path.read_text())
    raise AssertionError(process.stderr.read())


@pytest.mark.parametrize("way", ["SIGTERM", "SIGINT", "stop"])
def test_it_serves_until_it_is_asked_to_end(tmp_path, way):
    ready = tmp_path / "sim.json"
    process = start("--port", "0", "--seed", "7", "--ready-file", str(ready))
    try:
        urls = wait_for(ready, process)
        assert set(urls) == SURFACES
        with urllib.request.urlopen(f"{urls['clob_url']}/ok", timeout=5) as answer:
            assert answer.read() == b'"OK"'
        with urllib.request.urlopen(f"{urls['control_url']}/_sim/windows", timeout=5) as answer:
            assert len(json.load(answer)["windows"]) >= 1
        if way == "stop":
            urllib.request.urlopen(
                urllib.request.Request(f"{urls['control_url']}/_sim/stop", method="POST"), timeout=5
            ).close()
        else:
            process.send_signal(getattr(signal, way))
        output, errors = process.communicate(timeout=10)
        assert (process.returncode, errors) == (0, "")
        lines = [json.loads(line) for line in output.splitlines()]
        assert lines[-1]["event"] == "simulator_stopped"
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("arguments", "variables", "told"),
    [
        (["--seed", "many"], {}, "SEED"),
        ([], {"SIMULATOR_FEE_ROUNDING": "sideways"}, "FEE_ROUNDING"),
        ([], {"SIMULATOR_FEE_RUONDING": "up"}, "FEE_RUONDING is no setting"),
        (["--window-s", "3"], {}, "at least 4 s"),
        (["--source", "recordings:none"], {}, "none"),
        (["--assets", "gold"], {}, "gold"),
    ],
)
def test_settings_that_describe_no_world_end_the_start_with_a_reason(arguments, variables, told):
    process = start(*arguments, **variables)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert told in errors
    assert "Traceback" not in output + errors


def test_a_taken_port_ends_the_start(tmp_path):
    first = start("--ready-file", str(tmp_path / "sim.json"))
    try:
        port = wait_for(tmp_path / "sim.json", first)["clob_url"].rpartition(":")[2]
        second = start("--port", port)
        _output, errors = second.communicate(timeout=20)
        assert second.returncode == 2
        assert port in errors
    finally:
        first.kill()
        first.communicate()


def test_assets_are_read_from_a_comma_separated_list(monkeypatch):
    monkeypatch.setenv("SIMULATOR_ASSETS", "BTC, eth")
    assert SimulatorSettings().assets == ("btc", "eth")
