"""What all feeds do alike, whatever the other side does."""

import asyncio
import random

import pytest

from shared.runtime.clock import SystemClock
from shared.venue import stream
from shared.venue.events import (
    BookDelta,
    Connected,
    Disconnected,
    Unreadable,
)
from shared.venue.market_feed import MarketFeed
from tests.unit.shared.venue.stream_server import DELTA_FRAME, Venue, collect, kinds, market_feed
from tests.unit.shared.venue.venue_values import TOKEN


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(stream, "BACKOFF_FIRST_S", 0.001)
    monkeypatch.setattr(stream, "BACKOFF_CAP_S", 0.002)


async def test_an_unreadable_frame_is_an_event_and_the_feed_goes_on():
    async def talk(venue):
        await venue.listen()
        await venue.say(DELTA_FRAME[:40], "INVALID OPERATION", "", DELTA_FRAME)
        await venue.socket.send(b"\xff\xfe", text=True)
        await venue.say(DELTA_FRAME)
        await venue.hold()

    async def use(url):
        feed = market_feed(url)
        await feed.follow([TOKEN])
        found = await collect(feed, 5)
        assert kinds(found)[:4] == [Connected, Unreadable, Unreadable, BookDelta]
        assert (found[1].kind, found[1].sample) == ("Malformed", DELTA_FRAME[:40])

    await Venue(talk).run(use)


async def test_a_feed_that_is_open_but_silent_is_given_up_although_it_answers_pings(monkeypatch):
    monkeypatch.setattr("shared.venue.market_feed.PING_S", 0.01)

    async def silent(venue):
        await venue.listen()
        while True:
            await venue.listen()
            await venue.say("PONG")

    async def talking(venue):
        await venue.listen()
        await venue.say(DELTA_FRAME)
        await venue.hold()

    venue = Venue(silent, talking)

    async def use(url):
        feed = market_feed(url, silent_after_s=0.05)
        await feed.follow([TOKEN])
        found = await collect(feed, 4)
        assert kinds(found) == [Connected, Disconnected, Connected, BookDelta]
        assert "no data" in found[1].reason

    await venue.run(use)
    assert "PING" in venue.heard[0]


async def test_a_busy_consumer_is_not_taken_for_a_silent_venue():
    clock = SystemClock()
    ahead = [0.0]
    clock.monotonic = lambda: SystemClock.monotonic(clock) + ahead[0]

    async def talk(venue):
        await venue.listen()
        await venue.say(DELTA_FRAME, DELTA_FRAME)
        await venue.hold()

    async def use(url):
        feed = MarketFeed(url, clock, random.Random(1), silent_after_s=30.0)
        await feed.follow([TOKEN])
        async with asyncio.timeout(10), feed:
            assert isinstance(await anext(feed), Connected)
            assert isinstance(await anext(feed), BookDelta)
            ahead[0] += 3600  # the consumer was away for an hour; the next frame was waiting all the while
            assert isinstance(await anext(feed), BookDelta)

    await Venue(talk).run(use)


async def test_a_refused_handshake_waits_as_long_as_the_venue_asks():
    async def talk(venue):
        await venue.listen()
        await venue.hold()

    async def use(url):
        feed = market_feed(url)
        await feed.follow([TOKEN])
        lost, connected = await collect(feed, 2)
        assert isinstance(lost, Disconnected)
        assert ("503" in lost.reason, lost.retry_in_s) == (True, 0.0)
        assert isinstance(connected, Connected)

    await Venue(talk, refuse=["0"]).run(use)


async def test_a_venue_that_is_not_there_is_reported_and_tried_again():
    venue = Venue(None)
    closed: list[str] = []

    async def use(url):
        closed.append(url)

    await venue.run(use)
    feed = market_feed(closed[0])
    await feed.follow([TOKEN])
    assert kinds(await collect(feed, 2)) == [Disconnected, Disconnected]


async def test_cancelling_a_wait_loses_no_event():
    proceed = asyncio.Event()

    async def talk(venue):
        await venue.listen()
        await proceed.wait()
        await venue.say(DELTA_FRAME)
        await venue.hold()

    async def use(url):
        feed = market_feed(url)
        await feed.follow([TOKEN])
        async with asyncio.timeout(10), feed:
            assert isinstance(await anext(feed), Connected)
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await anext(feed)
            proceed.set()
            assert isinstance(await anext(feed), BookDelta)

    await Venue(talk).run(use)
