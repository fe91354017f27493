"""The websocket loop every feed shares: connect, subscribe, keep alive, notice silence, connect anew.

It is pulled, not pushed: ``async for event in feed`` reads the next frame when the consumer asks for it. There is no
task and no queue of our own; behind it stands the library's bounded buffer, and a slow consumer slows the sender down.
What differs between feeds is an adapter without I/O.
"""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from shared.runtime.backoff import backoff
from shared.runtime.clock import Clock
from shared.venue.events import Connected, Disconnected, FeedState, Unreadable
from shared.venue.http import retry_after_s
from shared.venue.refusals import Refusal

OPEN_S = 10.0
SEND_S = 5.0
CLOSE_S = 2.0
BACKOFF_FIRST_S = 0.25
BACKOFF_CAP_S = 30.0
_FRAMES_MAX = 256
_FRAME_BYTES_MAX = 4 * 1024 * 1024
_SAMPLE_CHARACTERS = 200
_DRAINING = 4003
_DRAINING_WAIT_S = 10.0

EventT = TypeVar("EventT")


@dataclass(frozen=True, slots=True)
class Heard(Generic[EventT]):
    """What a frame meant."""

    events: Sequence[EventT] = ()
    replies: Sequence[str] = ()
    """Frames to send back, for example the subscription once the login is accepted."""
    is_ready: bool = False
    """From here on nothing is missed; makes the Connected event where the adapter does not do so at the opening."""
    is_data: bool = True
    """False for a mere sign of life: a feed that only says PONG is silent."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a feed is kept alive and when it is given up, seconds; None switches a rule off."""

    heartbeat: str | None = None
    heartbeat_s: float = 10.0
    dead_after_s: float | None = 30.0
    """Without any frame at all."""
    silent_after_s: float | None = None
    """Without data: open but silent is as bad as closed (C1)."""
    max_age_s: float | None = None


class Adapter(Protocol[EventT]):
    """What differs between feeds."""

    name: str
    url: str
    pace: Pace
    ready_at_opening: bool
    secrets: Sequence[str]
    """What the venue may repeat to us and a sample must not show (B2)."""

    def opening(self) -> Sequence[str]:
        """Return the frames to send first."""
        ...

    def hear(self, text: str, received_at: datetime) -> Heard[EventT]:
        """Return what a frame means; raises Refusal for one that is not understood."""
        ...

    def heartbeat_frames(self) -> Sequence[str]:
        """Return what else to send with each heartbeat."""
        ...


