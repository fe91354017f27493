"""The life of a process, watched from outside: real processes, real signals, real doors (O1, O3, B2)."""

import http.client
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[4]
CANARIES = ("canary-password", "canary-token", "deadbeef" * 8)
PREAMBLE = """
import asyncio
from pydantic import SecretStr
from shared.observability.health import CheckResult
from shared.runtime.service import Loop, StartRefused, Wiring, run_service
from shared.runtime.settings import BaseServiceSettings

class Settings(BaseServiceSettings):
    probe_token: SecretStr = SecretStr("canary-token")
    probe_key: SecretStr = SecretStr("0x" + "deadbeef" * 8)

async def pause(seconds=0.01):
    try:
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()
    except TimeoutError:
        pass

async def wait(pulse):
    while True:
        pulse.tick()
        await pause()
"""
ENDING = '\nrun_service("probe", Settings, setup)\n'


@contextmanager
def running(tmp_path, body):
    """Start a service whose set-up is ``body``; what is left of it is killed at the end."""
    program = tmp_path / "probe.py"
    program.write_text(PREAMBLE + body + ENDING)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY),
        "DATABASE_URL": "postgresql://u:canary-password@127.0.0.1:5432/d",
        "HTTP_PORT_FILE": str(tmp_path / "port"),
    }
    process = subprocess.Popen(
        [sys.executable, str(program)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(process, event):
    """Read the process's lines until the one that names this event."""
    for line in process.stdout:
        if line.startswith("{") and json.loads(line)["event"] == event:
            return json.loads(line)
    raise AssertionError(f"the process ended without {event}")


def rest_of(process):
    out, _ = process.communicate(timeout=20)
    return out


def ask(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


PLAIN = """
async def setup(process):
    return Wiring([Loop("wait", wait)])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_gracefully(tmp_path, number):
    with running(tmp_path, PLAIN) as process:
        wait_for(process, "service_started")
        process.send_signal(number)
        assert '"service_stopped"' in rest_of(process)
        assert process.returncode == 0


def test_a_service_may_end_itself_with_a_status_as_gracefully(tmp_path):
    body = """
async def setup(process):
    async def close():
        print("closed")
    process.on_exit(close)
    async def end(pulse):
        process.end(3)
        await wait(pulse)
    return Wiring([Loop("end", end)])
"""
    with running(tmp_path, body) as process:
        assert "closed" in rest_of(process)
        assert process.wait(timeout=10) == 3


def test_what_was_opened_is_closed_in_reverse_whatever_ended_it(tmp_path):
    body = """
async def setup(process):
    async def close(name):
        print(json_line(name), flush=True)
    for name in ("first", "second"):
        process.on_exit(lambda name=name: close(name))
    return Wiring([Loop("wait", wait)])

def json_line(name):
    import json
    return json.dumps({"event": name})
"""
    with running(tmp_path, body) as process:
        wait_for(process, "service_started")
        process.terminate()
        events = [json.loads(line)["event"] for line in rest_of(process).splitlines()]
    assert events == ["service_stopping", "second", "first", "service_stopped"]


def test_a_loop_that_drains_finishes_its_turn_and_the_others_go_on_meanwhile(tmp_path):
    body = """
turns = []
async def careful(pulse):
    while not pulse.stopping.is_set():
        pulse.tick()
        await pause()
    before = len(turns)
    while len(turns) < before + 3:
        await pause()
    print('{"event": "turn_finished"}', flush=True)

async def helper(pulse):
    while True:
        turns.append(1)
        await pause()

async def setup(process):
    return Wiring([Loop("careful", careful, drain_s=10), Loop("helper", helper)])
"""
    with running(tmp_path, body) as process:
        wait_for(process, "service_started")
        process.terminate()
        assert "turn_finished" in rest_of(process)
        assert process.returncode == 0


DYING = {
    "raises": 'raise RuntimeError("it died")',
    "returns": "return",
}


@pytest.mark.parametrize("how", DYING)
def test_a_loop_that_dies_ends_the_process(tmp_path, how):
    body = f"""
async def die(pulse):
    {DYING[how]}

async def setup(process):
    return Wiring([Loop("wait", wait), Loop("die", die)])
"""
    with running(tmp_path, body) as process:
        assert wait_for(process, "service_died")["level"] == "CRITICAL"
        rest_of(process)
        assert process.returncode == 1


def test_a_refused_start_says_why_without_a_traceback(tmp_path):
    body = """
async def setup(process):
    raise StartRefused("do this first")
"""
    with running(tmp_path, body) as process:
        refusal = wait_for(process, "start_refused")
        rest_of(process)
    assert refusal["level"] == "CRITICAL"
    assert refusal["context"] == {"reason": "do this first"}
    assert process.returncode == 1


def test_a_signal_ends_a_start_that_still_waits(tmp_path):
    body = """
async def setup(process):
    print('{"event": "waiting"}', flush=True)
    await asyncio.Event().wait()
"""
    with running(tmp_path, body) as process:
        wait_for(process, "waiting")
        process.terminate()
        rest_of(process)
        assert process.returncode == 0


def test_the_bound_port_is_told_and_written(tmp_path):
    with running(tmp_path, PLAIN) as process:
        port = wait_for(process, "service_started")["context"]["http_port"]
        assert int((tmp_path / "port").read_text()) == port
        assert ask(port, "/livez")[0] == 200
        assert 'onebook_service_up{service="probe"} 1.0' in ask(port, "/metrics")[1]
        assert ask(port, "/anything")[0] == 404


def test_health_names_every_check_and_is_healthy_only_when_all_are(tmp_path):
    body = """
async def good():
    return CheckResult(ok=True, detail="fine")
async def bad():
    raise RuntimeError("postgresql://u:canary-password@h/d")
async def extra():
    return {"data_gaps": ["BTC"], "lock_holder": "me"}

async def setup(process):
    return Wiring([Loop("wait", wait)], checks={"good": good, "bad": bad}, extra=extra)
"""
    with running(tmp_path, body) as process:
        status, text = ask(wait_for(process, "service_started")["context"]["http_port"], "/health")
    report = json.loads(text)
    assert status == 503
    assert report["healthy"] is False
    assert report["checks"] == {"good": True, "bad": False, "loops": True, "report": True}
    assert report["data_gaps"] == ["BTC"]
    assert report["lock_holder"] == "me"
    assert report["loops"]["wait"]["ok"] is True
    assert "canary" not in text


def test_a_silent_loop_is_unhealthy_but_alive(tmp_path):
    body = """
async def silent(pulse):
    await asyncio.Event().wait()

async def setup(process):
    return Wiring([Loop("silent", silent, stale_after_s=-1)])
"""
    with running(tmp_path, body) as process:
        port = wait_for(process, "service_started")["context"]["http_port"]
        assert ask(port, "/livez")[0] == 200
        status, text = ask(port, "/health")
    assert status == 503
    assert json.loads(text)["checks"] == {"loops": False}


def test_a_stuck_event_loop_answers_that_it_is_stuck(tmp_path):
    body = """
import shared.runtime.service as service
service.EVENT_LOOP_STUCK_AFTER_S = 0.2
service.HEALTH_WITHIN_S = 0.2

async def stuck(pulse):
    await pause(0.1)
    print('{"event": "stuck"}', flush=True)
    while True:
        pass

async def setup(process):
    return Wiring([Loop("stuck", stuck)])
"""
    with running(tmp_path, body) as process:
        port = wait_for(process, "service_started")["context"]["http_port"]
        wait_for(process, "stuck")
        while ask(port, "/livez")[0] == 200:
            pass
        assert ask(port, "/livez") == (503, '{"alive": false, "stuck": ["event_loop"]}\n')
        status, text = ask(port, "/health")
    assert status == 503
    assert json.loads(text)["checks"] == {"event_loop": False}


def test_no_secret_is_in_any_output_of_a_run_that_fails(tmp_path):
    body = """
import logging, threading, warnings
secrets = ["canary-password", "canary-token", "0x" + "deadbeef" * 8, "deadbeef" * 8]

async def spill(pulse):
    from shared.observability.logs import get_logger
    for secret in secrets:
        get_logger().error("spilt", text=f"it is {secret}!", password=secret, nested={"list": [secret]}, thing=object)
        get_logger().error(secret)
        logging.getLogger("library").error("failed with %s", secret)
        warnings.warn(secret, UserWarning)
        thread = threading.Thread(target=lambda: 1 / 0 if secret == "x" else int(secret))
        thread.start()
        thread.join()
    try:
        raise ValueError("cause: postgresql://u:canary-password@127.0.0.1:5432/d password='canary-password'")
    except ValueError as error:
        raise RuntimeError("0x" + "deadbeef" * 8) from error

async def setup(process):
    return Wiring([Loop("spill", spill)])
"""
    with running(tmp_path, body) as process:
        out = rest_of(process)
    assert process.returncode == 1
    assert "service_died" in out
    assert "thread_crashed" in out
    assert [canary for canary in CANARIES if canary in out] == []
