"""Real WebSocket clients, the venue's own SDK among them, against both feeds on loopback."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from polymarket._internal.streams.realtime.manager import RealtimeStreamManager
from polymarket.models.clob.api_key import ApiKeyCreds
from polymarket.streams import CryptoPriceSpec, CryptoTwapPriceSpec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError

from services.simulator.faults import Faults
from services.simulator.feeds_stream import binance_app, polybolt_app
from services.simulator.sources import world_from
from services.simulator.world import World
from shared.runtime.clock import SystemClock

AUTH = {"op": "auth", "rid": "a1", "auth": {"apiKey": "key", "secret": "secret", "passphrase": "phrase"}}
PRICE = {"channel": "price.crypto", "filter": {"symbol": "btcusd", "provider": "chainlink"}}
TWAP = {"channel": "price.crypto.twap", "filter": {"symbol": "btcusd", "window_seconds": 4}}
Serve = Callable[[web.Application], Awaitable[str]]


@dataclass(frozen=True)
class Settings:
    seed: int = 1
    source: str = "generator"
    recordings: Path | None = None
    assets: Sequence[str] = ("btc", "eth")
    window_s: int = 60
    lookback_s: int | None = None
    resolution_delay_s: float | None = None
    windows_ahead: int = 2
    first_open_in_s: int = 5


def credentials_ok(*given: str) -> bool:
    return given == ("key", "secret", "phrase")


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()


@pytest.fixture
def world(clock: SystemClock) -> World:
    return world_from(Settings(), int(clock.now().timestamp() * 1000))


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    runners = []

    async def start(app: web.Application) -> str:
        runner = web.AppRunner(app)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        return f"ws://{host}:{port}"

    yield start
    for runner in runners:
        await runner.cleanup()


async def told(client: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(10):
        frame: dict[str, Any] = json.loads(await client.recv())
        return frame


async def ask(client: ClientConnection, *frames: object) -> list[dict[str, Any]]:
    """Send each frame and return the first answer to each."""
    answers = []
    for frame in frames:
        await client.send(frame if isinstance(frame, str) else json.dumps(frame))
        answers.append(await told(client))
    return answers


async def closed_with(client: ClientConnection) -> int:
    """Read until the server closes; return its code."""
    with pytest.raises(ConnectionClosedError) as closed:
        while True:
            await told(client)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


async def test_polybolt_wants_credentials_before_prices(
    world: World, clock: SystemClock, serve: Serve
) -> None:
    url = await serve(polybolt_app(world, clock, credentials_ok, Faults()))
    async with connect(f"{url}/ws") as client:
        refused, authed, subscribed = await ask(
            client,
            {"op": "subscribe", "rid": "s0", "subscriptions": [PRICE]},
            AUTH,
            {"op": "subscribe", "rid": "s1", "subscriptions": [PRICE]},
        )
        assert refused == {"op": "error", "code": "auth_required", "channel": "price.crypto", "rid": "s0"}
        assert authed == {"op": "authed", "rid": "a1"}
        assert subscribed == {
            "op": "subscribed",
            "channel": "price.crypto",
            "provider": "chainlink",
            "rid": "s1",
        }


async def test_polybolt_closes_on_wrong_credentials(world: World, clock: SystemClock, serve: Serve) -> None:
    url = await serve(polybolt_app(world, clock, credentials_ok, Faults()))
    async with connect(f"{url}/ws") as client:
        wrong = {
            "op": "auth",
            "rid": "a1",
            "auth": {"apiKey": "key", "secret": "other", "passphrase": "phrase"},
        }
        assert await ask(client, wrong) == [{"op": "error", "code": "auth_invalid", "rid": "a1"}]
        assert await closed_with(client) == 4001


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("not json", "bad_op"),
        ("[1]", "bad_op"),
        ({"op": "dance"}, "bad_op"),
        ({"op": "subscribe", "subscriptions": "all"}, "bad_op"),
        ({"op": "subscribe", "subscriptions": [{"channel": "price.moon", "filter": {}}]}, "bad_channel"),
        ({"op": "subscribe", "subscriptions": [{"channel": "price.crypto"}]}, "bad_filter"),
        ({"op": "subscribe", "subscriptions": [{**PRICE, "filter": {"symbol": "dogeusd"}}]}, "bad_filter"),
        ({"op": "subscribe", "subscriptions": [{**PRICE, "filter": {"symbol": "btc"}}]}, "bad_filter"),
        (
            {
                "op": "subscribe",
                "subscriptions": [{**TWAP, "filter": {"symbol": "btcusd", "window_seconds": 60}}],
            },
            "bad_filter",
        ),
    ],
)
async def test_polybolt_names_what_is_wrong(
    world: World, clock: SystemClock, serve: Serve, frame: object, code: str
) -> None:
    url = await serve(polybolt_app(world, clock, credentials_ok, Faults()))
    async with connect(f"{url}/ws") as client:
        _, refused, pong = await ask(client, AUTH, frame, {"op": "ping", "rid": "p"})
        assert (refused["op"], refused["code"]) == ("error", code)
        assert pong == {"op": "pong", "rid": "p"}


async def test_polybolt_sends_two_minutes_and_then_every_price(
    world: World, clock: SystemClock, serve: Serve
) -> None:
    url = await serve(polybolt_app(world, clock, credentials_ok, Faults()))
    async with connect(f"{url}/ws") as client:
        await ask(client, AUTH, {"op": "subscribe", "subscriptions": [TWAP]})
        snapshot = await told(client)
        updates = [await told(client) for _ in range(4)]
    now_ms = int(clock.now().timestamp() * 1000)
    points = snapshot["payload"]["data"]
    assert (snapshot["v"], snapshot["seq"], snapshot["snapshot"]) == (1, 1, True)
    assert snapshot["payload"]["source"] == "chainlink"
    assert snapshot["payload"]["window_seconds"] == 4
    assert len(points) > 400
    assert (
        now_ms - 125_000
        < points[0]["timestamp"]
        < points[-1]["timestamp"]
        < updates[0]["payload"]["timestamp"]
    )
    assert [frame["seq"] for frame in updates] == [2, 3, 4, 5]
    # What is sent is the world's own feed, price by price, without a gap between snapshot and updates.
    moments = [point["timestamp"] for point in points] + [frame["payload"]["timestamp"] for frame in updates]
    assert {later - moment for moment, later in pairwise(moments)} == {250}
    for frame in updates:
        payload = frame["payload"]
        assert (payload["symbol"], payload["window_seconds"]) == ("btcusd", 4)
        assert frame["ts"] > payload["timestamp"]
        told_price = [
            tick.price
            for tick in islice(world.feed("btc", frame["ts"]), 50)
            if tick.feed == "chainlink_twap" and tick.observed_ms == payload["timestamp"]
        ]
        assert payload["full_accuracy_value"] == f"{told_price[0]:.8f}"
        assert float(payload["full_accuracy_value"]) == payload["value"]


async def test_polybolt_counts_per_channel_and_stops_on_unsubscribe(
    world: World, clock: SystemClock, serve: Serve
) -> None:
    url = await serve(polybolt_app(world, clock, credentials_ok, Faults()))
    ether = {**PRICE, "filter": {"symbol": "ethusd"}}
    async with connect(f"{url}/ws") as client:
        await ask(client, AUTH)
        await client.send(json.dumps({"op": "subscribe", "subscriptions": [PRICE, ether, PRICE]}))
        frames = [await told(client) for _ in range(12)]
        prices = [frame for frame in frames if "seq" in frame]
        assert [frame["seq"] for frame in prices] == list(range(1, len(prices) + 1))
        assert sum(frame.get("op") == "subscribed" for frame in frames) == 3
        assert [frame["payload"]["symbol"] for frame in prices if frame.get("snapshot")] == [
            "btcusd",
            "ethusd",
        ]
        await client.send(json.dumps({"op": "unsubscribe", "rid": "u", "subscriptions": [PRICE]}))
        while (await told(client)).get("op") != "unsubscribed":
            pass
        assert {(await told(client))["payload"]["symbol"] for _ in range(6)} == {"ethusd"}


async def test_a_dropped_frame_leaves_a_gap_in_the_sequence(
    world: World, clock: SystemClock, serve: Serve
) -> None:
    faults = Faults()
    faults.arm("drop_event", match={"channel": "polybolt.price.crypto", "asset": "btc"}, times=1)
    url = await serve(polybolt_app(world, clock, credentials_ok, faults))
    async with connect(f"{url}/ws") as client:
        await ask(client, AUTH, {"op": "subscribe", "subscriptions": [PRICE]})
        assert [(await told(client))["seq"] for _ in range(3)] == [1, 3, 4]


async def test_polybolt_closes_a_client_that_answers_no_ping(
    world: World, clock: SystemClock, serve: Serve
) -> None:
    url = await serve(polybolt_app(world, clock, credentials_ok, Faults(), ping_every_s=0.05))
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/ws", autoping=False) as client:
        kinds = [(await client.receive(timeout=10)).type for _ in range(3)]
        assert kinds == [aiohttp.WSMsgType.PING, aiohttp.WSMsgType.PING, aiohttp.WSMsgType.CLOSE]
        assert client.close_code == 4002


async def test_polybolt_keeps_a_client_that_answers_its_pings(
    world: World, clock: SystemClock, serve: Serve
) -> None:
    url = await serve(polybolt_app(world, clock, credentials_ok, Faults(), ping_every_s=0.05))
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/ws", autoping=False) as client:
        for _ in range(8):
            message = await client.receive(timeout=10)
            assert message.type is aiohttp.WSMsgType.PING
            await client.pong(message.data)


async def test_too_many_frames_a_second_are_refused(world: World, clock: SystemClock, serve: Serve) -> None:
    url = await serve(polybolt_app(world, clock, credentials_ok, Faults()))
    async with connect(f"{url}/ws") as client:
        await ask(client, AUTH)
        for _ in range(22):
            await client.send(json.dumps({"op": "unsubscribe", "subscriptions": [PRICE]}))
        answers = [await told(client) for _ in range(22)]
        assert [answer.get("code") for answer in answers[:20]] == [None] * 20
        assert "rate_limited" in [answer.get("code") for answer in answers]


async def test_guessing_credentials_ends_after_eight_attempts(
    clock: SystemClock, world: World, serve: Serve
) -> None:
    url = await serve(polybolt_app(world, clock, credentials_ok, Faults()))
    async with connect(f"{url}/ws") as client:
        answers = await ask(client, *[AUTH] * 9)
        assert [answer["op"] for answer in answers] == ["authed"] * 8 + ["error"]
        assert answers[-1]["code"] == "auth_attempts"
        assert await closed_with(client) == 4001


async def test_a_stopping_polybolt_drains_its_clients(world: World, clock: SystemClock) -> None:
    runner = web.AppRunner(polybolt_app(world, clock, credentials_ok, Faults()))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    async with connect(f"ws://{host}:{port}/ws") as client, asyncio.TaskGroup() as tasks:
        await ask(client, AUTH, {"op": "subscribe", "subscriptions": [PRICE]})
        tasks.create_task(runner.cleanup())
        assert await closed_with(client) == 4003


async def test_the_venues_own_sdk_streams_prices_and_averages(clock: SystemClock, serve: Serve) -> None:
    # The SDK knows no look-back but 60 s: a world in real time.
    world = world_from(Settings(window_s=900), int(clock.now().timestamp() * 1000))
    url = await serve(polybolt_app(world, clock, credentials_ok, Faults()))
    manager = RealtimeStreamManager(
        url=f"{url}/ws", credentials=ApiKeyCreds(key="key", secret="secret", passphrase="phrase")
    )
    seen: dict[tuple[str, str], Any] = {}
    async with asyncio.timeout(20):
        averages = await manager.subscribe(CryptoTwapPriceSpec(symbols=["btcusd"]))
        prices = await manager.subscribe(CryptoPriceSpec(symbols=["ethusd"], provider="chainlink"))
        for handle in (averages, prices):
            async for event in handle:
                seen[event.topic, event.type] = event
                if event.type == "update":
                    break
        await manager.close()
    assert set(seen) == {
        (topic, kind) for topic in ("prices.crypto", "prices.crypto.twap") for kind in ("subscribe", "update")
    }
    average = seen["prices.crypto.twap", "update"].payload
    told_prices = {
        tick.price
        for tick in islice(world.feed("btc", int(average.timestamp.timestamp() * 1000)), 200)
        if tick.feed == "chainlink_twap"
    }
    assert average.source == "chainlink"
    assert average.value in told_prices


async def test_binance_sends_combined_trades_and_best_prices(
    world: World, clock: SystemClock, serve: Serve
) -> None:
    url = await serve(binance_app(world, clock, Faults()))
    async with connect(f"{url}/stream?streams=btcusdt@trade/btcusdt@bookTicker/nopeusdt@trade") as client:
        frames = [await told(client) for _ in range(12)]
    trades = [frame["data"] for frame in frames if frame["stream"] == "btcusdt@trade"]
    books = [frame["data"] for frame in frames if frame["stream"] == "btcusdt@bookTicker"]
    assert len(trades) + len(books) == 12
    assert set(trades[0]) == {"e", "E", "s", "t", "p", "q", "T", "m", "M"}
    assert set(books[0]) == {"u", "s", "b", "B", "a", "A"}
    assert all(trade["t"] < later["t"] for trade, later in pairwise(trades))
    assert all(book["u"] < later["u"] for book, later in pairwise(books))
    sent = [tick for tick in islice(world.feed("btc", trades[0]["T"]), 500) if tick.feed == "binance_trade"]
    assert trades[0]["p"] in {str(tick.price) for tick in sent if tick.observed_ms == trades[0]["T"]}


async def test_binance_raw_streams_and_later_subscriptions(
    world: World, clock: SystemClock, serve: Serve
) -> None:
    url = await serve(binance_app(world, clock, Faults()))
    async with connect(f"{url}/ws/btcusdt@aggTrade") as client:
        trade = await told(client)
        assert (trade["e"], trade["f"], trade["l"]) == ("aggTrade", trade["a"], trade["a"])
        await client.send(json.dumps({"method": "SUBSCRIBE", "params": ["ethusdt@bookTicker"], "id": 1}))
        await client.send(json.dumps({"method": "UNSUBSCRIBE", "params": ["btcusdt@aggTrade"], "id": 2}))
        await client.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 3}))
        answers: list[dict[str, Any]] = []
        while len(answers) < 3:
            frame = await told(client)
            answers += [frame] if "id" in frame else []
        assert answers == [
            {"result": None, "id": 1},
            {"result": None, "id": 2},
            {"result": ["ethusdt@bookTicker"], "id": 3},
        ]
        assert {(await told(client))["s"] for _ in range(5)} == {"ETHUSDT"}


async def test_binance_cuts_off_a_text_ping_and_a_flood(
    world: World, clock: SystemClock, serve: Serve
) -> None:
    url = await serve(binance_app(world, clock, Faults()))
    async with connect(f"{url}/stream") as client:
        await client.send("PING")
        assert await closed_with(client) == 1008
    async with connect(f"{url}/stream") as client:
        for serial in range(8):
            await client.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": serial}))
        assert await closed_with(client) == 1008


async def test_binance_pings_and_closes_a_client_that_stays_silent(
    world: World, clock: SystemClock, serve: Serve
) -> None:
    url = await serve(binance_app(world, clock, Faults(), ping_every_s=0.05))
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/stream", autoping=False) as client,
    ):
        kinds = [(await client.receive(timeout=10)).type for _ in range(4)]
        assert kinds == [aiohttp.WSMsgType.PING] * 3 + [aiohttp.WSMsgType.CLOSE]


async def test_a_feed_fault_spoils_one_binance_stream_only(
    world: World, clock: SystemClock, serve: Serve
) -> None:
    faults = Faults()
    faults.arm("silent_socket", match={"channel": "binance.trade"}, times=-1)
    url = await serve(binance_app(world, clock, faults))
    async with connect(f"{url}/stream?streams=btcusdt@trade/btcusdt@bookTicker") as client:
        assert {(await told(client))["stream"] for _ in range(8)} == {"btcusdt@bookTicker"}
