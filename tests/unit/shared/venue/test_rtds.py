import asyncio
import json
import random

import pytest

from shared.runtime.clock import SystemClock
from shared.venue import stream
from shared.venue.events import Connected, Disconnected, OracleKind, OraclePrice, Unreadable
from shared.venue.rtds import RtdsFeed
from tests.unit.shared.venue.stream_server import Venue, collect, kinds
from tests.unit.shared.venue.test_parse_prices import MISLABELLED, RTDS_SPOT, RTDS_TWAP


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(stream, "BACKOFF_FIRST_S", 0.001)
    monkeypatch.setattr(stream, "BACKOFF_CAP_S", 0.002)


def feed(url, **options):
    return RtdsFeed(url, SystemClock(), random.Random(1), instruments=["BTC"], **options)


async def test_each_topic_is_asked_for_in_a_frame_of_its_own_with_a_compact_filter():
    async def talk(venue):
        await venue.say("")
        await venue.listen()
        await venue.listen()
        await venue.say(json.dumps(MISLABELLED), json.dumps(RTDS_SPOT), json.dumps(RTDS_TWAP))
        await venue.hold()

    venue = Venue(talk)

    async def use(url):
        found = await collect(feed(url), 5)
        assert kinds(found) == [Connected] + [OraclePrice] * 4
        assert [(price.kind, price.backfill) for price in found[1:]] == [
            (OracleKind.SPOT, True),
            (OracleKind.SPOT, True),
            (OracleKind.SPOT, False),
            (OracleKind.TWAP, False),
        ]

    await venue.run(use)
    asked = [json.loads(text)["subscriptions"] for text in venue.heard[0][:2]]
    assert asked == [
        [{"topic": "crypto_prices_chainlink", "type": "*", "filters": '{"symbol":"btc/usd"}'}],
        [{"topic": "crypto_prices_twap_sixty", "type": "update", "filters": '{"symbol":"btc/usd"}'}],
    ]


async def test_an_average_of_another_length_is_neither_asked_for_nor_taken():
    async def talk(venue):
        await venue.listen()
        await venue.say(json.dumps(RTDS_TWAP), json.dumps(RTDS_SPOT))
        await venue.hold()

    venue = Venue(talk)

    async def use(url):
        _, price = await collect(feed(url, lookback_s=4), 2)
        assert price.kind is OracleKind.SPOT

    await venue.run(use)
    assert len(venue.heard[0]) == 1


async def test_a_rejected_subscription_is_reported_and_the_others_go_on():
    async def talk(venue):
        await venue.listen()
        await venue.say(json.dumps({"body": {"message": "NotFound"}, "statusCode": 401}))
        await venue.say(json.dumps(RTDS_SPOT))
        await venue.hold()

    async def use(url):
        _, refused, price = await collect(feed(url), 3)
        assert isinstance(refused, Unreadable)
        assert refused.kind == "Rejected"
        assert isinstance(price, OraclePrice)

    await Venue(talk).run(use)


async def test_a_history_alone_is_no_sign_of_life():
    async def talk(venue):
        await venue.listen()
        while venue.socket.close_code is None:
            await venue.say(json.dumps(MISLABELLED))
            await venue.pause()

    async def use(url):
        async with asyncio.timeout(10), feed(url, lookback_s=4, silent_after_s=0.2) as rtds:
            async for event in rtds:
                if isinstance(event, Disconnected):
                    assert "no data of" in event.reason
                    return

    await Venue(talk).run(use)
