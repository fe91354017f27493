"""Receiving: one autocommit connection a service, and a wake-up for each loop that waits.

What can be missed is never relied on: after every (re)connect LISTEN comes first and then everybody is woken to look at
the tables; every wait ends by its poll interval at the latest. Many notifications before a loop looks are one wake-up.
"""

import asyncio
import random
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from pydantic import SecretStr

from shared.bus.channels import CHANNELS, Message, parse
from shared.db.engine import connect_raw
from shared.db.severing import severed_after
from shared.observability.health import CheckResult
from shared.observability.logs import get_logger
from shared.observability.metrics import LISTENER_CONNECTED, LISTENER_RECONNECTS, NOTIFY_LAG_S
from shared.runtime.backoff import backoff
from shared.runtime.clock import Clock
from shared.runtime.pulse import LoopPulse

PROBE_EVERY_S = 5.0
PROBE_WITHIN_S = 3.0
RECONNECT_FIRST_S = 0.1
RECONNECT_CAP_S = 5.0
WAITING_MESSAGES_MAX = 1_000
"""A consumer so far behind is told to look at everything instead."""

log = get_logger()


@dataclass(frozen=True, slots=True)
class Woken:
    """Why a wait ended. ``everything`` means: read the tables without trusting the list (poll, reconnect, overflow)."""

    messages: frozenset[Message]
    everything: bool


class Wakeup:
    """One consumer's wake-ups on its channels; made by ``Listener.subscribe``."""

    def __init__(self, channels: frozenset[str]) -> None:
        self.channels = channels
        self._messages: set[Message] = set()
        self._everything = True  # whoever starts has seen nothing yet
        self._event = asyncio.Event()
        self._event.set()

    async def wait(self, *, timeout_s: float) -> Woken:
        """Return at the next notification, or after ``timeout_s`` seconds: the poll that stands behind the channel.

        The first call returns at once. What arrived since the last call is returned together.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            self._everything = True
        return self._take()

    def add(self, message: Message) -> None:
        """Remember one message until the consumer next looks."""
        if len(self._messages) < WAITING_MESSAGES_MAX:
            self._messages.add(message)
        else:
            self._everything = True
        self._event.set()

    def add_everything(self) -> None:
        """Make the consumer look at its tables whole: messages may have been missed."""
        self._everything = True
        self._event.set()

    def _take(self) -> Woken:
        woken = Woken(frozenset(self._messages), self._everything)
        self._messages.clear()
        self._everything = False
        self._event.clear()
        return woken


class Switchboard:
    """Who is woken by what."""

    def __init__(self) -> None:
        self._wakeups: list[Wakeup] = []

    @property
    def channels(self) -> list[str]:
        """Return the channels somebody waits for, in order."""
        return sorted(frozenset().union(*(wakeup.channels for wakeup in self._wakeups)))

    def subscribe(self, channels: Iterable[str]) -> Wakeup:
        """Return the wake-up of one consumer; raises ValueError for a channel that does not exist."""
        wanted = frozenset(channels)
        if unknown := wanted - CHANNELS:
            raise ValueError(f"no such channel: {', '.join(sorted(unknown))}")
        wakeup = Wakeup(wanted)
        self._wakeups.append(wakeup)
        return wakeup

    def hand_on(self, channel: str, payload: str) -> None:
        """Wake whoever waits for the channel; everybody, when the payload cannot be read."""
        try:
            message = parse(channel, payload)
        except (KeyError, ValueError):
            # Someone at a prompt can send anything; the rows are the truth, so looking at them is always right.
            log.warning("notification_unreadable", channel=channel)
            self.wake_all()
            return
        for wakeup in self._wakeups:
            if channel in wakeup.channels:
                wakeup.add(message)

    def wake_all(self) -> None:
        """Make everybody look at the tables: notifications may have been missed."""
        for wakeup in self._wakeups:
            wakeup.add_everything()


class Listener:
    """Keeps one connection listening for the whole service; ``run`` is one of its loops.

    Subscribe before ``run`` starts.
    """

    def __init__(self, url: SecretStr | str, *, application_name: str, clock: Clock) -> None:
        self._url = url
        self._application_name = f"{application_name}_listener"
        self._clock = clock
        self.connected = asyncio.Event()
        """Set while LISTEN is in place."""
        self._switchboard = Switchboard()
        self._shown = LISTENER_CONNECTED.labels(self._application_name)
        self._chance = random.Random(application_name)  # noqa: S311 jitter is no secret

    def subscribe(self, channels: Iterable[str]) -> Wakeup:
        """Return the wake-up of one consumer; raises ValueError for a channel that does not exist."""
        return self._switchboard.subscribe(channels)

    async def run(self, pulse: LoopPulse) -> None:
        """Listen for ever; a lost connection is made anew with back-off, and nobody is left asleep meanwhile."""
        pauses = backoff(self._chance, first_s=RECONNECT_FIRST_S, cap_s=RECONNECT_CAP_S)
        while True:
            pulse.tick()
            try:
                connection = await connect_raw(
                    self._url, application_name=self._application_name, autocommit=True
                )
                async with connection:
                    await self._start(connection)
                    pauses = backoff(self._chance, first_s=RECONNECT_FIRST_S, cap_s=RECONNECT_CAP_S)
                    await self._listen(connection, pulse)
            except psycopg.OperationalError as error:
                log.warning("listener_disconnected", reason=str(error).strip())
            finally:
                self.connected.clear()
                self._shown.set(0)
            LISTENER_RECONNECTS.inc()
            await asyncio.sleep(next(pauses))

    async def check(self) -> CheckResult:
        """Answer the check of /health: without the connection we are slow, and only as fresh as our polls."""
        return CheckResult(
            ok=self.connected.is_set(), detail="" if self.connected.is_set() else "not listening"
        )

    async def _start(self, connection: psycopg.AsyncConnection[Any]) -> None:
        channels = self._switchboard.channels
        with severed_after(connection, PROBE_WITHIN_S):
            for channel in [*channels, _probe_channel(connection)]:
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        self.connected.set()
        self._shown.set(1)
        log.info("listener_connected", channels=channels)
        self._switchboard.wake_all()

    async def _listen(self, connection: psycopg.AsyncConnection[Any], pulse: LoopPulse) -> None:
        """Hand notifications on, and every five seconds send one to ourselves: does the connection only look alive?"""
        probe = _probe_channel(connection)
        while True:
            pulse.tick()
            with severed_after(connection, PROBE_WITHIN_S):
                await connection.execute("SELECT pg_notify(%s, %s)", [probe, repr(self._clock.boottime())])
            answered = False
            async with aclosing(connection.notifies(timeout=PROBE_EVERY_S)) as notifications:
                async for notification in notifications:
                    if notification.channel == probe:
                        NOTIFY_LAG_S.observe(self._clock.boottime() - float(notification.payload))
                        answered = True
                    else:
                        self._switchboard.hand_on(notification.channel, notification.payload)
            if not answered:
                raise psycopg.OperationalError("our own notification did not come back")


def _probe_channel(connection: psycopg.AsyncConnection[Any]) -> str:
    """Return a channel nobody else listens on, so that a probe wakes nobody else."""
    return f"probe_{connection.info.backend_pid}"
