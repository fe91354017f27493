"""The private REST surface: who is let in, and what is answered."""

import json

import pytest
import pytest_asyncio

from tests.unit.services.simulator.venue_clients import Clients
from tests.unit.services.simulator.venue_world import DOWN, START_MS, UP, WALLET, WINDOW, body


@pytest_asyncio.fixture
async def venue():
    clients = Clients()
    await clients.fund()
    yield clients
    await clients.close()


def order(venue, **changes):
    return body(owner=venue.key.key, **changes)


def resting(venue, salt=1, **changes):
    amounts = {"makerAmount": "2000000", "takerAmount": "10000000"}
    return order(venue, salt=salt, orderType="GTC", **amounts | changes)


async def test_a_posted_order_is_answered_and_read_back(venue):
    status, answer = await venue.call("POST", "/order", order(venue))
    assert (status, answer["status"]) == (200, "matched")
    status, shown = await venue.call("GET", f"/data/order/{answer['orderID']}")
    assert status == 200
    assert {
        key: shown[key]
        for key in ("status", "side", "price", "size_matched", "order_type", "outcome", "created_at")
    } == {
        "status": "MATCHED",
        "side": "BUY",
        "price": "0.52",
        "size_matched": "9.999999",
        "order_type": "FAK",
        "outcome": "Up",
        "created_at": START_MS // 1000,
    }
    _status, page = await venue.call("GET", "/data/trades", market=WINDOW.condition_id)
    assert (page["count"], page["next_cursor"]) == (1, "LTE=")
    assert page["data"][0]["status"] == "TRADE_STATUS_MATCHED"
    assert page["data"][0]["id"] == answer["tradeIDs"][0]


@pytest.mark.parametrize(
    "spoilt", ["POLY_ADDRESS", "POLY_API_KEY", "POLY_PASSPHRASE", "POLY_TIMESTAMP", "POLY_SIGNATURE"]
)
async def test_every_header_must_fit(venue, spoilt):
    headers = venue.headers("GET", "/data/orders", b"")
    assert (await (await venue.client("clob")).get("/data/orders", headers=headers)).status == 200
    headers[spoilt] += "1"
    response = await (await venue.client("clob")).get("/data/orders", headers=headers)
    assert (response.status, await response.json()) == (401, {"error": "Unauthorized/Invalid api key"})


async def test_the_signature_covers_the_exact_bytes_and_not_the_query(venue):
    data = json.dumps(order(venue)).encode()
    headers = venue.headers("POST", "/order", data)
    client = await venue.client("clob")
    assert (await client.post("/order", data=data.replace(b" ", b""), headers=headers)).status == 401
    assert (await client.post("/order", data=data, headers=headers)).status == 200
    assert (await venue.call("GET", "/data/orders", market="0x12"))[0] == 200


async def test_a_stranger_sees_neither_orders_nor_trades_of_others(venue):
    _status, answer = await venue.call("POST", "/order", order(venue))
    venue.key = venue.login("0x" + "ab" * 20)
    assert (await venue.call("GET", f"/data/order/{answer['orderID']}"))[0] == 404
    assert (await venue.call("GET", "/data/trades"))[1]["data"] == []


async def test_an_old_timestamp_is_refused(venue):
    headers = venue.headers("GET", "/data/orders", b"")
    venue.clock.now_ms += 301_000
    assert (await (await venue.client("clob")).get("/data/orders", headers=headers)).status == 401


async def test_a_login_that_nobody_signed_gets_no_key(venue):
    response = await (await venue.client("clob")).post(
        "/auth/api-key", headers={"POLY_ADDRESS": "0x12", "POLY_NONCE": "0"}
    )
    assert (response.status, await response.json()) == (401, {"error": "Invalid L1 Request headers"})


