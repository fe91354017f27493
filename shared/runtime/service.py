"""The life of a process: settings, logs, doors, loops in one TaskGroup, and a clean end.

A service's ``__main__`` is wiring::

    async def setup(process: Process[Settings]) -> Wiring:
        database = await Database.connect(process.settings.database_url, application_name=process.name)
        process.on_exit(database.close)
        return Wiring(loops=[Loop("settle", partial(loops.settle, database))], checks={"database": database.check})

    if __name__ == "__main__":
        run_service("reconciler", Settings, setup)

It ends with 0 after SIGTERM or SIGINT, with 1 when a loop died or the start was refused, with 2 on bad settings, and
with the status given when the service ended itself (``Process.end``), as cleanly as after a signal.
A loop that ends without being asked to has died, too: whoever restarts us reads the tables and goes on.
"""

import asyncio
import gc
import json
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Generic, NoReturn, TypeVar

from shared.observability.doors import Doors, Page
from shared.observability.health import Check, CheckResult, health_body, run_checks
from shared.observability.logs import configure_logs, get_logger
from shared.observability.metrics import EVENT_LOOP_LAG_S, UP, render_metrics
from shared.observability.redaction import redact, redact_value
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.pulse import RUNNING, SLOW_TURNS, LoopPulse
from shared.runtime.settings import BaseServiceSettings, load_settings

DEAD_STATUS = 1
CLOSE_WITHIN_S = 5.0
HEALTH_WITHIN_S = 4.8
HEARTBEAT_EVERY_S = 0.5
EVENT_LOOP_STUCK_AFTER_S = 5.0
LOOP_STUCK_AFTER_S = 120.0
"""A loop silent so long will not come back: /livez says so, and the platform restarts us."""

SettingsT = TypeVar("SettingsT", bound=BaseServiceSettings)
log = get_logger()


class StartRefused(Exception):
    """The process must not run as things are; the message says what to do, and no traceback is shown."""


class LoopEnded(Exception):
    """A loop returned although nobody asked it to."""


@dataclass(frozen=True, slots=True)
class Loop:
    """One endless activity. ``run`` gets a pulse and calls ``pulse.tick()`` every turn, idle or not.

    A loop with ``drain_s`` is not cancelled when the process is asked to end: it sees ``pulse.stopping``, finishes the
    turn it is in and returns, within that time. The others go on until it has, and are then cancelled.
    """

    name: str
    run: Callable[[LoopPulse], Awaitable[None]]
    stale_after_s: float = 15.0
    drain_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a service's set-up returns: its loops, the checks of /health, and fields to add to its body."""

    loops: Sequence[Loop]
    checks: Mapping[str, Check] = field(default_factory=dict)
    extra: Callable[[], Awaitable[Mapping[str, object]]] | None = None


class Process(Generic[SettingsT]):
    """What the set-up of a service is given: its name, settings and clock, and a place to say what to close."""

    def __init__(self, name: str, settings: SettingsT, clock: Clock) -> None:
        self.name = name
        self.settings = settings
        self.clock = clock
        self.http_port = 0
        self.closing = AsyncExitStack()
        self.stop = asyncio.Event()
        self.status = 0

    def end(self, status: int) -> None:
        """Ask the process to end by itself, with this exit status, as SIGTERM would."""
        self.status = status
        self.stop.set()

    def on_exit(self, close: Callable[[], Awaitable[object]]) -> None:
        """Call ``close`` at the end of the process, last given first, whatever ended it."""

        async def close_in_time() -> None:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await close()

        self.closing.push_async_callback(close_in_time)


Setup = Callable[[Process[SettingsT]], Awaitable[Wiring]]


def run_service(name: str, settings_type: type[SettingsT], setup: Setup[SettingsT]) -> NoReturn:
    """Run one service until a signal or a death; never returns."""
    settings = load_settings(settings_type)
    redact(*settings.secrets())
    configure_logs(name, level=settings.log_level)
    for warning in settings.warnings():
        log.warning("settings_warned", message=warning)
    process = Process(name, settings, SystemClock())
    try:
        asyncio.run(_live(process, setup))
    except Exception as error:
        refused = _find_refusal(error)
        if refused is not None:
            log.critical("start_refused", reason=str(refused))
        else:
            log.critical("service_died", exc_info=True)
        sys.exit(DEAD_STATUS)
    log.info("service_stopped", status=process.status)
    sys.exit(process.status)


