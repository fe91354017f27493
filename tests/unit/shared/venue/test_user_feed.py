import json
import random

import pytest

from shared.runtime.clock import SystemClock
from shared.venue import stream
from shared.venue.events import (
    Connected,
    Disconnected,
    OrderUpdate,
)
from shared.venue.stream import Pace
from shared.venue.user_feed import UserFeed
from tests.unit.shared.venue.stream_server import Venue, collect, kinds
from tests.unit.shared.venue.test_parse_streams import ORDER_EVENT
from tests.unit.shared.venue.venue_values import API_KEY, CREDENTIALS, FEE


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(stream, "BACKOFF_FIRST_S", 0.001)
    monkeypatch.setattr(stream, "BACKOFF_CAP_S", 0.002)


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
