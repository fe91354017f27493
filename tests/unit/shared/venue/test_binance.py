import json
import random

import pytest

from shared.runtime.clock import SystemClock
from shared.venue import stream
from shared.venue.binance import BinanceFeed
from shared.venue.events import Connected, Disconnected, FastPrice
from tests.unit.shared.venue.stream_server import Venue, collect, kinds
from tests.unit.shared.venue.test_parse_streams import TICK


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(stream, "BACKOFF_FIRST_S", 0.001)
    monkeypatch.setattr(stream, "BACKOFF_CAP_S", 0.002)


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
        found = await collect(feed, 3)
        assert kinds(found) == [Connected, Disconnected, Connected]
        assert "old enough" in found[1].reason

    await Venue(talk).run(use)
