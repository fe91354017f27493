"""The feeds against real websocket servers on loopback: what they send, and what they do when the other side misbehaves."""

import asyncio
import json
import random
from http import HTTPStatus

import pytest
from websockets.asyncio.server import serve

from shared.runtime.clock import SystemClock
from shared.venue import stream
from shared.venue.binance import BinanceFeed
from shared.venue.events import (
    BookDelta,
    BookSnapshot,
    Connected,
    Disconnected,
    FastPrice,
    OracleKind,
    OraclePrice,
    OrderUpdate,
    Unreadable,
)
from shared.venue.market_feed import MarketFeed
from shared.venue.polybolt import PolyboltFeed
from shared.venue.stream import Pace
from shared.venue.user_feed import UserFeed
from tests.unit.shared.venue.test_parse import BOOK
from tests.unit.shared.venue.test_parse_streams import DELTA, ORDER_EVENT, SPOT, TICK
from tests.unit.shared.venue.venue_values import API_KEY, CREDENTIALS, FEE, OTHER_TOKEN, TOKEN

BOOK_FRAME = json.dumps([BOOK | {"event_type": "book"}])
DELTA_FRAME = json.dumps(DELTA)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(stream, "BACKOFF_FIRST_S", 0.001)
    monkeypatch.setattr(stream, "BACKOFF_CAP_S", 0.002)


