"""The price feeds' habits, each played by the simulator under its name, and what we make of it."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from pydantic import SecretStr

from shared.venue import stream
from shared.venue.binance import BinanceFeed
from shared.venue.events import (
    AggregatePrice,
    Connected,
    Disconnected,
    FastPrice,
    OracleKind,
    OraclePrice,
    Renewed,
    Unreadable,
)
from shared.venue.polybolt import PolyboltFeed
from shared.venue.pyth import PythFeed
from shared.venue.rtds import RtdsFeed
from tests.contract.feeds_running import has, until
from tests.contract.venue_running import INSTRUMENT, Running, against_simulator, chance, trader

THIRTY = {"lookback_s": 30}
KEY = SecretStr("any")


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(stream, "BACKOFF_FIRST_S", 0.01)


def binance(running: Running, **options: Any) -> BinanceFeed:
    return BinanceFeed(running.urls.binance, running.clock, chance(), instruments=[INSTRUMENT], **options)


def rtds(running: Running, **options: Any) -> RtdsFeed:
    url = running.simulator.urls["rtds_url"]
    values = {"lookback_s": running.lookback_s, **options}
    return RtdsFeed(url, running.clock, chance(), instruments=[INSTRUMENT], **values)


def pyth(running: Running, **options: Any) -> PythFeed:
    url = running.simulator.urls["pyth_url"]
    return PythFeed(url, KEY, running.clock, chance(), instruments=[INSTRUMENT], **options)


def serials(found: list[Any]) -> list[int]:
    return [each.trade_id for each in found if isinstance(each, FastPrice)]


def fresh(found: list[Any], kind: OracleKind = OracleKind.SPOT) -> list[OraclePrice]:
    return [
        each for each in found if isinstance(each, OraclePrice) and each.kind is kind and not each.backfill
    ]


# ── Binance ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_binance_announces_its_end_and_no_trade_is_missed_on_the_way_to_the_next_connection():
    async def check(running: Running) -> None:
        async with binance(running) as feed:
            await until(feed, has(FastPrice))
            await running.fault("server_shutdown", times=1, seconds=30)
            found = await until(feed, has(Renewed))
            found += await until(feed, lambda found: len(serials(found)) >= 5)
        assert not any(isinstance(event, Disconnected) for event in found)
        assert {later - serial for serial, later in pairwise(sorted(set(serials(found))))} == {1}

    await against_simulator(check)


@pytest.mark.parametrize("fault", ["day_cut", "cut_line"])
async def test_a_cut_binance_connection_is_made_anew(fault):
    async def check(running: Running) -> None:
        async with binance(running) as feed:
            await until(feed, has(FastPrice))
            await running.fault(fault, match={"channel": "binance*"}, times=1)
            found = await until(feed, has(Connected))
            assert isinstance(found[-2], Disconnected)
            await until(feed, has(FastPrice))

    await against_simulator(check)


async def test_repeated_and_shuffled_trades_keep_their_numbers_so_that_they_can_be_told():
    async def check(running: Running) -> None:
        async with binance(running) as feed:
            await until(feed, has(FastPrice))
            await running.fault("duplicate_event", match={"channel": "binance.trade"}, times=1)
            await running.fault("shuffled_frames", match={"channel": "binance.trade"}, times=3)
            found = await until(feed, lambda found: serials(found) != sorted(serials(found)))
        assert len(serials(found)) - len(set(serials(found))) == 1

    await against_simulator(check)


@pytest.mark.parametrize(("fault", "longest_s"), [("http_503", 7.0), ("http_429", 7.0), ("html_403", 30.0)])
async def test_a_refused_handshake_waits_as_asked_and_longest_where_we_are_not_wanted(fault, longest_s):
    async def check(running: Running) -> None:
        await running.fault(fault, match={"host": "binance"}, times=1, seconds=7)
        async with binance(running) as feed:
            lost = await anext(feed)
        assert isinstance(lost, Disconnected)
        assert lost.retry_in_s == longest_s

    await against_simulator(check)


async def test_a_word_binance_never_said_before_is_counted_and_the_price_after_it_is_read():
    async def check(running: Running) -> None:
        async with binance(running) as feed:
            await until(feed, has(FastPrice))
            await running.fault("foreign_word", match={"channel": "binance.trade"}, times=1)
            found = await until(feed, has(Unreadable))
            assert found[-1].kind == "UnknownWord"
            await until(feed, has(FastPrice))

    await against_simulator(check)


# ── PolyBolt ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def with_polybolt(check: Any, **options: Any) -> None:
    async def run(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            feed = PolyboltFeed(
                running.urls.polybolt,
                me.credentials,
                running.clock,
                chance(),
                instruments=[INSTRUMENT],
                lookback_s=listing.lookback_s,
                **options,
            )
            async with feed:
                await until(feed, lambda found: fresh(found, OracleKind.TWAP) and fresh(found))
                await check(running, feed)

    await against_simulator(run)


async def test_a_missing_frame_shows_in_polybolts_numbers():
    async def check(running: Running, feed: PolyboltFeed) -> None:
        await running.fault("drop_event", match={"channel": "polybolt.price.crypto"}, times=2)
        found = await until(feed, lambda found: sum(price.dropped for price in fresh(found)) > 0)
        assert fresh(found)[-1].dropped == 2

    await with_polybolt(check)


async def test_a_provider_that_is_not_chainlink_is_named_with_each_price():
    async def check(running: Running, feed: PolyboltFeed) -> None:
        await running.fault("other_provider", match={"channel": "polybolt.price.crypto"}, times=1)
        await until(feed, lambda found: any(price.source == "pyth" for price in fresh(found)))

    await with_polybolt(check)


async def test_the_averages_silence_is_noticed_while_the_price_goes_on():
    async def check(running: Running, feed: PolyboltFeed) -> None:
        await running.fault("silent_socket", match={"channel": "polybolt.price.crypto.twap"}, times=-1)
        found = await until(feed, has(Disconnected))
        assert "no data of twap-BTC" in found[-1].reason
        assert fresh(found)

    await with_polybolt(check, silent_after_s=1.5)


async def test_a_draining_polybolt_is_left_for_up_to_ten_seconds():
    async def check(running: Running, feed: PolyboltFeed) -> None:
        await running.fault("draining", times=1)
        lost = (await until(feed, has(Disconnected)))[-1]
        assert "4003" in lost.reason
        assert 0 <= lost.retry_in_s <= 10

    await with_polybolt(check)


async def test_wrong_credentials_are_named_and_not_tried_again_and_again():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            wrong = replace(me.credentials, passphrase=SecretStr("wrong"))
            feed = PolyboltFeed(
                running.urls.polybolt, wrong, running.clock, chance(), instruments=[INSTRUMENT], lookback_s=4
            )
            async with feed:
                refused, lost = await until(feed, has(Disconnected))
        assert (refused.kind, "auth_invalid" in refused.reason) == ("Rejected", True)
        assert ("4001" in lost.reason, lost.retry_in_s) == (True, 30.0)

    await against_simulator(check)


# ── RTDS ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_rtds_gives_chainlinks_history_labelled_as_binances_and_then_price_and_average():
    async def check(running: Running) -> None:
        async with rtds(running) as feed:
            found = await until(feed, lambda found: fresh(found) and fresh(found, OracleKind.TWAP))
        assert isinstance(found[0], Connected)
        assert not any(isinstance(event, Unreadable) for event in found)
        history = [each for each in found if isinstance(each, OraclePrice) and each.backfill]
        assert {price.kind for price in history} == {OracleKind.SPOT, OracleKind.TWAP}
        assert {price.source for price in found[1:]} == {"chainlink"}
        assert {price.lookback_s for price in found[1:] if price.kind is OracleKind.TWAP} == {30}

    await against_simulator(check, **THIRTY)


async def test_both_feeds_of_the_oracle_tell_the_same_price_for_the_same_second():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            polybolt = PolyboltFeed(
                running.urls.polybolt,
                me.credentials,
                running.clock,
                chance(),
                instruments=[INSTRUMENT],
                lookback_s=30,
            )
            async with polybolt, rtds(running) as second:
                told = {
                    price.observed_at: price.price
                    for price in await until(polybolt, lambda found: len(fresh(found)) >= 2)
                    if isinstance(price, OraclePrice) and price.kind is OracleKind.SPOT
                }
                again = [
                    price
                    for price in await until(second, lambda found: len(fresh(found)) >= 2)
                    if isinstance(price, OraclePrice) and price.kind is OracleKind.SPOT
                ]
        both = [price for price in again if price.observed_at in told]
        assert len(both) > 5
        assert all(abs(price.price - told[price.observed_at]) < Decimal("0.000001") for price in both)

    await against_simulator(check, **THIRTY)


async def test_a_freeze_of_rtds_is_noticed_by_its_data_though_the_socket_answers():
    async def check(running: Running) -> None:
        async with rtds(running, silent_after_s=1.5) as feed:
            await until(feed, lambda found: fresh(found) and fresh(found, OracleKind.TWAP))
            await running.fault("silent_socket", match={"channel": "rtds.crypto_prices_chainlink"}, times=-1)
            found = await until(feed, has(Disconnected))
            assert "no data of spot-BTC" in found[-1].reason

    await against_simulator(check, **THIRTY)


async def test_a_burst_after_a_freeze_keeps_each_prices_own_time():
    async def check(running: Running) -> None:
        async with rtds(running) as feed:
            await until(feed, lambda found: bool(fresh(found)))
            await running.fault("held_frames", match={"channel": "rtds.crypto_prices_chainlink"}, times=4)
            found = fresh(await until(feed, lambda found: len(fresh(found)) >= 4))
        moments = [price.observed_at for price in found[:4]]
        assert moments == sorted(set(moments))
        assert (found[3].received_at - found[0].received_at) < (moments[3] - moments[0])

    await against_simulator(check, **THIRTY)


async def test_one_unknown_topic_silences_all_of_its_frame_and_is_reported():
    async def check(running: Running) -> None:
        async with rtds(running) as feed:
            await until(feed, lambda found: bool(fresh(found)))
            await feed.send(
                '{"action":"subscribe","subscriptions":[{"topic":"crypto_prices","type":"*"},{"topic":"nope","type":"*"}]}'
            )
            found = await until(feed, has(Unreadable))
            assert found[-1].kind == "Rejected"
            await until(feed, lambda found: bool(fresh(found)))

    await against_simulator(check, **THIRTY)


# ── Pyth ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_pyth_gives_its_price_with_confidence_and_rising_slots():
    async def check(running: Running) -> None:
        async with pyth(running) as feed:
            found = await until(feed, lambda found: len(found) >= 5)
        assert isinstance(found[0], Connected)
        prices = found[1:]
        assert all(
            isinstance(price, AggregatePrice) and 0 < price.confidence < price.price / 100 for price in prices
        )
        assert all(earlier.serial < later.serial for earlier, later in pairwise(prices))

    await against_simulator(check)


@pytest.mark.parametrize("fault", ["malformed_frame", "extra_fields"])
async def test_pyths_broken_update_is_reported_and_one_with_news_is_read(fault):
    async def check(running: Running) -> None:
        async with pyth(running) as feed:
            await until(feed, has(AggregatePrice))
            await running.fault(fault, match={"channel": "pyth"}, times=1)
            found = await until(feed, lambda found: len(found) >= 3)
            assert [type(event) for event in found].count(Unreadable) == (fault == "malformed_frame")

    await against_simulator(check)


async def test_a_cut_pyth_stream_is_opened_anew():
    async def check(running: Running) -> None:
        async with pyth(running) as feed:
            await until(feed, has(AggregatePrice))
            await running.fault("cut_line", match={"channel": "pyth"}, times=1)
            found = await until(feed, has(Connected))
            assert isinstance(found[-2], Disconnected)
            await until(feed, has(AggregatePrice))

    await against_simulator(check)


async def test_a_silent_pyth_stream_is_given_up():
    async def check(running: Running) -> None:
        async with pyth(running, silent_after_s=1.0) as feed:
            await until(feed, has(AggregatePrice))
            await running.fault("silent_socket", match={"channel": "pyth"}, times=-1)
            found = await until(feed, has(Disconnected))
            assert "no data of BTC" in found[-1].reason

    await against_simulator(check)


async def test_without_a_key_pyth_refuses_and_says_so():
    async def check(running: Running) -> None:
        url = running.simulator.urls["pyth_url"]
        feed = PythFeed(url, SecretStr(""), running.clock, chance(), instruments=[INSTRUMENT])
        async with asyncio.timeout(10), feed:
            lost = await anext(feed)
        assert isinstance(lost, Disconnected)
        assert "401" in lost.reason

    await against_simulator(check)
