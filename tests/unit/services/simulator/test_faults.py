"""The table of faults, and what each does to a posted order."""

import asyncio

import aiohttp
import pytest
import pytest_asyncio

from services.simulator.faults import FOR_EVER, KINDS, Faults, UnknownFault
from tests.unit.services.simulator.venue_clients import Clients
from tests.unit.services.simulator.venue_world import OWNER, WALLET, body


@pytest_asyncio.fixture
async def venue():
    clients = Clients()
    await clients.fund()
    yield clients
    await clients.close()


def test_a_fault_strikes_as_often_as_it_was_armed_for_and_only_where_it_matches():
    faults = Faults()
    faults.arm("drop_event", match={"channel": "user"}, times=2)
    assert faults.take("frame", channel="market") is None
    assert faults.take("request", channel="user") is None
    assert [faults.sent("x", channel="user", event="order") for _ in range(3)] == [(), (), ("x",)]


def test_a_fault_for_ever_ends_when_it_is_disarmed():
    faults = Faults()
    faults.arm("silent_socket", match={"channel": "market*"}, times=FOR_EVER)
    assert all(not faults.sent("x", channel="market-1") for _ in range(9))
    assert faults.disarm("drop_event") == 0
    assert faults.disarm() == 1
    assert faults.sent("x", channel="market-1") == ("x",)


def test_frames_are_doubled_and_cut():
    faults = Faults()
    faults.arm("duplicate_event")
    faults.arm("malformed_frame")
    assert faults.frames("chainlink", "btc", "abcd") == ("abcd", "abcd")
    assert faults.frames("chainlink", "btc", "abcd") == ("ab",)


def test_an_unknown_fault_is_refused_by_name():
    with pytest.raises(UnknownFault, match="volcano"):
        Faults().arm("volcano")


async def arm(venue, name, **more):
    status, _body = await venue.post("control", "/_sim/faults", {"name": name, **more})
    assert status == 200


async def orders_placed(venue):
    return len((await venue.truth())["orders"])


@pytest.mark.parametrize(
    ("name", "status", "placed"),
    [
        ("http_425", 425, 0),
        ("http_429", 429, 0),
        ("http_503", 503, 0),
        ("http_500", 500, 0),
        ("html_403", 403, 0),
        ("http_500_after_accept", 500, 1),
        ("unreadable_answer", 200, 1),
    ],
)
async def test_a_fault_answers_for_the_order_and_the_next_one_passes(venue, name, status, placed):
    await arm(venue, name, seconds=7)
    response = await venue.raw("POST", "/order", body(owner=venue.key.key))
    assert response.status == status
    if name in ("http_425", "http_429", "http_503"):
        assert response.headers["Retry-After"] == "7"
    if name in ("html_403", "unreadable_answer"):
        assert response.content_type == "text/html"
    assert await orders_placed(venue) == placed
    again = await venue.raw("POST", "/order", body(owner=venue.key.key, salt=2))
    assert again.status == 200
    assert await orders_placed(venue) == placed + 1


@pytest.mark.parametrize(
    ("name", "placed"),
    [("timeout_not_placed", 0), ("idle_closed", 0), ("accept_then_timeout", 1), ("accept_then_reset", 1)],
)
async def test_a_fault_that_never_answers(venue, name, placed):
    await arm(venue, name, seconds=0.01)
    with pytest.raises(aiohttp.ClientError):
        await venue.raw("POST", "/order", body(owner=venue.key.key))
    assert await orders_placed(venue) == placed


async def test_a_late_arrival_is_placed_after_its_sender_gave_up(venue):
    await arm(venue, "late_arrival", seconds=0.5)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await venue.raw("POST", "/order", body(owner=venue.key.key))
    assert await orders_placed(venue) == 0
    async with asyncio.timeout(5):
        while await orders_placed(venue) == 0:
            pass