class Venue:
    """A websocket server that talks by a script: one callable a connection, the last one for all further ones."""

    def __init__(self, *talks, refuse=None):
        self.talks, self.refuse = talks, list(refuse or ())
        self.heard: list[list[str]] = []
        self.paths: list[str] = []

    async def handle(self, socket):
        number = len(self.heard)
        self.heard.append([])
        self.paths.append(socket.request.path)
        await self.talks[min(number, len(self.talks) - 1)](Talk(socket, self.heard[number]))

    def process_request(self, connection, _request):
        if not self.refuse:
            return None
        response = connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "busy")
        response.headers["Retry-After"] = self.refuse.pop(0)
        return response

    async def run(self, use):
        async with serve(self.handle, "127.0.0.1", 0, process_request=self.process_request) as server:
            await use(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")


class Talk:
    def __init__(self, socket, heard):
        self.socket, self.heard = socket, heard

    async def listen(self):
        text = await self.socket.recv()
        self.heard.append(text)
        return text

    async def say(self, *frames):
        for frame in frames:
            await self.socket.send(frame)

    async def hold(self):
        await self.socket.wait_closed()


async def collect(feed, count):
    found = []
    async with asyncio.timeout(10), feed:
        async for event in feed:
            found.append(event)
            if len(found) == count:
                return found
    raise AssertionError("a feed never ends")


def kinds(events):
    return [type(event) for event in events]


def market_feed(url, **options):
    return MarketFeed(url, SystemClock(), random.Random(1), **options)


async def test_a_market_feed_subscribes_and_yields_what_it_hears():
    async def talk(venue):
        await venue.listen()
        await venue.say(BOOK_FRAME, DELTA_FRAME)
        await venue.hold()

    venue = Venue(talk)

    async def use(url):
        feed = market_feed(url)
        await feed.follow([TOKEN])
        assert kinds(await collect(feed, 3)) == [Connected, BookSnapshot, BookDelta]

    await venue.run(use)
    assert json.loads(venue.heard[0][0]) == {
        "assets_ids": [TOKEN],
        "type": "market",
        "custom_feature_enabled": True,
    }


async def test_what_is_followed_can_change_while_connected_and_survives_a_reconnect():
    async def first(venue):
        await venue.listen()
        await venue.say(BOOK_FRAME)
        await venue.listen()
        await venue.listen()
        await venue.socket.close()

    async def second(venue):
        await venue.listen()
        await venue.hold()

    venue = Venue(first, second)

    async def use(url):
        feed, found = market_feed(url), []
        async with asyncio.timeout(10), feed:
            await feed.follow([TOKEN])
            async for event in feed:
                found.append(type(event))
                if found == [Connected, BookSnapshot]:
                    await feed.follow([OTHER_TOKEN])
                if found.count(Connected) == 2:
                    break
        assert found == [Connected, BookSnapshot, Disconnected, Connected]

    await venue.run(use)
    frames = [json.loads(text) for text in venue.heard[0][1:] + venue.heard[1][:1]]
    assert frames == [
        {"operation": "unsubscribe", "assets_ids": [TOKEN]},
        {"operation": "subscribe", "assets_ids": [OTHER_TOKEN], "custom_feature_enabled": True},
        {"assets_ids": [OTHER_TOKEN], "type": "market", "custom_feature_enabled": True},
    ]


async def test_a_feed_without_anything_to_follow_does_not_connect():
    async def talk(venue):
        await venue.listen()
        await venue.hold()

    venue = Venue(talk)

    async def use(url):
        feed = market_feed(url)
        async with asyncio.timeout(10), feed, asyncio.TaskGroup() as group:
            first = group.create_task(anext(feed))
            for _ in range(20):
                await asyncio.sleep(0)
            assert not first.done()
            await feed.follow([TOKEN])
            assert isinstance(await first, Connected)

    await venue.run(use)
    assert len(venue.heard) == 1


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


async def test_a_dead_connection_is_given_up_even_where_silence_is_normal(monkeypatch):
    monkeypatch.setattr("shared.venue.user_feed._UserAdapter.pace", Pace("PING", 0.01, dead_after_s=0.05))

    async def dead(venue):
        await venue.listen()
        await venue.listen()
        await venue.say("PONG")
        await venue.hold()

    async def use(url):
        feed = UserFeed(url, CREDENTIALS, SystemClock(), random.Random(1), fee_of=lambda _: FEE)
        found = await collect(feed, 3)
        assert kinds(found) == [Connected, Disconnected, Connected]
        assert "nothing was heard" in found[1].reason

    await Venue(dead).run(use)


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


async def test_a_user_feed_is_ready_once_the_venue_has_answered_after_the_login():
    async def talk(venue):
        await venue.listen()
        await venue.listen()
        await venue.say("PONG", json.dumps(ORDER_EVENT))
        await venue.hold()

    venue = Venue(talk)

    async def use(url):
        feed = UserFeed(url, CREDENTIALS, SystemClock(), random.Random(1), fee_of=lambda _: FEE)
        assert kinds(await collect(feed, 2)) == [Connected, OrderUpdate]

    await venue.run(use)
    login, ping = venue.heard[0]
    assert json.loads(login)["auth"]["passphrase"] == "the-passphrase"
    assert ping == "PING"


async def test_a_frame_nobody_understands_is_shown_without_the_secrets_in_it():
    async def talk(venue):
        await venue.listen()
        await venue.say(
            "PONG", json.dumps(ORDER_EVENT | {"owner": API_KEY, "id": "the-passphrase", "status": "MAYBE"})
        )
        await venue.hold()

    async def use(url):
        feed = UserFeed(url, CREDENTIALS, SystemClock(), random.Random(1), fee_of=lambda _: FEE)
        _, unreadable = await collect(feed, 2)
        assert unreadable.kind == "UnknownStatus"
        assert "***" in unreadable.sample
        assert API_KEY not in str(unreadable)
        assert "the-passphrase" not in str(unreadable)

    await Venue(talk).run(use)


async def test_polybolt_logs_in_before_it_subscribes_and_asks_again_for_what_was_refused(monkeypatch):
    monkeypatch.setattr("shared.venue.polybolt.PING_S", 0.01)

    async def talk(venue):
        login = json.loads(await venue.listen())
        assert login["op"] == "auth"
        await venue.say(json.dumps({"op": "authed", "rid": login["rid"]}))
        wanted = {json.loads(await venue.listen())["rid"] for _ in range(2)}
        assert wanted == {"twap-BTC", "spot-BTC"}
        await venue.say(
            json.dumps(
                {"op": "error", "code": "bad_filter", "channel": "price.crypto.twap", "rid": "twap-BTC"}
            )
        )
        await venue.say(json.dumps(SPOT))
        while json.loads(await venue.listen()).get("rid") != "twap-BTC":
            await venue.say(json.dumps({"op": "pong"}))
        twap = SPOT | {"channel": "price.crypto.twap", "payload": SPOT["payload"] | {"window_seconds": 4}}
        await venue.say(json.dumps(twap))
        await venue.hold()

    venue = Venue(talk)

    async def use(url):
        feed = PolyboltFeed(
            url, CREDENTIALS, SystemClock(), random.Random(1), instruments=["BTC"], lookback_s=4
        )
        found = await collect(feed, 4)
        assert kinds(found) == [Connected, Unreadable, OraclePrice, OraclePrice]
        assert "bad_filter" in found[1].reason
        assert found[3].kind is OracleKind.TWAP

    await venue.run(use)
    subscribed = [json.loads(text) for text in venue.heard[0] if "twap-BTC" in text]
    assert subscribed[0] == subscribed[1]
    assert subscribed[0]["subscriptions"] == [
        {"channel": "price.crypto.twap", "filter": {"symbol": "btcusd", "window_seconds": 4}}
    ]


async def test_binance_is_asked_by_its_address_and_never_sent_text():
    async def talk(venue):
        await venue.say(
            json.dumps({"stream": "btcusdt@trade", "data": TICK}), json.dumps({"result": None, "id": 1})
        )
        await venue.say(json.dumps({"stream": "btcusdt@trade", "data": TICK}))
        await venue.hold()

    venue = Venue(talk)

    async def use(url):
        feed = BinanceFeed(url + "/stream", SystemClock(), random.Random(1), instruments=["ETH", "BTC"])
        assert kinds(await collect(feed, 3)) == [Connected, FastPrice, FastPrice]

    await venue.run(use)
    assert venue.paths == [
        "/stream?streams=btcusdt@trade/btcusdt@bookTicker/ethusdt@trade/ethusdt@bookTicker"
    ]
    assert venue.heard == [[]]


async def test_a_connection_is_replaced_before_the_venue_ends_it(monkeypatch):
    monkeypatch.setattr("shared.venue.binance.MAX_AGE_S", 0.02)

    async def talk(venue):
        await venue.hold()

    async def use(url):
        feed = BinanceFeed(url, SystemClock(), random.Random(1), instruments=["BTC"])
        assert kinds(await collect(feed, 3)) == [Connected, Disconnected, Connected]

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
