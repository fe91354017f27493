import asyncio
import json

import pytest

from shared.venue import stream
from shared.venue.events import (
    BookDelta,
    BookSnapshot,
    Connected,
    Disconnected,
)
from tests.unit.shared.venue.stream_server import BOOK_FRAME, DELTA_FRAME, Venue, collect, kinds, market_feed
from tests.unit.shared.venue.venue_values import OTHER_TOKEN, TOKEN


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(stream, "BACKOFF_FIRST_S", 0.001)
    monkeypatch.setattr(stream, "BACKOFF_CAP_S", 0.002)


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
        async with asyncio.timeout(10), feed:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await anext(feed)
            assert venue.heard == []
            await feed.follow([TOKEN])
            assert isinstance(await anext(feed), Connected)

    await venue.run(use)
    assert len(venue.heard) == 1


async def test_more_tokens_than_a_connection_can_be_trusted_with_are_refused_at_once():
    with pytest.raises(ValueError, match="one connection takes"):
        await market_feed("ws://x").follow([str(serial) for serial in range(501)])
