"""/_sim: accounts and the truth."""

import pytest
import pytest_asyncio

from tests.unit.services.simulator.venue_clients import Clients
from tests.unit.services.simulator.venue_world import DOWN, OWNER, UP, WALLET, WINDOW, body


@pytest_asyncio.fixture
async def venue():
    clients = Clients()
    yield clients
    await clients.close()


async def test_an_account_is_made_once_and_funded_as_often_as_asked(venue):
    status, made = await venue.fund("10.000001")
    assert status == 200
    assert (made["address"], made["wallet"], made["signature_type"], made["cash"]) == (
        OWNER,
        WALLET,
        3,
        "10.000001",
    )
    _status, again = await venue.fund("0.5")
    assert (again["cash"], again["deposited"], again["relayer_api_key"]) == (
        "10.500001",
        "10.500001",
        made["relayer_api_key"],
    )
    _status, plain = await venue.post("control", "/_sim/accounts", {"address": OWNER, "signature_type": 0})
    assert (plain["wallet"], plain["cash"]) == (OWNER, "1000.000000")
    assert set((await venue.truth())["wallets"]) == {WALLET, OWNER}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        [],
        {"address": "0x12"},
        {"address": OWNER, "usdc": "-1"},
        {"address": OWNER, "usdc": "much"},
        {"address": OWNER, "signature_type": 1},
    ],
)
async def test_a_wrong_account_is_refused_and_nothing_is_made(venue, wrong):
    status, answer = await venue.post("control", "/_sim/accounts", wrong)
    assert status == 400
    assert answer["error"]
    assert (await venue.truth())["wallets"] == {}


async def test_the_truth_adds_up_to_the_micro_unit(venue):
    await venue.fund("100")
    await venue.call("POST", "/order", body(owner=venue.key.key))
    await venue.call("POST", "/order", body(owner=venue.key.key))
    truth = await venue.truth()
    (order,), (trade,) = truth["orders"], truth["trades"]
    assert truth["posts"] == {order["id"]: 2}
    assert (order["status"], order["matched"], order["cash"], order["fee"]) == (
        "MATCHED",
        "9.999999",
        "5.199999",
        "0.174720",
    )
    assert (trade["role"], trade["net_cash"], trade["status"]) == ("TAKER", "-5.374719", "MATCHED")
    assert truth["wallets"][WALLET] == {
        "owner": OWNER,
        "signature_type": 3,
        "deposited": "100.000000",
        "cash": "100.000000",
        "cash_pending": "-5.374719",
        "cash_reserved": "0.000000",
        "tokens": {UP: {"mined": "0.000000", "unmined": "9.999999", "leaving": "0.000000"}},
    }
    venue.pass_ms(5_000)
    sale = body(owner=venue.key.key, side="SELL", makerAmount="4000000", takerAmount="2000000")
    assert (await venue.call("POST", "/order", sale))[1]["makingAmount"] == "4"
    wallet = (await venue.truth())["wallets"][WALLET]
    assert wallet["cash"] == "94.625281"
    assert wallet["cash_pending"] == "1.930000"  # 2 dollars less the fee of 4 · 0.07 · 0.25
    assert wallet["tokens"][UP] == {"mined": "9.999999", "unmined": "0.000000", "leaving": "4.000000"}


async def test_failed_shares_are_counted_apart(venue):
    await venue.fund("100")
    venue.faults.arm("match_then_failed")
    await venue.call("POST", "/order", body(owner=venue.key.key))
    venue.pass_ms(5_000)
    truth = await venue.truth()
    assert (truth["orders"][0]["failed"], truth["trades"][0]["status"]) == ("9.999999", "FAILED")
    assert truth["wallets"][WALLET]["cash"] == "100.000000"


async def test_windows_and_addresses_are_shown(venue):
    _status, shown = await venue.get("control", "/_sim/windows")
    (window,) = shown["windows"]
    assert (window["slug"], window["up_token"], window["down_token"], window["winner"]) == (
        WINDOW.slug,
        UP,
        DOWN,
        "UP",
    )
    assert (window["accepting"], window["resolved"]) == (True, False)
    assert (await venue.get("control", "/livez"))[1] == {"alive": True}


async def test_stop_asks_the_process_to_end(venue):
    assert (await venue.post("control", "/_sim/stop", {}))[1] == {"stopping": True}
    assert venue.simulator.stop.is_set()


async def test_an_unknown_mode_is_refused(venue):
    assert (await venue.post("control", "/_sim/mode", {"mode": "party"}))[0] == 400


async def test_the_venues_own_redeemer_may_come_first(venue):
    await venue.fund("100")
    await venue.call("POST", "/order", body(owner=venue.key.key))
    asked = {"wallet": WALLET, "slug": WINDOW.slug}
    status, answer = await venue.post("control", "/_sim/redeem", asked)
    assert (status, answer) == (400, {"error": "ValueError: result for condition not received yet"})
    venue.pass_ms(125_000)
    assert (await venue.post("control", "/_sim/redeem", asked))[1] == {"paid": "9.999999"}
    assert (await venue.post("control", "/_sim/redeem", asked))[1] == {"paid": "0.000000"}
    assert (await venue.truth())["wallets"][WALLET]["cash"] == "104.625280"
