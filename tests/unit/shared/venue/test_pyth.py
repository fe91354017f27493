import asyncio
import json
import random

from pydantic import SecretStr

from shared.runtime.clock import SystemClock
from shared.venue.events import AggregatePrice, Connected, Disconnected, Unreadable
from shared.venue.pyth import PythFeed, pyth_instruments
from tests.unit.shared.venue.stream_server import collect, kinds
from tests.unit.shared.venue.test_parse_prices import PYTH, PYTH_ID

KEY = SecretStr("a-secret-key")


async def served(events, use):
    """Serve one stream of events to each client; returns what was asked."""
    asked = []

    async def serve(reader, writer):
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        writer.write(b"".join(f"data:{event}\n\n".encode() for event in events))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with asyncio.timeout(10), server:
        await use(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hermes")
    return asked


async def test_pyth_is_asked_with_its_key_for_the_feeds_it_has():
    async def use(url):
        feed = PythFeed(url, KEY, SystemClock(), random.Random(1), instruments=["BTC", "BNB"])
        found = await collect(feed, 4)
        assert kinds(found) == [Connected, AggregatePrice, Unreadable, Disconnected]
        assert (found[2].kind, KEY.get_secret_value() in found[2].sample) == ("Malformed", False)

    (asked,) = await served([json.dumps(PYTH), '{"error":"a-secret-key"}'], use)
    path = asked.splitlines()[0].replace("%5B%5D", "[]")
    assert path == f"GET /hermes/v2/updates/price/stream?ids[]={PYTH_ID}&parsed=true HTTP/1.1"
    assert "Authorization: Bearer a-secret-key" in asked


def test_only_instruments_with_a_known_feed_can_be_asked_for():
    assert pyth_instruments(["XRP", "DOGE", "BTC"]) == ["BTC", "XRP"]
