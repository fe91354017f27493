"""The market and user channels."""

import asyncio
import json
from dataclasses import replace

import pytest
import pytest_asyncio
from aiohttp import WSMsgType

from services.simulator.venue_stream import Connection
from tests.unit.services.simulator.venue_clients import Clients
from tests.unit.services.simulator.venue_world import (
    DOWN,
    FIRST,
    START_MS,
    UP,
    WALLET,
    WINDOW,
    SmallWorld,
    body,
    ladder,
)

NEXT = ladder(START_MS + 1_000, "0.51x70 0.49x200", "0.52x100 0.53x200")


@pytest_asyncio.fixture
async def venue():
    clients = Clients(SmallWorld([FIRST, NEXT]))
    await clients.fund()
    yield clients
    await clients.close()


class Socket:
    """A client's end of a channel."""

    def __init__(self, websocket):
        self.websocket = websocket

    async def send(self, frame):
        await self.websocket.send_str(frame if isinstance(frame, str) else json.dumps(frame))

    async def text(self):
        async with asyncio.timeout(5):
            return (await self.websocket.receive()).data

    async def frame(self):
        return json.loads(await self.text())

    async def closed(self):
        async with asyncio.timeout(5):
            return (await self.websocket.receive()).type in (WSMsgType.CLOSE, WSMsgType.CLOSED)


async def connect(venue, channel, first=None):
    socket = Socket(await (await venue.client("clob")).ws_connect(f"/ws/{channel}"))
    if first is not None:
        await socket.send(first)
    return socket


def subscription(**more):
    return {"assets_ids": [UP, DOWN], "type": "market", **more}


def login(venue, **more):
    key = venue.key
    return {
        "auth": {"apiKey": key.key, "secret": key.secret, "passphrase": key.passphrase},
        "type": "user",
        **more,
    }


async def test_a_subscription_begins_with_an_array_of_books(venue):
    socket = await connect(venue, "market", subscription())
    books = await socket.frame()
    assert [(book["event_type"], book["asset_id"]) for book in books] == [("book", UP), ("book", DOWN)]
    assert books[0]["bids"][-1] == {"price": "0.5", "size": "100"}


async def test_a_new_frame_is_sent_as_absolute_sizes_of_both_tokens(venue):
    socket = await connect(venue, "market", subscription())
    await socket.frame()
    venue.pass_ms(1_000)
    frame = await socket.frame()
    assert (frame["event_type"], frame["market"]) == ("price_change", WINDOW.condition_id)
    shown = {
        (c["asset_id"], c["side"], c["price"]): (c["size"], c["best_bid"], c["best_ask"])
        for c in frame["price_changes"]
    }
    assert shown == {
        (UP, "BUY", "0.51"): ("70", "0.51", "0.52"),
        (UP, "BUY", "0.5"): ("0", "0.51", "0.52"),
        (DOWN, "SELL", "0.49"): ("70", "0.48", "0.49"),
        (DOWN, "SELL", "0.5"): ("0", "0.48", "0.49"),
    }


async def test_a_trade_is_told_with_the_books_after_it(venue):
    socket = await connect(venue, "market", subscription())
    await socket.frame()
    await venue.call("POST", "/order", body(owner=venue.key.key))
    trade, up, down, changes = [await socket.frame() for _ in range(4)]
    assert (trade["event_type"], trade["price"], trade["size"], trade["side"]) == (
        "last_trade_price",
        "0.52",
        "9.999999",
        "BUY",
    )
    assert [up["asks"][-1], down["bids"][-1]] == [
        {"price": "0.52", "size": "90.000001"},
        {"price": "0.48", "size": "90.000001"},
    ]
    assert changes["price_changes"][0]["size"] == "90.000001"


async def test_custom_features_tell_of_best_prices_and_of_the_winner(venue):
    socket = await connect(venue, "market", subscription(custom_feature_enabled=True))
    await socket.frame()
    venue.pass_ms(125_000)
    frames = [await socket.frame() for _ in range(7)]
    told = ["price_change", "best_bid_ask", "best_bid_ask"]
    assert [frame["event_type"] for frame in frames] == [*told, *told, "market_resolved"]
    assert [frames[1][key] for key in ("best_bid", "best_ask", "spread")] == ["0.51", "0.52", "0.01"]
    assert [frames[4][key] for key in ("best_bid", "best_ask", "spread")] == ["", "", ""]
    resolved = frames[-1]
    assert (resolved["winning_asset_id"], resolved["winning_outcome"], resolved["assets_ids"]) == (
        UP,
        "Up",
        [UP, DOWN],
    )