class Feed(Generic[EventT]):
    """Use as ``async with Feed(adapter, clock, chance) as feed: async for event in feed``; it never ends by itself."""

    def __init__(self, adapter: Adapter[EventT], clock: Clock, chance: random.Random) -> None:
        self._adapter = adapter
        self._clock = clock
        self._chance = chance
        self._socket: ClientConnection | None = None
        self._pending: deque[EventT | FeedState] = deque()
        self._waits_s = backoff(chance, first_s=BACKOFF_FIRST_S, cap_s=BACKOFF_CAP_S)
        self._not_before = clock.monotonic()
        self._is_ready = False
        self._opened_at = self._heard_at = self._data_at = self._beaten_at = self._left_at = 0.0
        self._may_open = asyncio.Event()
        self._may_open.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._socket is not None:
            await self._socket.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> EventT | FeedState:
        """Return the next event; cancelling while it waits loses nothing."""
        while not self._pending:
            if self._socket is None:
                await self._open()
            else:
                await self._hear(self._socket)
        return self._pending.popleft()

    async def send(self, frame: str) -> bool:
        """Send a frame if connected; False when it did not go out, and the loop will connect anew."""
        if self._socket is None:
            return False
        try:
            async with asyncio.timeout(SEND_S):
                await self._socket.send(frame)
        except (ConnectionClosed, TimeoutError):
            return False
        return True

    async def _open(self) -> None:
        await self._may_open.wait()
        # A moment, not a duration: a consumer that looks away and comes back does not begin to wait again.
        await asyncio.sleep(max(self._not_before - self._clock.monotonic(), 0.0))
        try:
            async with asyncio.timeout(OPEN_S):
                self._socket = await connect(
                    self._adapter.url,
                    ping_interval=None,
                    close_timeout=CLOSE_S,
                    max_queue=_FRAMES_MAX,
                    max_size=_FRAME_BYTES_MAX,
                )
                for frame in self._adapter.opening():
                    await self._socket.send(frame)
        except InvalidStatus as refused:
            asked_s = retry_after_s(refused.response.headers.get("Retry-After"), self._clock.now())
            await self._lose(f"refused with status {refused.response.status_code}", wait_s=asked_s)
            return
        except (OSError, TimeoutError, WebSocketException) as error:
            await self._lose(f"{type(error).__name__}: {error}")
            return
        now = self._clock.monotonic()
        self._opened_at = self._heard_at = self._data_at = self._beaten_at = self._left_at = now
        if self._adapter.ready_at_opening:
            self._become_ready()

    async def _hear(self, socket: ClientConnection) -> None:
        # The watchdogs measure how long we waited in vain, not how long the consumer was busy.
        now = self._clock.monotonic()
        busy_s = now - self._left_at
        self._heard_at += busy_s
        self._data_at += busy_s
        reason, due_s = self._due(now)
        if reason is not None:
            await self._lose(reason)
            return
        try:
            async with asyncio.timeout(due_s):
                text = await socket.recv(decode=True)
        except TimeoutError:
            await self._beat()
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else None
            wait_s = self._chance.random() * _DRAINING_WAIT_S if code == _DRAINING else None
            await self._lose(f"closed: {closed}", wait_s=wait_s)
        except UnicodeDecodeError as error:
            self._pending.append(self._unreadable("Malformed", str(error), ""))
        else:
            await self._understand(text)
        finally:
            self._left_at = self._clock.monotonic()

    async def _understand(self, text: str) -> None:
        now = self._clock.monotonic()
        self._heard_at = now
        try:
            heard = self._adapter.hear(text, self._clock.now())
        except Refusal as refusal:
            self._pending.append(self._unreadable(refusal.kind, str(refusal), text))
            return
        if heard.is_ready:
            self._become_ready()
        if heard.is_data:
            self._data_at = now
            self._waits_s = backoff(self._chance, first_s=BACKOFF_FIRST_S, cap_s=BACKOFF_CAP_S)
        self._pending.extend(heard.events)
        for reply in heard.replies:
            await self.send(reply)

    def _become_ready(self) -> None:
        if not self._is_ready:
            self._is_ready = True
            self._pending.append(Connected(self._adapter.name, self._clock.now()))

    def _due(self, now: float) -> tuple[str | None, float]:
        """Return why the connection is to be given up, else None and the seconds until something is due."""
        pace = self._adapter.pace
        limits = (
            ("nothing was heard", self._heard_at, pace.dead_after_s),
            ("no data came", self._data_at, pace.silent_after_s),
            ("it is old enough", self._opened_at, pace.max_age_s),
        )
        left_s = self._beaten_at + pace.heartbeat_s - now
        for reason, since, limit_s in limits:
            if limit_s is not None:
                if now - since >= limit_s:
                    return f"{reason} for {limit_s:g} s", 0.0
                left_s = min(left_s, since + limit_s - now)
        return None, max(left_s, 0.0)

    async def _beat(self) -> None:
        pace = self._adapter.pace
        now = self._clock.monotonic()
        if now - self._beaten_at < pace.heartbeat_s:
            return  # a watchdog's time has come, and the next look will see it
        self._beaten_at = now
        if pace.heartbeat is not None:
            await self.send(pace.heartbeat)
        for frame in self._adapter.heartbeat_frames():
            await self.send(frame)

    async def _lose(self, reason: str, *, wait_s: float | None = None) -> None:
        """Forget the connection, say so, and wait before the next one: as asked, else longer each time."""
        socket, self._socket = self._socket, None
        self._is_ready = False
        wait_s = next(self._waits_s) if wait_s is None else min(wait_s, BACKOFF_CAP_S)
        self._not_before = self._clock.monotonic() + wait_s
        self._pending.append(Disconnected(self._adapter.name, self._clock.now(), reason, retry_in_s=wait_s))
        if socket is not None:
            await socket.close()

    def _unreadable(self, kind: str, reason: str, text: str) -> Unreadable:
        for secret in self._adapter.secrets:
            text = text.replace(secret, "***")
        return Unreadable(self._adapter.name, self._clock.now(), kind, reason, text[:_SAMPLE_CHARACTERS])
