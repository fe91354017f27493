"""A websocket server on loopback that talks by a script, for the tests of the feeds."""

import asyncio
import json
import random
from http import HTTPStatus

from websockets.asyncio.server import serve

from shared.runtime.clock import SystemClock
from shared.venue.market_feed import MarketFeed
from tests.unit.shared.venue.test_parse import BOOK
from tests.unit.shared.venue.test_parse_streams import DELTA

BOOK_FRAME = json.dumps([BOOK | {"event_type": "book"}])
DELTA_FRAME = json.dumps(DELTA)


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

    async def pause(self):
        """Give the client a moment of 20 ms, unless it leaves."""
        try:
            async with asyncio.timeout(0.02):
                await self.socket.wait_closed()
        except TimeoutError:
            return

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