async def test_a_finer_tick_is_announced():
    venue = Clients(SmallWorld([FIRST, ladder(START_MS + 1_000, "0.97x5", "0.98x5")]))
    socket = await connect(venue, "market", subscription())
    await socket.frame()
    venue.pass_ms(1_000)
    assert (await socket.frame())["event_type"] == "price_change"
    frame = await socket.frame()
    assert (frame["event_type"], frame["old_tick_size"], frame["new_tick_size"]) == (
        "tick_size_change",
        "0.01",
        "0.001",
    )
    await venue.close()


async def test_pings_are_answered_and_nonsense_is_an_invalid_operation(venue):
    socket = await connect(venue, "market")
    for said, answered in (
        ("PING", "PONG"),
        ("{", "INVALID OPERATION"),
        (json.dumps({"operation": "subscribe", "assets_ids": []}), "INVALID OPERATION"),
    ):
        await socket.send(said)
        assert await socket.text() == answered
    await socket.send(subscription(initial_dump=False))
    await socket.send(subscription())
    assert await socket.text() == "INVALID OPERATION"


async def test_an_unsubscribed_token_is_silent(venue):
    socket = await connect(venue, "market", subscription())
    await socket.frame()
    await socket.send({"operation": "unsubscribe", "assets_ids": [UP, DOWN]})
    await socket.send("PING")
    assert await socket.text() == "PONG"
    venue.pass_ms(1_000)
    await socket.send("PING")
    assert await socket.text() == "PONG"


async def test_an_owner_hears_of_the_order_and_of_each_status_of_the_trade(venue):
    socket = await connect(venue, "user", login(venue))
    await socket.send("PING")
    assert await socket.text() == "PONG"
    _status, answer = await venue.call("POST", "/order", body(owner=venue.key.key))
    order, matched = await socket.frame(), await socket.frame()
    assert (order["event_type"], order["id"], order["status"], order["size_matched"]) == (
        "order",
        answer["orderID"],
        "MATCHED",
        "9.999999",
    )
    assert (matched["event_type"], matched["status"], matched["taker_order_id"], matched["size"]) == (
        "trade",
        "MATCHED",
        answer["orderID"],
        "9.999999",
    )
    venue.pass_ms(5_000)
    mined, confirmed = await socket.frame(), await socket.frame()
    assert [mined["status"], confirmed["status"]] == ["MINED", "CONFIRMED"]
    assert {frame["id"] for frame in (matched, mined, confirmed)} == set(answer["tradeIDs"])
    assert (matched["transaction_hash"], confirmed["transaction_hash"]) == ("", mined["transaction_hash"])


async def test_a_kill_is_told_as_captured(venue):
    socket = await connect(venue, "user", login(venue, markets=[WINDOW.condition_id]))
    await socket.send("PING")
    await socket.text()
    await venue.call(
        "POST",
        "/order",
        body(owner=venue.key.key, makerAmount="2000000", takerAmount="5000000", orderType="FOK"),
    )
    frame = await socket.frame()
    assert (frame["type"], frame["size_matched"], frame["created_at"]) == ("CANCELLATION", "", "")
    assert (
        frame["status"] == "CANCELED_order couldn't be fully filled. FOK orders are fully filled or killed."
    )


@pytest.mark.parametrize("spoilt", ["apiKey", "secret", "passphrase"])
async def test_wrong_credentials_end_the_connection_without_a_word(venue, spoilt):
    frame = login(venue)
    frame["auth"][spoilt] += "x"
    socket = await connect(venue, "user", frame)
    assert await socket.closed()


