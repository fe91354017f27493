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


async def test_a_closed_only_account_may_sell_and_a_banned_one_nothing(venue):
    await venue.fund("100")
    bought = await venue.call("POST", "/order", body(owner=venue.key.key))
    assert bought[0] == 200
    venue.pass_ms(5_000)
    sale = {"side": "SELL", "makerAmount": "2000000", "takerAmount": "1000000"}
    for restriction, may_sell, closed_only in (("closed_only", True, True), ("banned", False, False)):
        restricted = {"wallet": WALLET, "restriction": restriction}
        assert await venue.post("control", "/_sim/restrict", restricted) == (
            200,
            {"restriction": restriction},
        )
        status, answer = await venue.call("POST", "/order", body(owner=venue.key.key, salt=5))
        assert status == 400
        assert answer["error"].startswith(f"'{WALLET}' address ")
        status, _answer = await venue.call("POST", "/order", body(owner=venue.key.key, salt=6, **sale))
        assert (status == 200) is may_sell
        assert await venue.call("GET", "/auth/ban-status/closed-only") == (200, {"closed_only": closed_only})
    assert (await venue.post("control", "/_sim/restrict", {"wallet": WALLET, "restriction": "x"}))[0] == 400


async def test_an_account_without_approvals_may_move_nothing_until_it_has_them(venue):
    await venue.fund("100", approved=False)
    shown = {"asset_type": "COLLATERAL", "signature_type": "3"}
    for approved in (False, True):
        await venue.fund("0", approved=approved)
        await venue.fund("0")
        _status, balance = await venue.call("GET", "/balance-allowance", **shown)
        assert all((amount != "0") is approved for amount in balance["allowances"].values())
        status, answer = await venue.call("POST", "/order", body(owner=venue.key.key))
        assert (status == 200) is approved
        assert approved or "allowance is not enough" in answer["error"]


async def test_a_restart_ends_by_itself_after_its_post_only_phase(venue):
    await venue.fund("100")
    restart = {"mode": "restarting", "seconds": 2, "post_only_seconds": 3}
    assert await venue.post("control", "/_sim/mode", restart) == (200, {"mode": "restarting"})
    modes = []
    for _ in range(6):
        venue.pass_ms(1_000)
        modes.append(venue.exchange.mode)
    assert modes == ["restarting", *["post_only"] * 3, "normal", "normal"]


async def test_a_tick_changes_when_told_and_an_order_off_it_is_refused(venue):
    await venue.fund("100")
    assert (await venue.post("control", "/_sim/tick", {"slug": WINDOW.slug, "tick": "0.1"}))[0] == 200
    assert (await venue.get("clob", "/tick-size", token_id=UP))[1] == {"minimum_tick_size": 0.1}
    status, answer = await venue.call("POST", "/order", body(owner=venue.key.key))
    assert status == 400
    assert "breaks minimum tick size rule: 0.1" in answer["error"]
    assert (await venue.post("control", "/_sim/tick", {"slug": WINDOW.slug, "tick": "0.3"}))[0] == 400


@pytest.mark.parametrize(("name", "placed"), [("duplicated", 1), ("duplicated_not_placed", 0)])
async def test_a_duplicate_is_answered_whether_or_not_it_was_placed(venue, name, placed):
    await venue.fund("100")
    order = body(owner=venue.key.key)
    venue.faults.arm(name)
    error = f"order {venue.exchange.identity(order)} is invalid. Duplicated."
    assert await venue.call("POST", "/order", order) == (400, {"error": error})
    assert len((await venue.truth())["trades"]) == placed


async def test_an_option_a_fault_does_not_have_is_refused_and_one_it_has_is_shown(venue):
    assert (await venue.post("control", "/_sim/faults", {"name": "http_425", "text": "x"}))[0] == 400
    assert (await venue.post("control", "/_sim/faults", {"name": "refused", "text": "volcano"}))[0] == 400
    assert (await venue.post("control", "/_sim/faults", {"name": "partly_filled", "share": "2"}))[0] == 400
    status, shown = await venue.post("control", "/_sim/faults", {"name": "refused", "text": "nonce"})
    assert (status, shown["text"]) == (200, "nonce")
