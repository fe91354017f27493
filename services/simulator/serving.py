"""Building the fake venue and serving it: one loop, one port a surface."""

import asyncio
import json
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from services.simulator.config import SimulatorSettings
from services.simulator.control import Control, control_routes
from services.simulator.data_http import data_routes
from services.simulator.exchange import Exchange
from services.simulator.faults import Faults
from services.simulator.feeds_stream import binance_app, polybolt_app
from services.simulator.gamma_http import gamma_routes
from services.simulator.pyth_http import pyth_app
from services.simulator.rate_limits import RateLimits
from services.simulator.relayer_http import Relayer, relayer_routes
from services.simulator.rpc_http import Node, rpc_routes
from services.simulator.rtds_stream import rtds_app
from services.simulator.settlement import Chain
from services.simulator.timetable import Timetable
from services.simulator.venue import Venue, to_ms
from services.simulator.venue_auth import ApiKeys
from services.simulator.venue_faults import arrival_middleware, fault_middleware
from services.simulator.venue_http import public_routes
from services.simulator.venue_private_http import private_routes
from services.simulator.venue_stream import Streams, stream_routes
from services.simulator.world import World
from shared.observability.logs import get_logger
from shared.runtime.clock import Clock

LONGEST_SLEEP_S: Final = 0.5
SHUTDOWN_S: Final = 0.5
log = get_logger()


@dataclass(frozen=True, slots=True)
class Simulator:
    """Everything built, nothing bound yet."""

    venue: Venue
    streams: Streams
    apps: dict[str, web.Application]
    urls: dict[str, str]  # known once ``ready`` is set
    ready: asyncio.Event
    stop: asyncio.Event


def build(settings: SimulatorSettings, world: World, clock: Clock) -> Simulator:
    """Return the whole fake venue over a world, ready to be served."""
    faults, timetable = Faults(), Timetable()
    streams = Streams(faults, clock, timetable)
    chain = Chain(random.Random(f"{settings.seed}:chain"))
    exchange = Exchange(
        world, rules=settings.rules(), timetable=timetable, faults=faults, chain=chain, sink=streams
    )
    limits = RateLimits(enforced=settings.limits_enforced)
    venue = Venue(exchange, ApiKeys(settings.seed), faults, clock, limits=limits)
    relayer = Relayer(venue, int(settings.relayer_mined_s * 1000))
    urls: dict[str, str] = {}
    stop = asyncio.Event()
    control = Control(venue, relayer, urls, stop, settings.initial_usdc)

    def known(key: str, secret: str, passphrase: str) -> bool:
        return venue.keys.known(key, secret, passphrase) is not None

    clob = [*public_routes(venue), *private_routes(venue), *stream_routes(venue, streams)]
    apps = {
        "clob": _app(venue, "clob", clob),
        "gamma": _app(venue, "gamma", gamma_routes(venue)),
        "data": _app(venue, "data", data_routes(venue, int(settings.data_lag_s * 1000))),
        "relayer": _app(venue, "relayer", relayer_routes(relayer)),
        "rpc": _app(venue, "rpc", rpc_routes(Node(venue, relayer.mined_ms))),
        "polybolt": polybolt_app(world, clock, known, faults),
        "binance": binance_app(world, clock, faults),
        "control": _app(None, "control", control_routes(control)),
        "rtds": rtds_app(world, clock, faults),
        "pyth": pyth_app(world, clock, faults),
    }
    for host in ("polybolt", "binance", "rtds", "pyth"):
        apps[host].middlewares.append(fault_middleware(venue, host))
    return Simulator(venue, streams, apps, urls, asyncio.Event(), stop)


async def serve(simulator: Simulator, settings: SimulatorSettings) -> None:
    """Bind every surface, say so in the ready file, and run until asked to stop."""
    async with AsyncExitStack() as stack:
        ports = {}
        for place, (name, app) in enumerate(simulator.apps.items()):
            runner = web.AppRunner(
                app, access_log=None, shutdown_timeout=SHUTDOWN_S, keepalive_timeout=settings.keepalive_s
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, settings.host, settings.port and settings.port + place).start()
            ports[name] = int(runner.addresses[0][1])
        simulator.venue.exchange.listing.look(simulator.venue.now_ms())
        simulator.urls.update(_urls(settings.public_host or settings.host, ports))
        async with asyncio.TaskGroup() as group:
            pump = group.create_task(pump_timetable(simulator))
            if settings.ready_file is not None:
                _write_whole(settings.ready_file, json.dumps(simulator.urls, indent=1) + "\n")
            simulator.ready.set()
            log.info("simulator_ready", **simulator.urls)
            await simulator.stop.wait()
            pump.cancel()


async def pump_timetable(simulator: Simulator) -> None:
    """Bring the engine the time: whenever something is due, or planned earlier than thought."""
    exchange, venue = simulator.venue.exchange, simulator.venue
    wake = asyncio.Event()
    exchange.timetable.on_earlier = wake.set
    while True:
        wake.clear()
        now_ms = venue.now_ms()
        exchange.timetable.run_until(now_ms)
        next_ms = exchange.timetable.next_ms()
        wait_s = LONGEST_SLEEP_S if next_ms is None else (next_ms - venue.now_ms()) / 1000
        try:
            async with asyncio.timeout(min(max(wait_s, 0.0), LONGEST_SLEEP_S)):
                await wake.wait()
        except TimeoutError:
            continue


def _app(venue: Venue | None, host: str, routes: Sequence[web.RouteDef]) -> web.Application:
    middlewares = [] if venue is None else [fault_middleware(venue, host)]
    if venue is not None and host == "clob":
        middlewares.insert(0, arrival_middleware(venue))
    app = web.Application(middlewares=middlewares)
    app.add_routes(routes)
    return app


def _urls(host: str, ports: dict[str, int]) -> dict[str, str]:
    def at(name: str, scheme: str = "http", path: str = "") -> str:
        return f"{scheme}://{host}:{ports[name]}{path}"

    return {
        "clob_url": at("clob"),
        "gamma_url": at("gamma"),
        "data_url": at("data"),
        "site_url": at("gamma"),
        "relayer_url": at("relayer"),
        "rpc_url": at("rpc"),
        "clob_market_ws_url": at("clob", "ws", "/ws/market"),
        "clob_user_ws_url": at("clob", "ws", "/ws/user"),
        "polybolt_url": at("polybolt", "ws", "/ws"),
        "binance_url": at("binance", "ws", "/stream"),
        "control_url": at("control"),
        "rtds_url": at("rtds", "ws"),
        "pyth_url": at("pyth"),
    }


def _write_whole(path: Path, text: str) -> None:
    """Write whole or not at all: a reader must not see half an object."""
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(text)
    draft.replace(path)


def start_ms(clock: Clock) -> int:
    """Return the moment a world begins."""
    return to_ms(clock.now())
