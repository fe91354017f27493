"""The course of a demo: watched while it trades, told to stop when it has traded enough, and judged at its end."""

import asyncio
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from deploy.local import demo_world
from deploy.local.demo_options import DemoOptions
from deploy.local.demo_panels import Course
from deploy.local.demo_screen import Screen, save_picture
from deploy.local.processes import Supervisor, tail
from deploy.local.summary.queries import Progress, is_ready, read_progress, read_side
from deploy.local.summary.summary import Run, compare, summarise
from services.dashboard.api.queries import read_overview
from services.dashboard.api.schemas import Overview
from services.operator import actions
from shared.db.engine import Database
from shared.domain.breaker import KillSwitch
from shared.runtime.clock import Clock

LOOK_EVERY_S = 0.5
READY_WITHIN_S = 90.0
SETTLED_WITHIN_S = 75.0
"""After the last entry: a window to close, its resolution, the redemption."""
AGREE_WITHIN_S = 30.0
ASK_WITHIN_S = 10.0


class Interrupts:
    """Counts Ctrl-C: the first asks for a graceful end, the second for an end at once."""

    def __init__(self) -> None:
        self.times = 0
        self._told = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._count)

    def _count(self) -> None:
        self.times += 1
        self._told.set()

    async def pause(self, seconds: float) -> None:
        """Wait, but not longer than to the next interrupt."""
        self._told.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._told.wait()


@dataclass(slots=True)
class Demo:
    """Everything a running demo holds."""

    options: DemoOptions
    screen: Screen
    clock: Clock
    interrupts: Interrupts
    started_at: datetime
    services: Supervisor
    simulator: Supervisor
    operator: Database
    reader: Database
    control_url: str
    wallets: demo_world.Wallets
    problems: list[str] = field(default_factory=list)
    note: str = "starting the services"
    is_pausing: bool = False
    ready_at: datetime | None = None
    settled: int = 0
    _noted: Mapping[str, int] = field(default_factory=dict)

    def note_processes(self) -> None:
        """Keep on disk which processes are ours, should this one be killed."""
        watched = [*self.services.watched.values(), *self.simulator.watched.values()]
        pids = {each.name: each.pid for each in watched if each.pid is not None}
        if pids != self._noted:
            self._noted = pids
            demo_world.note_processes(self.options.folder, pids)


async def watch(demo: Demo) -> None:
    """Show the deployment until it has traded what was wanted and everything is settled, or something ends it."""
    began = demo.clock.monotonic()
    quiet_since: float | None = None
    with demo.screen.alive():
        while True:
            demo.note_processes()
            overview = await demo.reader.retry_read(read_overview)
            await _look_whether_ready(demo, overview, began)
            since = demo.ready_at or overview.read_at
            progress = await demo.reader.retry_read(
                partial(read_progress, mode=demo.options.mode, since=since)
            )
            demo.settled = progress.settled
            _show(demo, overview, progress)
            await _pause_when_enough(demo, progress, demo.clock.monotonic() - began)
            if demo.problems or demo.interrupts.times > 1:
                break
            # A window whose position was sold early still has to be settled: only then is it explained.
            resolved = progress.settled >= progress.traded or bool(demo.interrupts.times)
            if demo.is_pausing and resolved and not progress.open_positions and not progress.unfinished:
                now = demo.clock.monotonic()
                quiet_since = quiet_since if quiet_since is not None else now
                if not await differences(demo) or now - quiet_since > AGREE_WITHIN_S:
                    return
                demo.note = "everything is over; waiting until the venue and the Book agree"
            _look_at_the_time(demo, progress, demo.clock.monotonic() - began)
            await demo.interrupts.pause(LOOK_EVERY_S)
    if demo.interrupts.times > 1 and progress.waiting_for:
        demo.problems.append(f"ended by hand while open: {progress.waiting_for}")


async def _look_whether_ready(demo: Demo, overview: Overview, began: float) -> None:
    if demo.ready_at is not None:
        return
    if await demo.reader.retry_read(partial(is_ready, services=demo_world.SERVICES)):
        demo.ready_at = overview.read_at
        demo.note = ""
    elif demo.clock.monotonic() - began > READY_WITHIN_S:
        beats = {each.service: each for each in overview.services}
        unfit = sorted(name for name in demo_world.SERVICES if name not in beats or not beats[name].healthy)
        told = "\n".join(
            f"{name}: {dict(beats[name].details) if name in beats else 'never beat'};"
            f" its log ends with: {tail(demo.services.watched[name].log, lines=1)}"
            for name in unfit
        )
        demo.problems.append(
            f"not ready after {READY_WITHIN_S:g} s: {', '.join(unfit) or 'the executor does not lead'}\n{told}"
        )


