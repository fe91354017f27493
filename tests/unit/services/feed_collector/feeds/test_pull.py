"""A feed in a hurry, and everybody else."""

import asyncio

from services.feed_collector.feeds.pull import TURN_EVENTS, pull
from shared.runtime.clock import SystemClock
from shared.runtime.pulse import LoopPulse


class Hurried:
    """A feed whose next event is always there already."""

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        return None

    async def __anext__(self):
        return "event"


async def test_a_feed_in_a_hurry_leaves_the_others_their_turn():
    pulse = LoopPulse("binance", SystemClock(), 15.0)
    taken = []

    async def writer():
        pulse.stopping.set()

    def take(event):
        taken.append(event)
        assert len(taken) <= 10 * TURN_EVENTS, "nobody else ever ran"

    async with asyncio.TaskGroup() as group:
        group.create_task(pull(Hurried(), pulse, take))
        group.create_task(writer())
    assert len(taken) <= 4 * TURN_EVENTS
