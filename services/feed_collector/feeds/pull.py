"""Pulling a feed: what every feed's loop has in common."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from services.feed_collector.metrics import CONNECTIONS
from services.feed_collector.tape import Tape
from shared.domain.ticks import Source
from shared.observability.logs import get_logger
from shared.runtime.pulse import LoopPulse
from shared.venue.events import Connected, Disconnected, FeedState, Renewed, TookOver, Unreadable
from shared.venue.stream import Feed

WAIT_S = 12.0
"""Longer than a feed may take to connect, so that looking up does not interrupt it."""
LOOP_STALE_AFTER_S = 30.0
TURN_EVENTS = 50
"""So many events of a feed in a hurry, then everybody else is asked."""

EventT = TypeVar("EventT")
log = get_logger()


async def pull(
    feed: Feed[EventT],
    pulse: LoopPulse,
    take: Callable[[EventT | FeedState], None],
    *,
    until: Callable[[], bool] = lambda: False,
) -> None:
    """Hand every event to ``take`` until the process stops or ``until`` says so, which is asked with each event."""
    heard = 0
    async with feed:
        while not pulse.stopping.is_set() and not until():
            pulse.tick()
            try:
                async with asyncio.timeout(WAIT_S):
                    event = await anext(feed)
            except TimeoutError:
                continue
            if not pulse.stopping.is_set():
                take(event)
            heard += 1
            if heard % TURN_EVENTS == 0:
                await asyncio.sleep(
                    0
                )  # what has arrived is taken without waiting: the writer must get its turn


def note_state(tape: Tape, source: Source, state: FeedState) -> None:
    """Log a feed's connection and count what it could not read."""
    match state:
        case Connected():
            CONNECTIONS.labels(source.value).inc()
            log.info("feed_connected", feed=source.value)
        case Renewed():
            CONNECTIONS.labels(source.value).inc()
            log.info("feed_renewed", feed=source.value)
        case TookOver():
            log.warning("feed_taken_over", feed=source.value, reason=state.reason)
        case Disconnected():
            log.warning(
                "feed_disconnected",
                feed=source.value,
                reason=state.reason,
                retry_in_s=round(state.retry_in_s, 3),
            )
        case Unreadable():
            tape.refused(source, state)