def _show(demo: Demo, overview: Overview, progress: Progress) -> None:
    course = Course(
        mode=demo.options.mode,
        source=f"{demo.options.source}, seed {demo.options.seed}",
        elapsed=overview.read_at - demo.started_at,
        wanted=demo.options.windows,
        traded=progress.traded,
        settled=progress.settled,
        note=demo.note,
        page=_page_of(demo.options.folder),
        watched=list(demo.services.watched.values()),
    )
    demo.screen.show(overview, course)
    if (
        demo.options.picture is not None
        and progress.traded
        and progress.open_positions
        and not demo.is_pausing
    ):
        save_picture(overview, course, demo.options.picture)


def _page_of(folder: Path) -> str:
    with suppress(FileNotFoundError, ValueError):
        return f"http://127.0.0.1:{int((folder / 'dashboard.port').read_text())}/"
    return ""


async def _pause_when_enough(demo: Demo, progress: Progress, elapsed_s: float) -> None:
    """Take no more entries once enough windows were traded, when the time is over, or at the first Ctrl-C."""
    late = bool(demo.options.windows) and elapsed_s > demo.options.trading_limit_s
    enough = late or 0 < demo.options.windows <= progress.traded
    if demo.is_pausing:
        if progress.waiting_for:
            demo.note = f"no more entries; waiting for {progress.waiting_for}" + (
                " (Ctrl-C again: leave at once)" if demo.interrupts.times else ""
            )
    elif enough or demo.interrupts.times:
        demo.is_pausing = True
        await actions.throw_switch(demo.operator, [], KillSwitch.PAUSE, demo_world.DEMO)


def _look_at_the_time(demo: Demo, progress: Progress, elapsed_s: float) -> None:
    """Give up on what does not settle although nothing new is entered."""
    limit_s = demo.options.trading_limit_s + SETTLED_WITHIN_S
    if demo.options.windows and elapsed_s > limit_s:
        demo.problems.append(
            f"{limit_s:g} s are over, still waiting for {progress.waiting_for or 'the venue and the Book to agree'};"
            f" look into {demo.options.folder / 'logs'}"
        )


async def read_truth(demo: Demo) -> dict[str, Any]:
    """Return what the fake venue knows."""
    async with httpx.AsyncClient(timeout=ASK_WITHIN_S) as client:
        answer = await client.get(f"{demo.control_url}/_sim/truth")
        found: dict[str, Any] = answer.raise_for_status().json()
        return found


async def differences(demo: Demo) -> list[str]:
    """Return how Book and venue differ now; always empty where nothing is traded at the venue."""
    if not demo.wallets.addresses:
        return []
    side = await demo.reader.retry_read(partial(read_side, mode=demo.options.mode))
    return list(compare(side, await read_truth(demo), demo.wallets.addresses))


async def end(demo: Demo) -> dict[str, Any]:
    """Return the summary, read when no service runs any more."""
    side = await demo.reader.retry_read(partial(read_side, mode=demo.options.mode))
    proofs = [
        f"{proof.account} {proof.mode}: {text}"
        for proof in await actions.prove(demo.operator)
        for text in [
            *(f"{each.what}: stored {each.stored}, entries say {each.folded}" for each in proof.differences),
            *(
                [f"the audit chain breaks at event {proof.broken_event}"]
                if proof.broken_event is not None
                else []
            ),
        ]
    ]
    if demo.options.windows > demo.settled and not demo.problems and not demo.interrupts.times:
        demo.problems.append(
            f"only {demo.settled} of {demo.options.windows} windows were traded and settled in"
            f" {demo.options.trading_limit_s} s: the refusals and killed orders above say why"
        )
    run = Run(
        mode=demo.options.mode,
        seed=demo.options.seed,
        source=demo.options.source,
        window_s=demo.options.window_s,
        windows_wanted=demo.options.windows,
        windows_settled=demo.settled,
        started_at=demo.started_at.isoformat(timespec="milliseconds"),
        seconds=int((demo.clock.now() - demo.started_at) / timedelta(seconds=1)),
        restarts={each.name: each.restarts for each in demo.services.watched.values() if each.restarts},
        problems=demo.problems,
    )
    return summarise(run, side, await read_truth(demo), demo.wallets.addresses, proofs)