async def test_a_batch_answers_leg_by_leg(venue):
    legs = [resting(venue), resting(venue), resting(venue, salt=2, makerAmount="1950000")]
    status, answers = await venue.call("POST", "/orders", legs)
    assert status == 200
    assert [answer["status"] for answer in answers] == ["live", "", ""]
    assert "Duplicated" in answers[1]["errorMsg"]
    assert "tick size" in answers[2]["errorMsg"]
    many = [resting(venue, salt=salt) for salt in range(3, 19)]
    assert await venue.call("POST", "/orders", many) == (
        400,
        {"error": "Too many orders in payload: 16, max allowed: 15"},
    )


async def test_cancels_say_what_was_cancelled_and_why_not(venue):
    posted = [
        (await venue.call("POST", "/order", resting(venue, salt=salt)))[1]["orderID"] for salt in (1, 2, 3)
    ]
    assert (await venue.call("GET", "/data/orders"))[1]["count"] == 3
    assert (await venue.call("DELETE", "/order", {"orderID": posted[0]}))[1] == {
        "canceled": [posted[0]],
        "not_canceled": {},
    }
    _status, answer = await venue.call("DELETE", "/orders", [posted[0], posted[1], "0x12"])
    assert answer == {
        "canceled": [posted[1]],
        "not_canceled": {posted[0]: "Order already canceled", "0x12": "Order not found or already canceled"},
    }
    assert (await venue.call("DELETE", "/cancel-market-orders", {"asset_id": DOWN}))[1]["canceled"] == []
    assert (await venue.call("DELETE", "/cancel-market-orders", {"market": WINDOW.condition_id}))[1][
        "canceled"
    ] == [posted[2]]
    assert (await venue.call("DELETE", "/cancel-all"))[1] == {"canceled": [], "not_canceled": {}}


async def test_balances_are_seen_as_the_venue_sees_them(venue):
    async def balance(**query):
        return (await venue.call("GET", "/balance-allowance", **query))[1]["balance"]

    cash = {"asset_type": "COLLATERAL", "signature_type": "3"}
    up = {"asset_type": "CONDITIONAL", "token_id": UP, "signature_type": "3"}
    assert await balance(**cash) == "100000000"
    assert await balance(**cash | {"signature_type": "0"}) == "0"
    await venue.call("POST", "/order", order(venue))
    assert (await balance(**cash), await balance(**up)) == ("100000000", "0")
    venue.pass_ms(5_000)
    assert (await balance(**cash), await balance(**up)) == (str(100_000_000 - 5_199_999 - 174_720), "9999999")
    venue.exchange.wallets[next(iter(venue.exchange.wallets))].deposit(7)
    assert await balance(**cash) == str(100_000_000 - 5_199_999 - 174_720)
    await venue.call("GET", "/balance-allowance/update", **cash)
    assert await balance(**cash) == str(100_000_007 - 5_199_999 - 174_720)


async def test_resting_orders_score_and_nobody_is_notified(venue):
    _status, posted = await venue.call("POST", "/order", resting(venue))
    assert await venue.call("GET", "/order-scoring", order_id=posted["orderID"]) == (200, {"scoring": True})
    assert await venue.call("POST", "/orders-scoring", [posted["orderID"], "0x12"]) == (
        200,
        {posted["orderID"]: True, "0x12": False},
    )
    assert (await venue.call("POST", "/orders-scoring", {}))[0] == 400
    assert await venue.call("GET", "/notifications") == (200, [])
    assert await venue.call("DELETE", "/notifications", ids="1") == (200, "OK")


