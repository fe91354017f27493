import json
import random

import pytest

from shared.runtime.clock import SystemClock
from shared.venue import stream
from shared.venue.events import (
    Connected,
    OracleKind,
    OraclePrice,
    Unreadable,
)
from shared.venue.polybolt import PolyboltFeed
from tests.unit.shared.venue.stream_server import Venue, collect, kinds
from tests.unit.shared.venue.test_parse_prices import SPOT
from tests.unit.shared.venue.venue_values import CREDENTIALS


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(stream, "BACKOFF_FIRST_S", 0.001)
    monkeypatch.setattr(stream, "BACKOFF_CAP_S", 0.002)


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


async def test_a_number_of_a_frame_that_is_text_is_refused_like_any_other_malformed_frame():
    async def talk(venue):
        await venue.listen()
        await venue.say(json.dumps(SPOT | {"seq": "2.0"}), json.dumps(SPOT | {"seq": "x"}), json.dumps(SPOT))
        await venue.hold()

    async def use(url):
        feed = PolyboltFeed(url, CREDENTIALS, SystemClock(), random.Random(1), instruments=["BTC"])
        found = await collect(feed, 3)
        assert [getattr(event, "kind", None) for event in found] == [
            OracleKind.SPOT,
            "Malformed",
            OracleKind.SPOT,
        ]

    await Venue(talk).run(use)


async def test_frames_the_numbers_say_are_missing_are_told_with_the_next_price():
    async def talk(venue):
        await venue.listen()
        await venue.say(*(json.dumps(SPOT | {"seq": seq}) for seq in (5, 6, 9, 8, 10)))
        await venue.hold()

    async def use(url):
        feed = PolyboltFeed(url, CREDENTIALS, SystemClock(), random.Random(1), instruments=["BTC"])
        assert [price.dropped for price in await collect(feed, 5)] == [0, 0, 2, 0, 0]

    await Venue(talk).run(use)


def test_more_subscriptions_than_a_connection_takes_are_refused_at_once():
    with pytest.raises(ValueError, match="one connection takes"):
        PolyboltFeed(
            "ws://x", CREDENTIALS, SystemClock(), random.Random(1), instruments=[f"C{n}" for n in range(11)]
        )


async def test_an_average_the_venue_does_not_make_is_no_silence():
    async def talk(venue):
        await venue.listen()
        await venue.say(json.dumps({"op": "error", "code": "bad_filter", "rid": "twap-BTC"}))
        for seq in range(40):
            await venue.say(json.dumps(SPOT | {"seq": seq}))
            await venue.pause()
        await venue.hold()

    async def use(url):
        feed = PolyboltFeed(
            url, CREDENTIALS, SystemClock(), random.Random(1), instruments=["BTC"], silent_after_s=0.4
        )
        found = await collect(feed, 41)
        assert kinds(found) == [Unreadable] + [OraclePrice] * 40

    await Venue(talk).run(use)
