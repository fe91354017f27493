"""What all feeds do alike, whatever the other side does."""

import asyncio
import random
from dataclasses import dataclass

import pytest

from shared.runtime.clock import SystemClock
from shared.venue import stream
from shared.venue.events import (
    BookDelta,
    Connected,
    Disconnected,
    Renewed,
    Unreadable,
)
from shared.venue.market_feed import MarketFeed
from shared.venue.stream import Feed, Heard, Pace
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


class Aging(SystemClock):
    """The system's clock, whose monotonic part can jump."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


@dataclass(frozen=True)
class Said:
    text: str


class Words:
    """An adapter whose every frame is data of the stream its first letter names."""

    name = "words"
    ready_at_opening = True
    secrets = ()

    def __init__(self, url, *, watched=(), silent_after_s=None, max_age_s=None):
        self.url, self.watched = url, watched
        self.pace = Pace("beat", 0.01, None, silent_after_s, max_age_s)

    def opening(self):
        return ("hello",)

    def hear(self, text, _received_at):
        return Heard((Said(text),), spoke=(text[0],), is_ending=text.endswith("!"))

    def heartbeat_frames(self):
        return ()


def words(url, clock=None, **options):
    return Feed(Words(url, **options), clock or SystemClock(), random.Random(1))


async def test_an_old_connection_is_replaced_by_a_new_one_first_and_nothing_between_is_lost(monkeypatch):
    monkeypatch.setattr(stream, "OVERLAP_S", 0.05)
    clock = Aging()
    second_is_here = asyncio.Event()

    async def first(venue):
        await venue.listen()
        await venue.say("a1")
        await second_is_here.wait()
        await venue.say("a2")  # sent after the new one was opened, before the old one is left
        await venue.hold()

    async def second(venue):
        await venue.listen()
        second_is_here.set()
        await venue.say("a2", "a3")
        await venue.hold()

    venue = Venue(first, second)

    async def use(url):
        async with asyncio.timeout(10), words(url, clock, max_age_s=3600.0) as feed:
            assert [await anext(feed), await anext(feed)][1] == Said("a1")
            clock.ahead_s += 3601
            found = [await anext(feed) for _ in range(4)]
            assert found[0] == Said("a2")
            assert isinstance(found[1], Renewed)
            assert found[2:] == [Said("a2"), Said("a3")]

    await venue.run(use)
    assert [heard[0] for heard in venue.heard] == ["hello", "hello"]


async def test_a_server_that_says_it_will_end_is_left_at_once(monkeypatch):
    monkeypatch.setattr(stream, "OVERLAP_S", 0.01)

    async def ending(venue):
        await venue.listen()
        await venue.say("a1!")
        await venue.hold()

    async def talking(venue):
        await venue.listen()
        await venue.say("a2")
        await venue.hold()

    async def use(url):
        assert [type(event) for event in await collect(words(url), 4)] == [Connected, Said, Renewed, Said]

    await Venue(ending, talking).run(use)


async def test_when_the_replacement_cannot_be_had_the_old_connection_goes_on():
    refuse: list[str] = []

    async def talk(venue):
        await venue.listen()
        await venue.say("a1")
        refuse.append("0")  # from now on nobody is let in
        await venue.say("a2!", "a3", "a4")
        await venue.hold()

    async def use(url):
        found = await collect(words(url), 5)
        assert [getattr(event, "text", None) for event in found] == [None, "a1", "a2!", "a3", "a4"]
        assert isinstance(found[0], Connected)

    venue = Venue(talk)
    venue.refuse = refuse
    await venue.run(use)


async def test_an_old_connection_that_ends_during_the_change_costs_nothing(monkeypatch):
    monkeypatch.setattr(stream, "OVERLAP_S", 30.0)

    async def ending(venue):
        await venue.listen()
        await venue.say("a1!")
        await venue.hold()  # ended below

    async def talking(venue):
        await venue.listen()
        await first.socket.close()
        await venue.say("a2")
        await venue.hold()

    talks = []

    async def begin(venue):
        talks.append(venue)
        await (ending if len(talks) == 1 else talking)(venue)

    class First:
        @property
        def socket(self):
            return talks[0].socket

    first = First()

    async def use(url):
        found = await collect(words(url), 4)
        assert [type(event) for event in found] == [Connected, Said, Renewed, Said]

    await Venue(begin).run(use)


async def test_one_silent_stream_among_talking_ones_is_noticed():
    clock = Aging()

    async def talk(venue):
        await venue.listen()
        await venue.say("a1", "b1")
        for _ in range(3):
            await venue.listen()
            clock.ahead_s += 11  # a heartbeat was sent: the feed waits, and nobody is busy
            await venue.say("a2")
        await venue.hold()

    async def use(url):
        feed = words(url, clock, watched=("a", "b"), silent_after_s=30.0)
        async with asyncio.timeout(10), feed:
            await anext(feed), await anext(feed), await anext(feed)
            for _ in range(3):
                assert await anext(feed) == Said("a2")
            lost = await anext(feed)
            assert isinstance(lost, Disconnected)
            assert "no data of b" in lost.reason

    await Venue(talk).run(use)


@pytest.mark.parametrize(("code", "longest_s"), [(4001, 30.0), (4003, 10.0)])
async def test_a_close_that_says_why_is_answered_with_the_wait_it_asks_for(monkeypatch, code, longest_s):
    monkeypatch.setattr(stream, "BACKOFF_CAP_S", 30.0)

    async def talk(venue):
        await venue.listen()
        await venue.socket.close(code)

    async def use(url):
        _, lost = await collect(words(url), 2)
        assert isinstance(lost, Disconnected)
        assert lost.retry_in_s == longest_s if code == 4001 else 0.01 < lost.retry_in_s <= longest_s

    await Venue(talk).run(use)
