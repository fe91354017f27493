"""The loop every feed shares: connect, subscribe, keep alive, notice silence, connect anew, move house in time.

It is pulled, not pushed: ``async for event in feed`` reads the next frame when the consumer asks for it. There is no
task and no queue of our own; behind it stands the library's bounded buffer, and a slow consumer slows the sender down.
What differs between feeds is an adapter without I/O, and how a line is dialled.
"""

import asyncio
import random
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from shared.runtime.backoff import backoff
from shared.runtime.clock import Clock
from shared.venue.events import Connected, Disconnected, FeedState, Renewed, Unreadable
from shared.venue.lines import Dial, Line, LineLost, NotText, dial_websocket
from shared.venue.refusals import Refusal

OPEN_S = 10.0
SEND_S = 5.0
BACKOFF_FIRST_S = 0.25
BACKOFF_CAP_S = 30.0
RENEW_OPEN_S = 3.0
"""So long the old line may wait unread while its replacement is dialled."""
OVERLAP_S = 0.25
"""So long both lines of a renewal stand: what was sent before the new one was subscribed arrives by the old one."""
_SAMPLE_CHARACTERS = 200
_AUTH_FAILED = 4001
_DRAINING = 4003
_DRAINING_WAIT_S = 10.0
_NOT_HERE = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS})

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
    spoke: Collection[str] = ()
    """Which of the adapter's ``watched`` streams this was data of."""
    is_ending: bool = False
    """The other side will end this connection soon: replace it now."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a feed is kept alive and when it is given up, seconds; None switches a rule off."""

    heartbeat: str | None = None
    heartbeat_s: float = 10.0
    dead_after_s: float | None = 30.0
    """Without any frame at all."""
    silent_after_s: float | None = None
    """Without data, of any watched stream: open but silent is as bad as closed (C1)."""
    max_age_s: float | None = None
    """After which the line is replaced: the new one first, then the old one goes. For feeds ready at the opening."""