async def test_faults_strike_other_calls_when_asked_to(venue):
    await arm(venue, "http_500", match={"path": "/book", "host": "clob"})
    assert (await venue.call("GET", "/data/orders"))[0] == 200
    assert (await venue.get("clob", "/book"))[0] == 500
    assert (await venue.get("clob", "/book"))[0] == 404


@pytest.mark.parametrize(
    ("match", "status"),
    [
        ({"wallet": WALLET, "side": "BUY"}, 429),
        ({"wallet": WALLET.lower()}, 429),
        ({"side": "BUY", "order_type": "FAK"}, 429),
        ({"wallet": WALLET, "side": "SELL"}, 200),
        ({"wallet": OWNER}, 200),
        ({"wallet": WALLET, "path": "/orders"}, 200),
    ],
)
async def test_a_fault_for_a_wallet_strikes_its_orders_and_no_other_call(venue, match, status):
    await arm(venue, "http_429", match=match)
    assert (await venue.call("GET", "/data/orders"))[0] == 200
    assert (await venue.raw("POST", "/order", body(owner=venue.key.key))).status == status


async def test_a_read_is_known_by_its_key_and_a_public_one_by_the_wallet_it_asks_for(venue):
    for host, path in (("clob", "/data/orders"), ("data", "/v2/activity")):
        await arm(venue, "http_500", match={"wallet": WALLET, "host": host, "path": path})
    assert (await venue.get("clob", "/book"))[0] == 404
    assert (await venue.call("GET", "/data/orders"))[0] == 500
    assert (await venue.get("data", "/v2/activity", user=OWNER))[0] == 200
    assert (await venue.get("data", "/v2/activity", user=WALLET))[0] == 500


async def test_the_site_and_the_clock_say_what_keeps_a_person_from_trading(venue):
    region = ("gamma", "/api/geoblock")
    assert (await venue.get(*region))[1]["blocked"] is False
    await arm(venue, "region_blocked")
    await arm(venue, "clock_ahead", seconds=3)
    assert (await venue.get("clob", "/book"))[0] == 404
    assert (await venue.get(*region))[1] == {
        "blocked": True,
        "ip": "127.0.0.1",
        "country": "US",
        "region": "NY",
    }
    now_s = venue.clock.now_ms // 1000
    assert [(await venue.get("clob", "/time"))[1] for _ in range(2)] == [now_s + 3, now_s]


def test_a_match_narrows_the_calls_of_a_fault_unless_it_names_a_call_itself():
    faults = Faults()
    faults.arm("http_425", match={"wallet": "0xAb"})
    assert faults.take("request", method="GET", path="/order", wallet={"0xab"}) is None
    assert faults.take("request", method="POST", path="/order", wallet={"0xab", "0xcd"}) is not None
    faults.arm("http_425", match={"path": "/submit"})
    assert faults.take("request", method="GET", path="/submit", wallet=()) is not None


async def test_armed_faults_are_shown_and_can_be_taken_back(venue):
    await arm(venue, "http_429", times=3)
    _status, shown = await venue.get("control", "/_sim/faults")
    assert shown["armed"] == [
        {"name": "http_429", "match": {"method": "POST", "path": "/order"}, "times": 3, "seconds": 30.0}
    ]
    assert set(shown["kinds"]) == set(KINDS)
    response = await (await venue.client("control")).delete("/_sim/faults")
    assert await response.json() == {"disarmed": 1}


async def test_an_unknown_fault_is_a_bad_request(venue):
    status, answer = await venue.post("control", "/_sim/faults", {"name": "volcano"})
    assert status == 400
    assert "volcano" in answer["error"]


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [("unknown_market_version", "version", "v9"), ("unknown_fee_type", "feeType", "mystery_fees_v9")],
)
async def test_a_market_can_be_listed_with_values_nobody_knows(name, key, value):
    venue = Clients()
    listing = venue.exchange.listing
    venue.faults.arm(name)
    listing._listed = 0
    listing.look(venue.clock.now_ms)
    _status, (market,) = await venue.get("gamma", "/markets", closed="false")
    assert market[key] == value
    await venue.close()
