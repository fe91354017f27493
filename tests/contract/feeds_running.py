"""What the tests of the feeds' quirks share: a feed, the events it gives, and books kept from them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

from shared.domain.ids import TokenId
from shared.venue.book_keeping import BookState, fold
from shared.venue.events import Connected, Disconnected, Renewed, TookOver, UnknownEvent, Unreadable
from shared.venue.market_feed import MarketFeed
from shared.venue.stream import Feed
from tests.contract.venue_running import Running, chance, trader

STATES = (Connected, Disconnected, Renewed, TookOver, Unreadable, UnknownEvent)


async def until(feed: Feed[Any], enough: Callable[[list[Any]], bool]) -> list[Any]:
    """Return the events heard until they are enough."""
    found: list[Any] = []
    async with asyncio.timeout(20):
        async for event in feed:
            found.append(event)
            if enough(found):
                return found
    raise AssertionError


def has(*kinds: type) -> Callable[[list[Any]], bool]:
    """Return whether the last event is one of these kinds."""
    return lambda found: isinstance(found[-1], kinds)


class Kept:
    """The books of some tokens, kept from a feed's events."""

    def __init__(self, tokens: Collection[TokenId]) -> None:
        self.states = {token: BookState(token) for token in tokens}
        self.doubts: list[str] = []

    def take(self, event: Any) -> None:
        if isinstance(event, STATES):
            return
        for token, before in self.states.items():
            after = fold(before, event)
            if after.doubt and not before.doubt:
                self.doubts.append(after.doubt)
            self.states[token] = after


@asynccontextmanager
async def market(running: Running) -> AsyncIterator[tuple[MarketFeed, Kept]]:
    """Return a feed of an open market's tokens, connected and with their snapshots, and the books so far."""
    async with trader(running) as me:
        listing = await me.open_market()
        feed = MarketFeed(running.urls.market_stream, running.clock, chance())
        kept = Kept([listing.up_token, listing.down_token])
        await feed.follow(kept.states)
        async with feed:
            async with asyncio.timeout(20):
                while any(state.snapshot_at is None for state in kept.states.values()):
                    kept.take(await anext(feed))
            yield feed, kept


async def gathered(*waits: Awaitable[Any]) -> None:
    """Wait for all of them."""
    async with asyncio.TaskGroup() as tasks:
        for wait in waits:
            tasks.create_task(_awaited(wait))


async def _awaited(wait: Awaitable[Any]) -> None:
    await wait