async def test_other_markets_and_other_owners_are_not_told(venue):
    elsewhere = await connect(venue, "user", login(venue, markets=["0x12"]))
    stranger = venue.login("0x" + "ab" * 20)
    foreign = await connect(
        venue,
        "user",
        {"auth": {"apiKey": stranger.key, "secret": stranger.secret, "passphrase": stranger.passphrase}},
    )
    for socket in (elsewhere, foreign):
        await socket.send("PING")
        assert await socket.text() == "PONG"
    await venue.call("POST", "/order", body(owner=venue.key.key))
    for socket in (elsewhere, foreign):
        await socket.send("PING")
        assert await socket.text() == "PONG"


async def test_a_silent_socket_still_answers_pings(venue):
    socket = await connect(venue, "market", subscription())
    await socket.frame()
    venue.faults.arm("silent_socket", match={"channel": "market"}, times=-1)
    venue.pass_ms(1_000)
    await socket.send("PING")
    assert await socket.text() == "PONG"


async def test_a_user_event_can_be_dropped_or_doubled(venue):
    socket = await connect(venue, "user", login(venue))
    await socket.send("PING")
    await socket.text()
    venue.faults.arm("drop_event", match={"channel": "user", "event": "order"})
    venue.faults.arm("duplicate_event", match={"channel": "user", "status": "MATCHED"})
    await venue.call("POST", "/order", body(owner=venue.key.key))
    first, second = await socket.frame(), await socket.frame()
    assert first == second
    assert first["event_type"] == "trade"


async def test_a_user_event_is_dropped_for_one_wallet_and_side_only(venue):
    socket = await connect(venue, "user", login(venue))
    await socket.send("PING")
    await socket.text()
    venue.faults.arm("drop_event", match={"channel": "user", "wallet": WALLET, "side": "SELL"}, times=-1)
    venue.faults.arm("drop_event", match={"channel": "user", "wallet": WALLET, "event": "order"}, times=-1)
    await venue.call("POST", "/order", body(owner=venue.key.key))
    assert (await socket.frame())["event_type"] == "trade"


async def test_user_events_can_be_sent_in_another_order(venue):
    socket = await connect(venue, "user", login(venue))
    await socket.send("PING")
    await socket.text()
    venue.faults.arm("reorder_events", match={"wallet": WALLET}, seconds=60)
    await venue.call("POST", "/order", body(owner=venue.key.key))
    assert [(await socket.frame())["event_type"] for _ in range(2)] == ["trade", "order"]


async def test_an_event_held_for_a_next_one_that_does_not_come_is_sent_late(venue):
    socket = await connect(venue, "user", login(venue))
    await socket.send("PING")
    await socket.text()
    venue.faults.arm("reorder_events", times=2, seconds=0.5)
    await venue.call("POST", "/order", body(owner=venue.key.key))
    venue.pass_ms(600)
    assert [(await socket.frame())["event_type"] for _ in range(2)] == ["trade", "order"]


async def test_a_user_event_can_be_delayed(venue):
    socket = await connect(venue, "user", login(venue))
    await socket.send("PING")
    await socket.text()
    venue.faults.arm("delay_event", match={"event": "order"}, seconds=0.5)
    await venue.call("POST", "/order", body(owner=venue.key.key))
    assert (await socket.frame())["event_type"] == "trade"
    await socket.send("PING")
    assert await socket.text() == "PONG"
    venue.pass_ms(500)
    assert (await socket.frame())["event_type"] == "order"


async def test_a_new_market_is_told_to_everyone_with_custom_features():
    soon = replace(WINDOW, listed_at_ms=START_MS + 500)
    venue = Clients(SmallWorld(window=soon))
    socket = await connect(
        venue, "market", {"assets_ids": ["77"], "type": "market", "custom_feature_enabled": True}
    )
    assert await socket.frame() == []
    venue.pass_ms(600)
    frame = await socket.frame()
    assert (frame["event_type"], frame["assets_ids"], frame["slug"]) == (
        "new_market",
        [UP, DOWN],
        WINDOW.slug,
    )
    await venue.close()


def test_a_reader_that_falls_behind_is_cut_off():
    cut = []
    connection = Connection(lambda: cut.append(1), frames=asyncio.Queue(2))
    connection.send(["a", "b"])
    assert not cut
    connection.send(["c"])
    assert cut
