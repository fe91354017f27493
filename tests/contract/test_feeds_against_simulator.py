"""Our feeds against the simulator's streams over real sockets."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from shared.domain.orders import OrderEvent, OrderType
from shared.domain.outcomes import Success
from shared.domain.trades import FillState
from shared.domain.windows import Side
from shared.venue.binance import BinanceFeed
from shared.venue.book_keeping import BookState, fold
from shared.venue.events import (
    BookDelta,
    Connected,
    Disconnected,
    FastPrice,
    FastQuote,
    OracleKind,
    OraclePrice,
    OrderUpdate,
    TradeSeen,
    Unreadable,
)
from shared.venue.market_feed import MarketFeed
from shared.venue.polybolt import PolyboltFeed
from shared.venue.stream import Feed
from shared.venue.user_feed import UserFeed
from tests.contract.venue_running import INSTRUMENT, Running, against_simulator, chance, trader, yes

STATES = (Connected, Disconnected, Unreadable)


async def until(feed: Feed[Any], enough: Callable[[list[Any]], bool]) -> list[Any]:
    """Return the events heard until they are enough."""
    found: list[Any] = []
    async with asyncio.timeout(20):
        async for event in feed:
            found.append(event)
            if enough(found):
                return found
    raise AssertionError


async def test_kept_books_stay_sound_and_mirror_one_another():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            feed = MarketFeed(running.urls.market_stream, running.clock, chance())
            await feed.follow([listing.up_token, listing.down_token])
            states = {token: BookState(token) for token in (listing.up_token, listing.down_token)}
            heard = 0
            async with asyncio.timeout(20), feed:
                async for event in feed:
                    if isinstance(event, STATES):
                        assert isinstance(event, Connected)
                        continue
                    states = {token: fold(state, event) for token, state in states.items()}
                    heard += isinstance(event, BookDelta)
                    if heard >= 1:
                        assert {state.doubt for state in states.values()} == {""}
                    if heard == 12:  # our own order eats into the book, and the books must show it
                        await me.trading.submit(me.trading.prepare(me.intent(listing)), before_send=yes)
                    if heard >= 30:
                        break
            up, down = (states[token] for token in (listing.up_token, listing.down_token))
            assert up.best_bid == (1 - down.best_ask if down.best_ask is not None else None)

    await against_simulator(check)


async def test_a_lost_frame_is_noticed_by_the_best_prices():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            feed = MarketFeed(running.urls.market_stream, running.clock, chance())
            await feed.follow([listing.up_token])
            state, doubts = BookState(listing.up_token), []
            async with asyncio.timeout(20), feed:
                async for event in feed:
                    if isinstance(event, Connected):
                        await running.fault("drop_event", match={}, times=1)
                    elif not isinstance(event, STATES):
                        before, state = state, fold(state, event)
                        if state.doubt and not before.doubt:
                            doubts.append(state.doubt)
                            await running.fault("drop_event", match={}, times=1)
                        if doubts:
                            break
                        if isinstance(event, BookDelta):
                            await running.fault("drop_event", match={}, times=1)
            assert "best prices" in doubts[0] or "meets" in doubts[0]

    await against_simulator(check)


async def test_a_malformed_frame_is_reported_and_the_feed_goes_on():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            feed = MarketFeed(running.urls.market_stream, running.clock, chance())
            await feed.follow([listing.up_token])
            async with feed:
                await until(feed, lambda found: isinstance(found[-1], BookDelta))
                await running.fault("malformed_frame", match={}, times=1)
                found = await until(
                    feed,
                    lambda found: (
                        isinstance(found[-1], BookDelta) and any(isinstance(e, Unreadable) for e in found)
                    ),
                )
                assert [type(event) for event in found].count(Unreadable) == 1
                assert not any(isinstance(event, Disconnected) for event in found)

    await against_simulator(check)


async def test_our_order_and_its_trade_are_seen_in_every_state_with_the_fee():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            feed = UserFeed(
                running.urls.user_stream,
                me.credentials,
                running.clock,
                chance(),
                fee_of=lambda _: listing.fee,
            )
            async with feed:
                assert isinstance(await anext(feed), Connected)
                prepared = me.trading.prepare(me.intent(listing))
                assert isinstance(await me.trading.submit(prepared, before_send=yes), Success)
                first = await until(feed, lambda found: any(isinstance(event, TradeSeen) for event in found))
                running.jump(5)
                later = await until(
                    feed,
                    lambda found: any(
                        isinstance(e, TradeSeen) and e.trade.state is FillState.CONFIRMED for e in found
                    ),
                )
                orders = [event for event in first + later if isinstance(event, OrderUpdate)]
                trades = [event.trade for event in first + later if isinstance(event, TradeSeen)]
                assert {order.order_id for order in orders} == {prepared.order_id}
                assert OrderEvent.MATCHED in {order.event for order in orders}
                assert [trade.state for trade in trades] == [
                    FillState.MATCHED,
                    FillState.MINED,
                    FillState.CONFIRMED,
                ]
                assert (
                    len({(trade.trade_id, trade.shares, trade.usdc, trade.fee_usdc) for trade in trades}) == 1
                )
                (read,) = await me.trading.trades(prepared, market=me.market(listing))
                assert read == trades[-1]

    await against_simulator(check)


async def test_a_killed_order_and_a_cancelled_one_are_told_apart_from_a_filled_one():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            feed = UserFeed(
                running.urls.user_stream, me.credentials, running.clock, chance(), fee_of=lambda _: None
            )
            async with feed:
                assert isinstance(await anext(feed), Connected)
                rest = me.trading.prepare(
                    me.intent(
                        listing, order_type=OrderType.GTC, limit_price=Decimal("0.02"), amount=Decimal(100)
                    )
                )
                await me.trading.submit(rest, before_send=yes)
                placed = await until(feed, lambda found: isinstance(found[-1], OrderUpdate))
                assert placed[-1].event is OrderEvent.RESTS
                await me.cancelling.cancel(rest.order_id)
                cancelled = await until(feed, lambda found: isinstance(found[-1], OrderUpdate))
                assert (cancelled[-1].order_id, cancelled[-1].event) == (rest.order_id, OrderEvent.KILLED)

    await against_simulator(check)


async def test_a_match_that_fails_afterwards_is_seen_to_fail():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            await running.fault("match_then_failed", times=1)
            feed = UserFeed(
                running.urls.user_stream,
                me.credentials,
                running.clock,
                chance(),
                fee_of=lambda _: listing.fee,
            )
            async with feed:
                assert isinstance(await anext(feed), Connected)
                prepared = me.trading.prepare(me.intent(listing))
                await me.trading.submit(prepared, before_send=yes)
                await until(feed, lambda found: isinstance(found[-1], TradeSeen))
                running.jump(30)
                found = await until(
                    feed,
                    lambda found: (
                        isinstance(found[-1], TradeSeen) and found[-1].trade.state is FillState.FAILED
                    ),
                )
                (read,) = await me.trading.trades(prepared, market=me.market(listing))
                assert read == found[-1].trade

    await against_simulator(check)


async def test_polybolt_gives_spot_and_the_markets_own_average_with_a_history():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            feed = PolyboltFeed(
                running.urls.polybolt,
                me.credentials,
                running.clock,
                chance(),
                instruments=[INSTRUMENT],
                lookback_s=listing.lookback_s,
            )

            def enough(found: list[Any]) -> bool:
                fresh = {
                    event.kind for event in found if isinstance(event, OraclePrice) and not event.backfill
                }
                return fresh == {OracleKind.SPOT, OracleKind.TWAP}

            async with feed:
                found = await until(feed, enough)
            assert isinstance(found[0], Connected)
            prices = [event for event in found if isinstance(event, OraclePrice)]
            assert len(prices) == len(found) - 1
            assert {price.lookback_s for price in prices if price.kind is OracleKind.TWAP} == {
                listing.lookback_s
            }
            assert all(price.observed_at <= price.sent_at for price in prices)
            assert any(price.backfill for price in prices)

    await against_simulator(check)


async def test_polybolt_refuses_an_average_it_does_not_make_and_the_rest_goes_on():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            feed = PolyboltFeed(
                running.urls.polybolt,
                me.credentials,
                running.clock,
                chance(),
                instruments=[INSTRUMENT],
                lookback_s=77,
            )
            async with feed:
                found = await until(
                    feed,
                    lambda found: (
                        any(isinstance(e, OraclePrice) for e in found)
                        and any(isinstance(e, Unreadable) for e in found)
                    ),
                )
            assert "bad_filter" in next(event.reason for event in found if isinstance(event, Unreadable))
            assert {event.kind for event in found if isinstance(event, OraclePrice)} == {OracleKind.SPOT}

    await against_simulator(check)


async def test_binance_gives_trades_and_best_prices():
    async def check(running: Running) -> None:
        feed = BinanceFeed(running.urls.binance, running.clock, chance(), instruments=[INSTRUMENT])
        async with feed:
            found = await until(
                feed, lambda found: {FastPrice, FastQuote} <= {type(event) for event in found}
            )
        assert isinstance(found[0], Connected)
        ids = [event.trade_id for event in found if isinstance(event, FastPrice)]
        assert ids == sorted(set(ids))

    await against_simulator(check)


async def test_the_winner_is_announced_on_the_market_channel():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            feed = MarketFeed(running.urls.market_stream, running.clock, chance())
            await feed.follow([listing.up_token, listing.down_token])
            async with feed:
                assert isinstance(await anext(feed), Connected)
                await until(feed, lambda found: isinstance(found[-1], BookDelta))
                running.jump(90)
                found = await until(feed, lambda found: type(found[-1]).__name__ == "MarketResolved")
            told = Side.UP if found[-1].winning_token == listing.up_token else Side.DOWN
            assert (await me.public.market(listing.window_id)).resolution.winner is told

    await against_simulator(check)
