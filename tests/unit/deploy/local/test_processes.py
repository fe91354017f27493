import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local.processes import ProcessRefused, Program, Supervisor, clean_environment, run_once, tail
from shared.runtime.clock import SystemClock

READ_PID = "import os\nwith open(os.environ['FIFO'], 'w') as fifo: fifo.write(str(os.getpid()))\n"
LIVE = READ_PID + "import signal\nsignal.pause()\n"
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + LIVE

Write = Callable[..., Program]


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


@pytest.fixture
def write(tmp_path: Path, fifo: Path) -> Write:
    def make(source: str, **fields: bool) -> Program:
        (tmp_path / "program_of_a_test.py").write_text(source)
        environment = {**clean_environment(), "PYTHONPATH": str(tmp_path), "FIFO": str(fifo)}
        return Program("tested", "program_of_a_test", environment, **fields)  # type: ignore[arg-type]

    return make


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    return Supervisor(tmp_path / "logs", SystemClock())


async def started(fifo: Path) -> int:
    """The pid of the next process that says it runs."""
    return int(await asyncio.to_thread(fifo.read_text))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_killed_process_is_started_again_and_counted(supervisor, write, fifo):
    async with asyncio.TaskGroup() as group:
        group.create_task(supervisor.keep(write(LIVE)))
        first = await started(fifo)
        os.kill(first, signal.SIGKILL)
        second = await started(fifo)
        assert second != first
        assert supervisor.restarts == 1
        supervisor.stop()
    assert not is_alive(second)


async def test_stopping_ends_the_process_and_starts_no_other(supervisor, write, fifo):
    async with asyncio.TaskGroup() as group:
        kept = group.create_task(supervisor.keep(write(LIVE)))
        pid = await started(fifo)
        supervisor.stop()
        await kept
    assert not is_alive(pid)
    assert supervisor.restarts == 0


async def test_a_process_that_does_not_listen_is_killed(supervisor, write, fifo, monkeypatch):
    monkeypatch.setattr("deploy.local.processes.STOP_WITHIN_S", 0.2)
    async with asyncio.TaskGroup() as group:
        group.create_task(supervisor.keep(write(STUBBORN)))
        pid = await started(fifo)
        supervisor.stop()
    assert not is_alive(pid)
    assert supervisor.watched["tested"].last_status == -signal.SIGKILL


async def test_a_process_is_not_left_behind_when_its_keeper_is_cancelled(supervisor, write, fifo):
    async with asyncio.TaskGroup() as group:
        kept = group.create_task(supervisor.keep(write(LIVE)))
        pid = await started(fifo)
        kept.cancel()
    assert not is_alive(pid)


async def test_wrong_settings_are_told_and_not_tried_again(supervisor, write):
    with pytest.raises(ProcessRefused, match="LOG_LEVEL is wrong"):
        await supervisor.keep(write("import sys\nprint('LOG_LEVEL is wrong', file=sys.stderr)\nsys.exit(2)"))
    assert supervisor.restarts == 0


async def test_the_death_of_one_that_cannot_be_replaced_is_the_end(supervisor, write):
    with pytest.raises(ProcessRefused, match="status 1"):
        await supervisor.keep(write("raise SystemExit(1)", replaceable=False))


async def test_nothing_of_the_callers_settings_reaches_a_process(write, monkeypatch):
    monkeypatch.setenv("SIGNING_KEYS", "secret")
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone@else/where")
    printed = await run_once(write("import os\nprint(sorted(os.environ))"), within_s=20)
    assert "SIGNING_KEYS" not in printed
    assert "DATABASE_URL" not in printed


async def test_a_failed_run_says_what_it_complained_of(write):
    with pytest.raises(ProcessRefused, match="no credentials"):
        await run_once(write("raise SystemExit('no credentials')"), within_s=20)


async def test_a_run_that_never_ends_is_ended(write, fifo):
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(started(fifo))
        with pytest.raises(ProcessRefused, match="did not end"):
            await run_once(write(LIVE), within_s=2)
    assert not is_alive(listening.result())


def test_the_end_of_a_log_is_its_last_lines(tmp_path):
    (tmp_path / "log").write_text("\n".join(map(str, range(10))))
    assert tail(tmp_path / "log", lines=2) == "8\n9"
    assert tail(tmp_path / "none") == "(no log)"