class Adapter(Protocol[EventT]):
    """What differs between feeds."""

    name: str
    url: str
    pace: Pace
    ready_at_opening: bool
    secrets: Sequence[str]
    """What the venue may repeat to us and a sample must not show (B2)."""

    @property
    def watched(self) -> Collection[str]:
        """Streams that must each speak by themselves; none: any data is a sign of all."""
        ...

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

    def __init__(
        self, adapter: Adapter[EventT], clock: Clock, chance: random.Random, dial: Dial = dial_websocket
    ) -> None:
        self._adapter = adapter
        self._clock = clock
        self._chance = chance
        self._dial = dial
        self._line: Line | None = None
        self._fresh: Line | None = None
        self._pending: deque[EventT | FeedState] = deque()
        self._waits_s = backoff(chance, first_s=BACKOFF_FIRST_S, cap_s=BACKOFF_CAP_S)
        self._not_before = self._renew_not_before = clock.monotonic()
        self._is_ready = self._is_ending = False
        self._opened_at = self._fresh_at = self._heard_at = self._beaten_at = self._left_at = 0.0
        self._data_at: dict[str, float] = {}
        self._may_open = asyncio.Event()
        self._may_open.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for line in (self._line, self._fresh):
            if line is not None:
                await line.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> EventT | FeedState:
        """Return the next event; cancelling while it waits loses nothing."""
        while not self._pending:
            if self._line is None:
                await self._open()
            else:
                await self._hear(self._line)
        return self._pending.popleft()

    async def send(self, frame: str) -> bool:
        """Send a frame if connected; False when it did not go out, and the loop will connect anew."""
        sent = True
        for line in (self._line, self._fresh):
            try:
                async with asyncio.timeout(SEND_S):
                    if line is not None:
                        await line.send(frame)
            except (LineLost, TimeoutError):
                sent = False
        return sent and self._line is not None

    async def _open(self) -> None:
        await self._may_open.wait()
        # A moment, not a duration: a consumer that looks away and comes back does not begin to wait again.
        await asyncio.sleep(max(self._not_before - self._clock.monotonic(), 0.0))
        try:
            self._line = await self._dialled(OPEN_S)
        except LineLost as lost:
            await self._lose(lost.reason, wait_s=self._asked_wait_s(lost))
            return
        self._begin(self._line, self._clock.monotonic())
        if self._adapter.ready_at_opening:
            self._become_ready()

    async def _dialled(self, limit_s: float) -> Line:
        """Return a line on which the opening frames went out; raises LineLost whatever went wrong."""
        line: Line | None = None
        try:
            async with asyncio.timeout(limit_s):
                line = await self._dial(self._adapter.url, self._clock.now())
                for frame in self._adapter.opening():
                    await line.send(frame)
        except BaseException as error:
            if line is not None:
                await line.close()
            if isinstance(error, OSError | TimeoutError):
                raise LineLost(f"{type(error).__name__}: {error}") from error
            raise
        return line

    def _begin(self, line: Line, opened_at: float) -> None:
        now = self._clock.monotonic()
        self._line, self._opened_at, self._is_ending = line, opened_at, False
        self._heard_at = self._beaten_at = self._left_at = now
        self._data_at = dict.fromkeys(self._adapter.watched, now)

    async def _hear(self, line: Line) -> None:
        now = self._clock.monotonic()
        self._forgive(now - self._left_at)
        self._left_at = now
        if self._fresh is None and self._is_old(now):
            await self._renew(now)
            return
        if self._fresh is not None and now >= self._fresh_at + OVERLAP_S:
            await self._move(line, self._fresh)
            return
        reason, due_s = self._due(now)
        if reason is not None:
            await self._lose(reason)
            return
        try:
            async with asyncio.timeout(due_s):
                text = await line.hear()
        except TimeoutError:
            await self._beat()
        except LineLost as lost:
            if self._fresh is not None:
                await self._move(line, self._fresh)
            else:
                await self._lose(lost.reason, wait_s=self._asked_wait_s(lost))
        except NotText as error:
            self._pending.append(self._unreadable("Malformed", str(error), ""))
        else:
            await self._understand(text)
        finally:
            self._left_at = self._clock.monotonic()

    def _forgive(self, busy_s: float) -> None:
        """Move the watchdogs' marks: they measure how long we waited in vain, not how long the consumer was busy."""
        self._heard_at += busy_s
        for name in self._data_at:
            self._data_at[name] += busy_s

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
            self._note_data(heard.spoke, now)
        self._is_ending = self._is_ending or heard.is_ending
        self._pending.extend(heard.events)
        for reply in heard.replies:
            await self.send(reply)

    def _note_data(self, spoke: Collection[str], now: float) -> None:
        watched = self._adapter.watched
        self._data_at.update(dict.fromkeys(set(spoke) & set(watched) if watched else ("",), now))
        self._waits_s = backoff(self._chance, first_s=BACKOFF_FIRST_S, cap_s=BACKOFF_CAP_S)

    def _become_ready(self) -> None:
        if not self._is_ready:
            self._is_ready = True
            self._pending.append(Connected(self._adapter.name, self._clock.now()))

    def _is_old(self, now: float) -> bool:
        max_age_s = self._adapter.pace.max_age_s
        is_old = self._is_ending or (max_age_s is not None and now - self._opened_at >= max_age_s)
        return is_old and now >= self._renew_not_before

    async def _renew(self, now: float) -> None:
        """Dial the replacement while the old line still stands; where that fails, the old one goes on."""
        try:
            self._fresh = await self._dialled(RENEW_OPEN_S)
        except LineLost:
            # Nothing is lost while the old line lives; its end, should it come first, is reported as any other.
            self._renew_not_before = now + next(self._waits_s)
        else:
            self._fresh_at = self._clock.monotonic()

    async def _move(self, old: Line, fresh: Line) -> None:
        self._fresh = None
        self._begin(fresh, self._fresh_at)
        self._pending.append(Renewed(self._adapter.name, self._clock.now()))
        await old.close()

    def _due(self, now: float) -> tuple[str | None, float]:
        """Return why the connection is to be given up, else None and the seconds until something is due."""
        pace = self._adapter.pace
        left_s = self._beaten_at + pace.heartbeat_s - now
        if pace.max_age_s is not None and now < self._opened_at + pace.max_age_s:
            left_s = min(left_s, self._opened_at + pace.max_age_s - now)
        if self._fresh is not None:
            left_s = min(left_s, self._fresh_at + OVERLAP_S - now)
        for reason, since, limit_s in self._watchdogs():
            if limit_s is not None:
                if now - since >= limit_s:
                    return f"{reason} for {limit_s:g} s", 0.0
                left_s = min(left_s, since + limit_s - now)
        return None, max(left_s, 0.0)

    def _watchdogs(self) -> Iterable[tuple[str, float, float | None]]:
        pace, watched = self._adapter.pace, self._adapter.watched
        yield "nothing was heard", self._heard_at, pace.dead_after_s
        for name in watched or ("",):
            since = self._data_at.setdefault(name, self._clock.monotonic())
            yield (f"no data of {name} came" if name else "no data came"), since, pace.silent_after_s

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

    def _asked_wait_s(self, lost: LineLost) -> float | None:
        """Return how long the other side's words ask us to wait; None leaves it to the backoff."""
        if lost.code == _DRAINING:
            return self._chance.random() * _DRAINING_WAIT_S
        if lost.code == _AUTH_FAILED or lost.code in _NOT_HERE:
            return BACKOFF_CAP_S  # the same again would be refused again
        return lost.retry_after_s

    async def _lose(self, reason: str, *, wait_s: float | None = None) -> None:
        """Forget the connection, say so, and wait before the next one: as asked, else longer each time."""
        line, self._line = self._line, None
        fresh, self._fresh = self._fresh, None
        self._is_ready = self._is_ending = False
        wait_s = next(self._waits_s) if wait_s is None else min(wait_s, BACKOFF_CAP_S)
        self._not_before = self._clock.monotonic() + wait_s
        self._pending.append(Disconnected(self._adapter.name, self._clock.now(), reason, retry_in_s=wait_s))
        for each in (line, fresh):
            if each is not None:
                await each.close()

    def _unreadable(self, kind: str, reason: str, text: str) -> Unreadable:
        for secret in self._adapter.secrets:
            text = text.replace(secret, "***")
        return Unreadable(self._adapter.name, self._clock.now(), kind, reason, text[:_SAMPLE_CHARACTERS])
