"""One price socket: what PolyBolt and Binance have in common: paced frames, pings that must be answered, an end."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from services.simulator.world import FeedFaults, FeedTick, World
from shared.runtime.clock import Clock

SEND_TIMEOUT_S: Final = 10.0
SLOW: Final = 4002
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

    def __init__(self, source: Source, response: web.WebSocketResponse, tasks: asyncio.TaskGroup) -> None:
        self._source = source
        self._response = response
        self._tasks = tasks
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

    async def _play(
        self, ticks: Iterator[FeedTick], fault_name: str, frame: Callable[[FeedTick], str]
    ) -> None:
        for tick in ticks:
            await self._until(tick.at_ms)
            for text in self._source.faults.frames(fault_name, tick.asset, frame(tick)):
                if not await self.send(text):
                    return

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
