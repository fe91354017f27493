import asyncio
import json
import random

import pytest

from shared.runtime.clock import SystemClock
from shared.venue import stream
from shared.venue.binance import BinanceFeed
from shared.venue.events import Connected, Disconnected, FastPrice, Renewed
from tests.unit.shared.venue.stream_server import Venue, collect, kinds
from tests.unit.shared.venue.test_parse_prices import TICK


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


async def test_a_connection_is_replaced_before_the_venue_ends_it_and_at_once_when_it_says_so(monkeypatch):
    monkeypatch.setattr(stream, "OVERLAP_S", 0.01)
    monkeypatch.setattr("shared.venue.binance.MAX_AGE_S", 0.02)

    async def ageing(venue):
        await venue.hold()

    async def ending(venue):
        monkeypatch.setattr("shared.venue.binance.MAX_AGE_S", 3600.0)
        await venue.say(json.dumps({"e": "serverShutdown", "E": 1791241800136}))
        await venue.hold()

    async def use(url):
        feed = BinanceFeed(url, SystemClock(), random.Random(1), instruments=["BTC"])
        assert kinds(await collect(feed, 3)) == [Connected, Renewed, Renewed]

    await Venue(ageing, ending, ageing).run(use)


async def test_one_instruments_silence_is_noticed_while_another_speaks():
    async def talk(venue):
        for serial in range(200):
            await venue.say(json.dumps(TICK | {"t": serial}))
            if venue.socket.close_code is not None:
                return
            await venue.pause()

    async def use(url):
        feed = BinanceFeed(
            url, SystemClock(), random.Random(1), instruments=["BTC", "ETH"], silent_after_s=0.1
        )
        async with asyncio.timeout(10), feed:
            async for event in feed:
                if isinstance(event, Disconnected):
                    assert "no data of ETH" in event.reason
                    return

    await Venue(talk).run(use)


async def test_a_price_nobody_asked_for_is_refused():
    async def talk(venue):
        await venue.say(json.dumps(TICK | {"s": "DOGEUSDT"}), json.dumps(TICK))
        await venue.hold()

    async def use(url):
        feed = BinanceFeed(url, SystemClock(), random.Random(1), instruments=["BTC"])
        _, refused, price = await collect(feed, 3)
        assert (refused.kind, type(price)) == ("UnknownWord", FastPrice)

    await Venue(talk).run(use)