async def test_heartbeats_of_either_age_keep_orders_and_a_restart_takes_none(venue):
    await venue.call("POST", "/order", resting(venue))
    assert await venue.call("POST", "/heartbeats") == (200, {"status": "ok"})
    venue.pass_ms(9_000)
    status, second = await venue.call("POST", "/v1/heartbeats", {"heartbeat_id": ""})
    assert status == 200
    assert await venue.call("POST", "/v1/heartbeats", {"heartbeat_id": "old"}) == (
        400,
        {"error_msg": "Invalid Heartbeat ID", "heartbeat_id": second["heartbeat_id"]},
    )
    venue.pass_ms(9_000)
    assert (await venue.call("GET", "/data/orders"))[1]["count"] == 1
    venue.exchange.mode = "restarting"
    assert (await venue.call("POST", "/v1/heartbeats", {"heartbeat_id": second["heartbeat_id"]}))[0] == 425
    assert (await venue.call("POST", "/heartbeats"))[0] == 425
    venue.pass_ms(1_000)
    assert (await venue.call("GET", "/data/orders"))[1]["count"] == 0


async def test_long_lists_come_in_pages(venue):
    for salt in range(101):
        status, _answer = await venue.call("POST", "/order", resting(venue, salt=salt, makerAmount="100000"))
        assert status == 200
    _status, first = await venue.call("GET", "/data/orders")
    _status, second = await venue.call("GET", "/data/orders", next_cursor=first["next_cursor"])
    assert (first["count"], second["count"], second["next_cursor"]) == (100, 1, "LTE=")


@pytest.mark.parametrize(
    ("mode", "status", "may_post_only", "may_cancel"),
    [
        ("restarting", 425, False, False),
        ("post_only", 503, True, True),
        ("cancel_only", 503, False, True),
        ("disabled", 503, False, True),
    ],
)
async def test_restricted_modes(venue, mode, status, may_post_only, may_cancel):
    assert (await venue.post("control", "/_sim/mode", {"mode": mode}))[0] == 200
    assert (await venue.call("POST", "/order", order(venue)))[0] == status
    assert (await venue.call("POST", "/order", resting(venue, postOnly=True)))[0] == (
        200 if may_post_only else status
    )
    assert (await venue.call("DELETE", "/order", {"orderID": "0x12"}))[0] == (200 if may_cancel else 425)
    assert (await venue.truth())["trades"] == []


async def test_a_post_only_phase_says_how_long(venue):
    venue.exchange.mode = "post_only"
    response = await venue.raw("POST", "/order", order(venue))
    assert response.headers["Retry-After"] == "79"
    assert await response.json() == {
        "error": "post-only mode: only post-only orders and cancels are allowed",
        "code": "post_only_mode",
        "retry_after_seconds": 79,
    }


async def test_a_body_that_is_no_json_is_an_invalid_payload(venue):
    client = await venue.client("clob")
    response = await client.post("/order", data=b"{", headers=venue.headers("POST", "/order", b"{"))
    assert (response.status, await response.json()) == (400, {"error": "Invalid order payload"})
    assert await venue.call("POST", "/order", {"order": 1}) == (400, {"error": "Invalid order payload"})


async def test_a_stale_balance_is_as_old_as_the_fault_says_and_only_for_its_wallet(venue):
    async def shown(asset_type, token=""):
        query = {"asset_type": asset_type, "token_id": token, "signature_type": "3"}
        return (await venue.call("GET", "/balance-allowance", **query))[1]["balance"]

    await venue.call("POST", "/order", order(venue))
    venue.pass_ms(5_000)
    spent = await shown("COLLATERAL")
    assert (int(spent) < 100_000_000, await shown("CONDITIONAL", UP)) == (True, "9999999")
    venue.faults.arm("stale_balance", match={"wallet": "0x" + "ab" * 20}, times=-1)
    assert await shown("COLLATERAL") == spent
    venue.faults.arm("stale_balance", match={"wallet": WALLET}, times=-1, seconds=4.5)
    await venue.call("GET", "/balance-allowance/update", asset_type="COLLATERAL", signature_type="3")
    assert await shown("COLLATERAL") == "100000000"
    assert await shown("CONDITIONAL", UP) == "0"
    venue.pass_ms(10_000)
    assert (await shown("COLLATERAL"), await shown("CONDITIONAL", UP)) == (spent, "9999999")
