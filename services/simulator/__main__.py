"""Wiring of the simulator: settings, world, venue, signals.

python -m services.simulator --seed 1 --port 0 --ready-file sim.json
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from services.simulator.config import SimulatorSettings
from services.simulator.serving import build, serve, start_ms
from services.simulator.sources import world_from
from shared.observability.logs import configure_logs, get_logger
from shared.runtime.clock import SystemClock

BAD_SETTING_STATUS = 2
PREFIX = "SIMULATOR_"
OPTIONS = ("seed", "host", "port", "ready_file", "source", "assets", "window_s", "first_open_in_s")
log = get_logger()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until SIGTERM, SIGINT or POST /_sim/stop; exit 2 on settings that describe no world."""
    settings = _settings(arguments)
    configure_logs("simulator")
    try:
        asyncio.run(_run(settings))
    except (ValueError, OSError) as error:
        print(f"simulator: {error}", file=sys.stderr)  # noqa: T201 - a person started it and must read why it ended
        sys.exit(BAD_SETTING_STATUS)


async def _run(settings: SimulatorSettings) -> None:
    clock = SystemClock()
    world = world_from(settings, start_ms(clock))
    simulator = build(settings, world, clock)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, simulator.stop.set)
    for line in world.banner():
        log.info("world_described", line=line)
    await serve(simulator, settings)
    log.info("simulator_stopped")


def _settings(arguments: Sequence[str] | None) -> SimulatorSettings:
    parser = argparse.ArgumentParser(prog="python -m services.simulator", description=__doc__)
    for name in OPTIONS:
        parser.add_argument(f"--{name.replace('_', '-')}", default=None)
    given: dict[str, Any] = {
        name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None
    }
    known = {f"{PREFIX}{name.upper()}" for name in SimulatorSettings.model_fields}
    problems = [
        f"{variable} is no setting of the simulator"
        for variable in sorted(os.environ)
        if variable.startswith(PREFIX) and variable not in known
    ]
    try:
        settings = SimulatorSettings(**given)
    except ValidationError as error:
        problems += [
            f"{PREFIX}{str(details['loc'][0]).upper()}: {details['msg']}"
            for details in error.errors(include_input=False)
        ]
    if problems:
        for problem in problems:
            print(f"simulator: {problem}", file=sys.stderr)  # noqa: T201 - the logs are not set up yet
        sys.exit(BAD_SETTING_STATUS)
    return settings


if __name__ == "__main__":
    main()
