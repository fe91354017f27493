"""When posted orders reached the venue, placed or not."""

from collections import deque

import aiohttp
import pytest
import pytest_asyncio

from services.simulator.arrivals import Arrivals
from tests.unit.services.simulator.venue_clients import Clients
from tests.unit.services.simulator.venue_world import OWNER, START_MS, UP, WALLET, body


@pytest_asyncio.fixture
async def venue():
    clients = Clients()
    await clients.fund()
    yield clients
    await clients.close()


def order(venue, **changes):
    return body(owner=venue.key.key, **changes)


async def test_an_order_that_trades_arrived_when_it_was_posted(venue):
    venue.pass_ms(700)
    _status, placed = await venue.call("POST", "/order", order(venue))
    (arrival,) = (await venue.truth())["arrivals"]
    assert arrival == {
        "id": placed["orderID"],
        "wallet": WALLET,
        "side": "BUY",
        "token": UP,
        "arrived_ms": START_MS + 700,
        "answered_ms": START_MS + 700,
        "http": 200,
        "fault": "",
    }


@pytest.mark.parametrize(
    ("fault", "http"),
    [("http_503", 503), ("idle_closed", None), ("accept_then_reset", None), ("refused", 400)],
)
async def test_an_order_that_a_fault_struck_arrived_all_the_same(venue, fault, http):
    venue.faults.arm(fault)
    posted = order(venue)
    try:
        await venue.raw("POST", "/order", posted)
    except aiohttp.ClientError:
        assert http is None
    (arrival,) = (await venue.truth())["arrivals"]
    assert (arrival["id"], arrival["http"]) == (venue.exchange.identity(posted), http)
    assert arrival["fault"] == ("" if fault == "refused" else fault)


async def test_the_legs_of_a_batch_arrive_together_and_nonsense_has_no_id(venue):
    await venue.call("POST", "/orders", [order(venue), {"order": {"maker": WALLET}}, 5])
    arrivals = (await venue.truth())["arrivals"]
    assert [(each["wallet"], bool(each["id"])) for each in arrivals] == [
        (WALLET, True),
        (WALLET, False),
        ("", False),
    ]


async def test_the_truth_of_one_wallet_is_its_own_only(venue):
    await venue.fund("50", signature_type=0)
    await venue.call("POST", "/order", order(venue))
    for wallet, count in ((WALLET.lower(), 1), (OWNER, 0)):
        _status, found = await venue.get("control", "/_sim/truth", wallet=wallet)
        assert [each.lower() for each in found["wallets"]] == [wallet.lower()]
        assert [len(found[key]) for key in ("arrivals", "orders", "trades")] == [count] * 3


def test_the_oldest_are_forgotten_first():
    arrivals = Arrivals(deque(maxlen=2))
    for each in range(3):
        arrivals.note({"order": {"maker": str(each)}}, each)
    assert [arrival.arrived_ms for arrival in arrivals.of(None, lambda _leg: "")] == [1, 2]
