"""Serving the page, and beating."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from services.dashboard.api import actions
from services.dashboard.api.config import DashboardSettings
from services.dashboard.api.overviews import Overviews
from shared.db.engine import Database, is_connection_error
from shared.observability.logs import get_logger
from shared.runtime.pulse import LoopPulse

BEAT_EVERY_S = 2.0
TICK_EVERY_S = 0.2
CLOSE_WITHIN_S = 1
log = get_logger()


class _Server(uvicorn.Server):
    """Leaves signals to the process: whoever runs the loops ends them."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(app: FastAPI, settings: DashboardSettings, pulse: LoopPulse) -> None:
    """Serve the page until the process is asked to end."""
    config = uvicorn.Config(
        app,
        host=settings.dashboard_host,
        port=settings.dashboard_port,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=CLOSE_WITHIN_S,
    )
    server = _Server(config)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve())
        announced = False
        while not serving.done():
            pulse.tick()
            if server.started and not announced:
                announced = True
                _announce(server, settings.dashboard_port_file)
            if pulse.stopping.is_set():
                server.should_exit = True
            await asyncio.sleep(TICK_EVERY_S)


def _announce(server: uvicorn.Server, port_file: Path | None) -> None:
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    log.info("page_served", address=f"http://{host}:{port}/")
    if port_file is not None:
        draft = port_file.with_name(f"{port_file.name}.new")
        draft.write_text(f"{port}\n")
        draft.replace(port_file)


async def beat(database: Database, overviews: Overviews, instance: str, pulse: LoopPulse) -> None:
    """Say every two seconds that the dashboard lives; a Book that is away is waited for."""
    say = partial(actions.beat, database, instance=instance)
    while True:
        with pulse.working():
            try:
                async with asyncio.timeout(BEAT_EVERY_S):
                    await say(healthy=True, overview_failures=overviews.failures)
            except Exception as error:
                if not isinstance(error, TimeoutError) and not is_connection_error(error):
                    raise
                log.warning("beat_failed", error=type(error).__name__)
        with suppress(TimeoutError):
            async with asyncio.timeout(BEAT_EVERY_S):
                await pulse.stopping.wait()
                return
