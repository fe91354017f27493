"""One price socket: what all of them have in common: paced frames, pings that must be answered, an end."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from services.simulator.world import FeedFaults, FeedName, FeedTick, World
from shared.runtime.clock import Clock

SEND_TIMEOUT_S: Final = 10.0
SLOW: Final = 4002
DRAINING: Final = 4003
CLOSE_TIMEOUT_S: Final = 2.0  # to wait for the client's own close frame
OPEN_SOCKETS: Final = web.AppKey("open_sockets", set[web.WebSocketResponse])


@dataclass(frozen=True, slots=True)
class Source:
    """Where the frames of a feed come from and what may spoil them."""

    world: World
    clock: Clock
    faults: FeedFaults

    def now_ms(self) -> int:
        """Return Unix milliseconds."""
        return int(self.clock.now().timestamp() * 1000)


class FeedSocket:
    """A client's socket and the feeds it follows, each a task of the connection's own group."""

    def __init__(
        self,
        source: Source,
        response: web.WebSocketResponse,
        tasks: asyncio.TaskGroup,
        cut: Callable[[], None],
    ) -> None:
        """``cut`` ends the connection without a word."""
        self._cut = cut
        self._source = source
        self._response = response
        self._tasks = tasks
        self._ending: asyncio.Task[None] | None = None
        self._playing: dict[str, asyncio.Task[None]] = {}
        self._unanswered = 0

    @property
    def followed(self) -> list[str]:
        """Return the names of the feeds this socket follows, in order of subscription."""
        return list(self._playing)

    def follow(
        self, name: str, ticks: Iterator[FeedTick], *, fault_name: str, frame: Callable[[FeedTick], str]
    ) -> None:
        """Send ``frame`` of every tick at its time, from now until ``leave``."""
        self._playing[name] = self._tasks.create_task(self._play(ticks, fault_name, frame))

    def leave(self, name: str) -> None:
        """Stop sending a feed; nothing if it is not followed."""
        task = self._playing.pop(name, None)
        if task is not None:
            task.cancel()

    async def keep_alive(self, *, every_s: float, missed_max: int, code: int) -> None:
        """Ping at an interval and close with ``code`` when ``missed_max`` pings have no answer."""
        for serial in count():
            await asyncio.sleep(every_s)
            if self._unanswered >= missed_max:
                await self.close(code, "pong timeout")
                return
            self._unanswered += 1
            if not await self._written(self._response.ping(str(serial).encode())):
                return

    async def answer(self, message: WSMessage) -> None:
        """Answer a ping with its payload, and count a pong as the sign of life it is."""
        if message.type is WSMsgType.PONG:
            self._unanswered = 0
        elif message.type is WSMsgType.PING:
            await self._written(self._response.pong(message.data))

    async def send(self, text: str) -> bool:
        """Send one frame; False when the client is gone. One that does not read for 10 s is closed with 4002."""
        return await self._written(self._response.send_str(text))

    async def close(self, code: int, reason: str) -> None:
        """Close the socket; the reader then ends the connection."""
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await self._response.close(code=code, message=reason.encode())

    def stop(self) -> None:
        """End every feed of this socket."""
        for name in self.followed:
            self.leave(name)
        if self._ending is not None:
            self._ending.cancel()

    async def _play(
        self, ticks: Iterator[FeedTick], fault_name: str, frame: Callable[[FeedTick], str]
    ) -> None:
        for tick in ticks:
            await self._until(tick.at_ms)
            if (struck := self._source.faults.line(fault_name, tick.asset)) is not None:
                await self._strike(*struck)
            for text in self._source.faults.frames(fault_name, tick.asset, frame(tick)):
                if not await self.send(text):
                    return

    async def _strike(self, fault: str, seconds: float) -> None:
        """Let a fault happen to the connection itself."""
        match fault:
            case "cut_line":
                self._cut()
            case "draining":
                await self.close(DRAINING, "draining")
            case "day_cut":
                await self.close(WSCloseCode.GOING_AWAY, "24 hours are over")
            case "server_shutdown":
                await self.send(json.dumps({"e": "serverShutdown", "E": self._source.now_ms()}))
                self._ending = self._tasks.create_task(self._end_after(seconds))

    async def _end_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.close(WSCloseCode.GOING_AWAY, "server shutdown")

    async def _until(self, at_ms: int) -> None:
        # Also when late: many late ticks in a row must not starve the other sockets.
        await asyncio.sleep(max(at_ms - self._source.now_ms(), 0) / 1000)

    async def _written(self, writing: Awaitable[None]) -> bool:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await writing
        except ConnectionError:
            return False  # the client is gone; the reader notices and ends the connection
        except TimeoutError:
            await self.close(SLOW, "slow consumer")
            return False
        return True


class Pace:
    """How many frames a client sent within the last second."""

    def __init__(self, clock: Clock, most: int) -> None:
        self._clock = clock
        self._most = most
        self._times: deque[float] = deque(maxlen=most + 1)

    def exceeded(self) -> bool:
        """Count one frame; True when there were more than allowed within a second."""
        self._times.append(self._clock.monotonic())
        return len(self._times) > self._most and self._times[-1] - self._times[0] < 1


async def close_sockets(app: web.Application, code: int = WSCloseCode.GOING_AWAY) -> None:
    """Close every socket of an application that is stopping, or its stop would wait for the clients."""
    async with asyncio.timeout(SEND_TIMEOUT_S), asyncio.TaskGroup() as tasks:
        for response in app[OPEN_SOCKETS].copy():
            tasks.create_task(response.close(code=code, message=b"draining"))


async def served(
    request: web.Request,
    response: web.WebSocketResponse,
    source: Source,
    talk: Callable[[FeedSocket], Any],
    *,
    every_s: float,
    missed_max: int,
    code: int,
) -> None:
    """Run one connection: the reader decides when it ends, and then its feeds and its pings end with it."""
    await response.prepare(request)
    request.app[OPEN_SOCKETS].add(response)
    try:
        async with asyncio.TaskGroup() as tasks:
            assert request.transport is not None
            socket = FeedSocket(source, response, tasks, request.transport.abort)
            alive = tasks.create_task(socket.keep_alive(every_s=every_s, missed_max=missed_max, code=code))
            try:
                await talk(socket)
            finally:
                alive.cancel()
                socket.stop()
    finally:
        request.app[OPEN_SOCKETS].discard(response)


def feed_app(routes: Mapping[str, Callable[[web.Request], Any]], close_code: int) -> web.Application:
    """Return an application of sockets; one that stops closes each with ``close_code``."""
    app = web.Application()
    app[OPEN_SOCKETS] = set()
    app.add_routes([web.get(path, handler) for path, handler in routes.items()])

    async def drain(stopping: web.Application) -> None:
        await close_sockets(stopping, close_code)

    app.on_shutdown.append(drain)
    return app


def only(ticks: Iterator[FeedTick], feed: FeedName) -> Iterator[FeedTick]:
    """Yield the ticks of one feed."""
    return (tick for tick in ticks if tick.feed == feed)


def chained(first: list[FeedTick], rest: Iterator[FeedTick]) -> Iterator[FeedTick]:
    """Yield what was read ahead, then the rest."""
    yield from first
    yield from rest


def json_object(text: str) -> dict[str, Any]:
    """Return a client's frame; an empty object for one that is none."""
    try:
        frame = json.loads(text)
    except ValueError:
        return {}
    return frame if isinstance(frame, dict) else {}


def compact(frame: Mapping[str, Any]) -> str:
    """Return a frame as text."""
    return json.dumps(frame, separators=(",", ":"))
