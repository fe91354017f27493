"""Pyth Hermes: the latest prices, and a stream of server-sent events.

Followed: docs.pyth.network as of October 2026, and one recorded update. Any key is good; none is 401, an id it does not
know 404. The signed binary, which is for chains, is left out.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from services.simulator.feed_socket import SEND_TIMEOUT_S, Source, compact, only
from services.simulator.world import FeedFaults, FeedTick, World
from shared.observability.logs import get_logger
from shared.runtime.clock import Clock

FEEDS: Final[Mapping[str, str]] = {
    "e62df6c8b4a85fe1a67db44dc12de5db330f7ac66b72dc658afedf0f4a415b43": "btc",
    "ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace": "eth",
    "ef0d8b6fda2ceba41da15d4095d1da392a0d2f8ed0c6c7bc0f4cfac8c280b56d": "sol",
    "ec5d399846a9209f3fe5881d70aae9268c94339ff9817e8d18ff19fa05eea1c8": "xrp",
}
EXPONENT: Final = -8
_BACK_MS: Final = 5_000
log = get_logger()
_OPEN: Final = web.AppKey("open_streams", set[asyncio.Task[Any]])


def pyth_app(world: World, clock: Clock, faults: FeedFaults) -> web.Application:
    """Return Hermes, serving ``/v2/updates/price/latest`` and ``/v2/updates/price/stream``."""
    source = Source(world, clock, faults)

    async def latest(request: web.Request) -> web.StreamResponse:
        assets = _asked(request, source)
        found = [tick for asset in assets.values() if (tick := _newest(source, asset)) is not None]
        return web.json_response({"parsed": [_parsed(tick) for tick in found]})

    async def stream(request: web.Request) -> web.StreamResponse:
        assets = _asked(request, source)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        task = asyncio.current_task()
        assert task is not None
        request.app[_OPEN].add(task)
        try:
            async with asyncio.TaskGroup() as tasks:
                for asset in assets.values():
                    tasks.create_task(_play(request, response, source, asset))
        except* ConnectionError:
            log.debug("stream_left", assets=list(assets.values()))
        finally:
            request.app[_OPEN].discard(task)
        return response

    app = web.Application()
    app[_OPEN] = set()
    app.add_routes([web.get("/v2/updates/price/latest", latest), web.get("/v2/updates/price/stream", stream)])

    async def end(stopping: web.Application) -> None:
        for task in stopping[_OPEN].copy():
            task.cancel()

    app.on_shutdown.append(end)
    return app


def _asked(request: web.Request, source: Source) -> Mapping[str, str]:
    """Return the asked feeds' ids and assets; raises what the client is answered."""
    if not request.headers.get("Authorization", "").removeprefix("Bearer").strip():
        raise web.HTTPUnauthorized(text="an API key is required")
    ids = [name.removeprefix("0x") for name in request.query.getall("ids[]", [])]
    world = {window.asset for window in source.world.windows_until(source.now_ms())}
    unknown = [name for name in ids if FEEDS.get(name) not in world]
    if unknown or not ids:
        raise web.HTTPNotFound(text=f"Price ids not found: {', '.join(unknown)}")
    return {name: FEEDS[name] for name in ids}


async def _play(request: web.Request, response: web.StreamResponse, source: Source, asset: str) -> None:
    for tick in _ticks(source, asset, source.now_ms()):
        await asyncio.sleep(max(tick.at_ms - source.now_ms(), 0) / 1000)
        if source.faults.line("pyth", asset) is not None and request.transport is not None:
            request.transport.abort()
            raise ConnectionResetError
        text = compact({"binary": {"encoding": "hex", "data": []}, "parsed": [_parsed(tick)]})
        await _send(response, source.faults.frames("pyth", asset, text))


async def _send(response: web.StreamResponse, texts: Sequence[str]) -> None:
    for text in texts:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await response.write(f"data:{text}\n\n".encode())


def _ticks(source: Source, asset: str, from_ms: int) -> Iterator[FeedTick]:
    return only(source.world.feed(asset, from_ms), "pyth")


def _newest(source: Source, asset: str) -> FeedTick | None:
    now_ms, newest = source.now_ms(), None
    for tick in _ticks(source, asset, now_ms - _BACK_MS):
        if tick.at_ms > now_ms:
            break
        newest = tick
    return newest


def _parsed(tick: FeedTick) -> dict[str, Any]:
    name = next(feed for feed, asset in FEEDS.items() if asset == tick.asset)
    second = tick.observed_ms // 1000
    price = {
        "price": str(int(tick.price.scaleb(-EXPONENT))),
        "conf": str(int(tick.extra["confidence"].scaleb(-EXPONENT))),
        "expo": EXPONENT,
        "publish_time": second,
    }
    metadata = {
        "slot": tick.extra["slot"],
        "proof_available_time": second + 1,
        "prev_publish_time": second - 1,
    }
    return {"id": name, "price": price, "ema_price": price, "metadata": metadata}
