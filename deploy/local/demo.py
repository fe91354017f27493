"""`make demo`: the whole deployment on this machine, trading recorded markets while you watch.

It makes a database and a fake venue, opens and funds two accounts, starts every service as its own process and keeps it
alive, shows what happens, and ends with a summary that sets the Book against what the venue knows. No keys, no
containers, no network. Exit status 0 only when every position is over and the two agree to the micro-unit.
"""

import asyncio
import fcntl
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from deploy.local import demo_course, demo_world
from deploy.local.demo_course import Demo, Interrupts
from deploy.local.demo_options import DemoOptions, options_of_this_process
from deploy.local.demo_screen import LiveScreen, PlainScreen, Screen
from deploy.local.demo_world import STRATEGIES, WorldFailed
from deploy.local.processes import ProcessRefused, Supervisor
from deploy.local.summary.report import print_report
from deploy.local.summary.summary import write
from shared.db.engine import Database
from shared.observability.logs import configure_logs
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.service import StartRefused

SIMULATOR_WITHIN_S = 40.0
LOOK_EVERY_S = 0.1
WIDE = 200
"""Columns of a page that is no terminal."""


class AlreadyRunning(Exception):
    """Another demo runs in the same folder."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What is there before anything trades."""

    options: DemoOptions
    screen: Screen
    clock: Clock
    interrupts: Interrupts
    book_url: str
    simulator: Supervisor
    urls: Mapping[str, str]


async def run(options: DemoOptions, console: Console) -> int:
    """Run a demo; returns the exit status."""
    clock = SystemClock()
    screen: Screen = PlainScreen(console) if options.headless else LiveScreen(console)
    interrupts = Interrupts()
    ended = demo_world.end_leftovers(options.folder)
    if ended:
        screen.step(f"→ ended {ended} processes an earlier demo had left behind")
    screen.step(f"→ making a new Book with a PostgreSQL of its own in {options.folder / 'postgres'}")
    server = await asyncio.to_thread(demo_world.make_book, options.folder)
    try:
        found = await _with_venue(options, screen, clock, interrupts, server.url)
    finally:
        await asyncio.to_thread(server.stop)
    demo_world.forget_processes(options.folder)
    print_report(found, console)
    if options.summary is not None:
        write(found, options.summary)
        console.print(f"the summary is in {options.summary}")
    return 0 if found["ok"] else 1


async def _with_venue(
    options: DemoOptions, screen: Screen, clock: Clock, interrupts: Interrupts, book_url: str
) -> dict[str, Any]:
    """Return the summary of a demo traded against a fake venue that lives as long as it."""
    simulator = Supervisor(options.folder / "logs", clock)
    ready_file = options.folder / "simulator.json"
    program = demo_world.simulator_program(options, ready_file)
    async with asyncio.TaskGroup() as group:
        group.create_task(simulator.keep(program))
        screen.step(f"→ starting the fake venue and its feeds: {options.source}, seed {options.seed}")
        try:
            urls = await _read_when_written(ready_file)
            stage = Stage(options, screen, clock, interrupts, book_url, simulator, urls)
            return await _with_accounts(stage)
        finally:
            simulator.stop()


async def _read_when_written(path: Path) -> dict[str, str]:
    """Return the fake venue's addresses once it has bound them all."""
    try:
        async with asyncio.timeout(SIMULATOR_WITHIN_S):
            while (found := _read_if_written(path)) is None:  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        raise WorldFailed(f"the fake venue was not ready within {SIMULATOR_WITHIN_S:g} s") from None
    return found


def _read_if_written(path: Path) -> dict[str, str] | None:
    """Return what the file holds; it is written whole, so it is there or it is not."""
    if not path.exists():
        return None
    found: dict[str, str] = json.loads(path.read_text())
    return found


async def _with_accounts(stage: Stage) -> dict[str, Any]:
    """Return the summary of a demo whose accounts are opened and funded here."""
    options, screen = stage.options, stage.screen
    operator = await Database.connect(
        demo_world.role_url(stage.book_url, "operator"), application_name="demo"
    )
    reader = await Database.connect(
        demo_world.role_url(stage.book_url, "dashboard"), application_name="demo_screen"
    )
    try:
        wallets = await demo_world.make_wallets(options, stage.urls, stage.book_url)
        await demo_world.make_accounts(options, operator, wallets.addresses)
        screen.step(
            f"→ opened {' and '.join(STRATEGIES)}, {demo_world.DEPOSIT_USDC} USDC each, in {options.mode};"
            f" set {', '.join(f'{key}={value}' for key, value in demo_world.CONTROLS.items())}"
        )
        demo = Demo(
            options=options,
            screen=screen,
            clock=stage.clock,
            interrupts=stage.interrupts,
            started_at=stage.clock.now(),
            services=Supervisor(options.folder / "logs", stage.clock),
            simulator=stage.simulator,
            operator=operator,
            reader=reader,
            control_url=stage.urls["control_url"],
            wallets=wallets,
        )
        await _trade(demo, stage)
        return await demo_course.end(demo)
    finally:
        await operator.close()
        await reader.close()


async def _trade(demo: Demo, stage: Stage) -> None:
    """Keep every service alive while the demo takes its course; all are ended when this returns."""
    programs = demo_world.service_programs(demo.options, stage.urls, demo.wallets, stage.book_url)
    stage.screen.step(f"→ starting {', '.join(program.name for program in programs)}, each its own process")
    async with asyncio.TaskGroup() as group:
        for program in programs:
            group.create_task(demo.services.keep(program))
        try:
            await demo_course.watch(demo)
            stage.screen.step("→ ending the services")
        finally:
            demo.services.stop()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder for this demo; raises AlreadyRunning. The logs of the demo before are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                f"a demo runs in {folder} already: end it, or give another --folder"
            ) from None
        for log in (folder / "logs").glob("*.log"):
            log.unlink()
        for port in folder.glob("*.port"):
            port.unlink()
        yield


_TOLD = (WorldFailed, ProcessRefused, StartRefused, AlreadyRunning, httpx.HTTPError)
"""What may go wrong without being our bug: said in words, without a traceback."""


def main() -> int:
    """Run a demo from the command line; returns the exit status."""
    options = options_of_this_process()
    console = Console(highlight=False) if not options.headless else Console(highlight=False, width=WIDE)
    configure_logs("demo", level="ERROR", stream=sys.stderr)
    try:
        with _alone(options.folder):
            return asyncio.run(run(options, console))
    except Exception as error:
        problem: BaseException = error
        while isinstance(problem, BaseExceptionGroup) and len(problem.exceptions) == 1:
            problem = problem.exceptions[0]
        if not isinstance(problem, _TOLD):
            raise
        print(f"demo: {problem}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
