"""The market channel's habits, each played by the simulator under its name, and what we make of it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from shared.venue import stream
from shared.venue.book_keeping import CHANGE_LOST
from shared.venue.events import (
    BookDelta,
    BookSnapshot,
    Connected,
    Disconnected,
    TickSizeChange,
    TookOver,
    UnknownEvent,
    Unreadable,
)
from shared.venue.market_feed import MarketFeed, _operation
from shared.venue.market_pair import MarketPair
from tests.contract.feeds_running import Kept, gathered, has, market, until
from tests.contract.venue_running import Running, against_simulator, chance, trader

CHANNEL = {"channel": "market"}


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(stream, "BACKOFF_FIRST_S", 0.01)


async def changed(feed: MarketFeed, kept: Kept, count: int = 5) -> list[Any]:
    """Return the events until so many changes came, having kept the books."""
    found = await until(feed, lambda found: sum(isinstance(each, BookDelta) for each in found) >= count)
    for event in found:
        kept.take(event)
    return found


@pytest.mark.parametrize(
    "fault", ["array_frame", "no_best_prices", "old_price_change", "extra_fields", "duplicate_event"]
)
async def test_a_frame_in_another_form_is_read_and_the_books_stay_sound(fault):
    async def check(running: Running) -> None:
        async with market(running) as (feed, kept):
            await running.fault(fault, match={**CHANNEL, "event": "price_change"}, times=3)
            found = await changed(feed, kept, 8)
            assert kept.doubts == []
            assert not any(isinstance(event, Unreadable | UnknownEvent | Disconnected) for event in found)

    await against_simulator(check)


async def test_a_change_lost_behind_the_best_prices_is_noticed_by_the_venues_hash():
    def without_one(event: BookDelta) -> BookDelta:
        """The changes but one, of a level that is not the best: no best price tells of it."""
        behind = [
            each for each in event.changes if each.price not in {each.best_bid, each.best_ask} and each.size
        ]
        return replace(event, changes=tuple(each for each in event.changes if each not in behind[:1]))

    async def check(running: Running) -> None:
        async with market(running) as (feed, kept):
            assert all(state.seal is not None for state in kept.states.values())
            await changed(feed, kept, 20)
            assert kept.doubts == []
            async with asyncio.timeout(20):
                while not kept.doubts:
                    event = await anext(feed)
                    kept.take(without_one(event) if isinstance(event, BookDelta) else event)
            assert set(kept.doubts) == {CHANGE_LOST}

    await against_simulator(check)


async def test_a_word_nobody_knows_is_named_and_no_book_is_doubted_for_it():
    async def check(running: Running) -> None:
        async with market(running) as (feed, kept):
            await running.fault("foreign_word", match=CHANNEL, times=2)
            found = await changed(feed, kept)
            assert [event.kind for event in found if isinstance(event, UnknownEvent)] == [
                "a_word_of_tomorrow"
            ] * 2
            assert kept.doubts == []

    await against_simulator(check)


async def test_news_of_markets_nobody_follows_is_passed_over():
    async def check(running: Running) -> None:
        async with market(running) as (feed, _kept):
            listed = len((await running.control.get("/_sim/windows")).json()["windows"])
            running.jump(70)  # the next window is listed and told to everybody
            assert len((await running.control.get("/_sim/windows")).json()["windows"]) > listed
            feed_ends = await until(feed, lambda found: type(found[-1]).__name__ == "MarketResolved")
            assert not any(isinstance(event, Unreadable | UnknownEvent | Disconnected) for event in feed_ends)

    await against_simulator(check)


async def test_an_empty_snapshot_is_an_empty_book():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            await running.fault("empty_book", times=1)
            feed, kept = (
                MarketFeed(running.urls.market_stream, running.clock, chance()),
                Kept([listing.up_token]),
            )
            await feed.follow(kept.states)
            async with feed:
                found = await until(feed, has(BookSnapshot))
                kept.take(found[-1])
                state = kept.states[listing.up_token]
                assert (state.bids, state.asks, state.doubt) == ({}, {}, "")

    await against_simulator(check)


async def test_a_new_tick_voids_the_book_until_its_next_snapshot():
    async def check(running: Running) -> None:
        async with market(running) as (feed, kept):
            book = running.simulator.venue.exchange.listing.by_token[next(iter(kept.states))][0]
            running.simulator.streams.tick_changed(book, book.tick * 10)
            found = await until(feed, has(TickSizeChange))
            for event in found:
                kept.take(event)
            assert "the tick changed" in kept.doubts[0]

    await against_simulator(check)


async def test_frames_out_of_order_put_the_book_in_doubt():
    async def check(running: Running) -> None:
        async with market(running) as (feed, kept):
            await running.fault("shuffled_frames", match={**CHANNEL, "event": "price_change"}, times=4)
            async with asyncio.timeout(20):
                while not kept.doubts:
                    kept.take(await anext(feed))

    await against_simulator(check)


async def test_a_connection_cut_without_a_word_is_made_anew_with_fresh_snapshots():
    async def check(running: Running) -> None:
        async with market(running) as (feed, kept):
            await running.fault("cut_line", match=CHANNEL, times=1)
            found = await until(feed, has(BookSnapshot))
            while not isinstance(found[0], Disconnected):
                found.pop(0)
            assert isinstance(found[1], Connected)
            assert {event.token_id for event in found if isinstance(event, BookSnapshot)} <= set(kept.states)

    await against_simulator(check)


async def test_an_operation_the_venue_calls_invalid_is_reported_by_name():
    async def check(running: Running) -> None:
        async with market(running) as (feed, kept):
            await feed.send(_operation("subscribe", list(kept.states)))
            found = await until(feed, has(Unreadable))
            assert found[-1].kind == "Rejected"

    await against_simulator(check)


async def test_a_socket_that_freezes_and_still_answers_pings_is_led_by_the_other():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            tokens = [listing.up_token, listing.down_token]
            pair, kept = MarketPair(running.urls.market_stream, running.clock, chance()), Kept(tokens)
            took_over = asyncio.Event()
            await pair.follow(tokens)

            async def pull(place: int, enough: Any) -> None:
                async with pair.feeds[place] as feed, asyncio.timeout(30):
                    async for event in feed:
                        for believed in pair.lead.take(place, event, running.clock.monotonic()):
                            if isinstance(believed, TookOver):
                                kept.states = {token: Kept([token]).states[token] for token in tokens}
                                took_over.set()
                            kept.take(believed)
                        if place == 0 and kept.states[tokens[0]].snapshot_at and not enough:
                            enough.append(True)
                            await running.fault(
                                "silent_socket", match={**CHANNEL, "connection": "1"}, times=-1
                            )
                        if took_over.is_set() and not any(state.doubt for state in kept.states.values()):
                            return

            frozen: list[bool] = []
            async with asyncio.TaskGroup() as tasks:
                first = tasks.create_task(pull(0, frozen))
                await pull(1, frozen)
                first.cancel()
            assert took_over.is_set()
            assert pair.lead.leader == 1
            assert kept.doubts == []

    await against_simulator(check)


async def test_both_connections_are_told_what_to_follow():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            pair = MarketPair(running.urls.market_stream, running.clock, chance())
            await pair.follow([listing.up_token])
            async with pair.feeds[0], pair.feeds[1]:
                await gathered(*(until(feed, has(BookSnapshot)) for feed in pair.feeds))

    await against_simulator(check)