def _find_refusal(error: BaseException) -> StartRefused | None:
    """Return the refusal when nothing else went wrong; TaskGroups wrap what comes out of them in groups."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, StartRefused) else None


async def _live(process: Process[SettingsT], setup: Setup[SettingsT]) -> None:
    stop = process.stop
    event_loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        event_loop.add_signal_handler(number, stop.set)
    board = _Board(process.clock, event_loop)
    doors = Doors(
        host=process.settings.http_host,
        port=process.settings.http_port,
        pages={"/livez": board.livez, "/health": board.health, "/metrics": _metrics_page},
    )
    process.http_port = doors.port
    UP.labels(process.name).set(0)
    try:
        async with process.closing, asyncio.TaskGroup() as group:
            heart = group.create_task(board.beat())
            wiring = await _set_up_or_stop(process, setup, stop)
            if wiring is not None:
                # What the start made stays for good: a collection need not walk over it in the middle of a send.
                gc.freeze()
                _announce(process)
                opened = board.open(wiring)
                RUNNING.extend(pulse for _, pulse in opened)
                await _run_loops(opened, stop)
            heart.cancel()
    finally:
        RUNNING.clear()
        UP.labels(process.name).set(0)
        doors.close()


async def _set_up_or_stop(
    process: Process[SettingsT], setup: Setup[SettingsT], stop: asyncio.Event
) -> Wiring | None:
    """Return the wiring, or None when a signal came first: a start that waits for its database can be ended."""
    made: list[Wiring] = []

    async def make() -> None:
        made.append(await setup(process))
        stopper.cancel()

    async def give_up() -> None:
        await stop.wait()
        maker.cancel()

    async with asyncio.TaskGroup() as group:
        stopper = group.create_task(give_up())
        maker = group.create_task(make())
    return made[0] if made else None


def _announce(process: Process[SettingsT]) -> None:
    UP.labels(process.name).set(1)
    port_file = process.settings.http_port_file
    if port_file is not None:
        _write_port(port_file, process.http_port)
    log.info("service_started", http_host=process.settings.http_host, http_port=process.http_port)


def _write_port(path: Path, port: int) -> None:
    """Write whole or not at all: a reader must not see half a number."""
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(f"{port}\n")
    draft.replace(path)


async def _run_loops(running: "Sequence[tuple[Loop, LoopPulse]]", stop: asyncio.Event) -> None:
    """Run every loop until ``stop``; then let the draining ones finish, and cancel the rest. A death raises."""

    async def run_one(loop: Loop, pulse: LoopPulse) -> None:
        try:
            await loop.run(pulse)
        except Exception as error:
            error.add_note(f"in loop {loop.name}")
            raise
        if not stop.is_set():
            raise LoopEnded(loop.name)

    async with asyncio.TaskGroup() as group:
        tasks = {
            loop.name: group.create_task(run_one(loop, pulse), name=loop.name) for loop, pulse in running
        }
        await stop.wait()
        log.info("service_stopping")
        for _, pulse in running:
            pulse.stopping.set()
        draining = [tasks[loop.name] for loop, _ in running if loop.drain_s > 0]
        if draining:
            await asyncio.wait(draining, timeout=max(loop.drain_s for loop, _ in running))
        for task in tasks.values():
            task.cancel()


class _Board:
    """What the doors show. Its pages are called in the doors' threads, its checks run in the event loop."""

    def __init__(self, clock: Clock, event_loop: asyncio.AbstractEventLoop) -> None:
        self._clock = clock
        self._event_loop = event_loop
        self._last_beat = clock.monotonic()
        self._wiring: Wiring | None = None
        self._pulses: list[LoopPulse] = []

    def open(self, wiring: Wiring) -> list[tuple[Loop, LoopPulse]]:
        """Show this wiring from now on; returns each loop with its new pulse."""
        running = [(loop, LoopPulse(loop.name, self._clock, loop.stale_after_s)) for loop in wiring.loops]
        self._pulses = [pulse for _, pulse in running]
        self._wiring = wiring
        return running

    async def beat(self) -> None:
        """Prove every half second that the event loop turns, and measure how late it did."""
        while True:
            due = self._clock.monotonic() + HEARTBEAT_EVERY_S
            await asyncio.sleep(HEARTBEAT_EVERY_S)
            self._last_beat = self._clock.monotonic()
            late_s = max(0.0, self._last_beat - due)
            EVENT_LOOP_LAG_S.set(late_s)
            SLOW_TURNS.note("event_loop", late_s, self._clock.now())

    def livez(self) -> Page:
        """Return 200 while the event loop turns and no loop has been silent for minutes."""
        late_s = self._clock.monotonic() - self._last_beat
        stuck = [pulse.name for pulse in self._pulses if pulse.silent_for_s > LOOP_STUCK_AFTER_S]
        if late_s > EVENT_LOOP_STUCK_AFTER_S:
            stuck.append("event_loop")
        return _json_page({"alive": not stuck, "stuck": stuck}, ok=not stuck)

    def health(self) -> Page:
        """Return the report of /health, or a refusal when the event loop does not make one in time."""
        coroutine = self._report()
        future = asyncio.run_coroutine_threadsafe(coroutine, self._event_loop)
        try:
            body = future.result(timeout=HEALTH_WITHIN_S)
        except Exception as error:  # noqa: BLE001 whatever it was, we cannot say that we are healthy (P3)
            future.cancel()
            detail = (
                f"no report within {HEALTH_WITHIN_S:g} s" if isinstance(error, TimeoutError) else repr(error)
            )
            body = health_body({"event_loop": CheckResult(ok=False, detail=detail)}, loops={}, extra={})
        return _json_page(body, ok=body["healthy"] is True)

    async def _report(self) -> dict[str, object]:
        if self._wiring is None:
            return health_body(
                {"started": CheckResult(ok=False, detail="still starting")}, loops={}, extra={}
            )
        checks: dict[str, Check] = {**self._wiring.checks, "loops": self._check_loops}
        gathered: dict[str, object] = {}
        make_extra = self._wiring.extra
        if make_extra is not None:

            async def gather_extra() -> CheckResult:
                gathered.update(await make_extra())
                return CheckResult(ok=True)

            checks["report"] = gather_extra
        results = await run_checks(checks)
        return health_body(
            results, loops={pulse.name: pulse.describe() for pulse in self._pulses}, extra=gathered
        )

    async def _check_loops(self) -> CheckResult:
        stale = [pulse.name for pulse in self._pulses if pulse.is_stale]
        return CheckResult(ok=not stale, detail=f"silent: {', '.join(stale)}" if stale else "")


def _json_page(body: Mapping[str, object], *, ok: bool) -> Page:
    status = HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE
    return Page(status, "application/json", json.dumps(redact_value(body)).encode() + b"\n")


def _metrics_page() -> Page:
    content_type, text = render_metrics()
    return Page(HTTPStatus.OK, content_type, text)
