"""The Data API: late, in numbers, never in contradiction with the chain."""

import pytest_asyncio

from tests.unit.services.simulator.venue_clients import Clients
from tests.unit.services.simulator.venue_world import UP, WALLET, WINDOW, body


@pytest_asyncio.fixture
async def venue():
    clients = Clients()
    await clients.fund()
    await clients.call("POST", "/order", body(owner=clients.key.key))
    yield clients
    await clients.close()


async def rows(venue, path, **query):
    status, answer = await venue.get("data", path, user=WALLET, **query)
    assert status == 200
    return answer["data"]


async def test_nothing_is_there_before_the_lag_is_over(venue):
    assert await rows(venue, "/v2/positions") == []
    venue.pass_ms(1_000)
    (position,) = await rows(venue, "/v2/positions")
    assert (position["token_id"], position["current_size"], position["status"]) == (UP, 9.999999, "OPEN")
    assert (position["entry_cost_usdc"], position["entry_fees_usdc"], position["avg_price"]) == (
        5.199999,
        0.17472,
        0.519999,
    )


async def test_dust_is_hidden_unless_asked_for(venue):
    venue.pass_ms(3_000)
    sale = body(owner=venue.key.key, side="SELL", makerAmount="9950000", takerAmount="4975000")
    assert (await venue.call("POST", "/order", sale))[1]["status"] == "matched"
    venue.pass_ms(1_000)
    assert await rows(venue, "/v2/positions") == []
    (dust,) = await rows(venue, "/v2/positions", filter_type="TOKENS", filter_amount="0")
    assert dust["current_size"] == 0.049999


async def test_a_resolved_position_is_redeemable_until_it_is_redeemed(venue):
    venue.pass_ms(125_000)
    (position,) = await rows(venue, "/v2/positions", status="REDEEMABLE")
    assert (position["redeemable"], position["current_price"]) == (True, 1.0)
    assert await rows(venue, "/v2/positions", status="REDEEMABLE_LOST") == []
    exchange = venue.exchange
    wallet = exchange.wallets[WALLET]
    market = exchange.listing.by_slug[WINDOW.slug]
    exchange.settlement.redeem(wallet, market, venue.clock.now_ms, "0x" + "aa" * 32)
    venue.pass_ms(1_000)
    assert await rows(venue, "/v2/positions") == []
    (closed,) = await rows(venue, "/v2/positions", status="CLOSED")
    assert (closed["current_size"], closed["realized_pnl"]) == (0.0, 4.8)
    assert [row["type"] for row in await rows(venue, "/v2/activity")] == ["REDEEM", "TRADE"]
    assert [row["usdc_size"] for row in await rows(venue, "/v2/activity", type="REDEEM")] == [9.999999]


async def test_trades_and_value(venue):
    venue.pass_ms(1_000)
    (trade,) = await rows(venue, "/v2/trades", condition_id=WINDOW.condition_id)
    assert (trade["side"], trade["size"], trade["price"], trade["outcome_index"]) == (
        "BUY",
        9.999999,
        0.52,
        0,
    )
    assert await rows(venue, "/v2/trades", condition="0x12") == []
    assert (await rows(venue, "/v2/value"))["value"] > 5
    assert (await venue.get("data", "/v2/positions"))[0] == 400


async def test_a_failed_trade_was_never_there():
    venue = Clients()
    await venue.fund()
    venue.faults.arm("match_then_failed")
    await venue.call("POST", "/order", body(owner=venue.key.key))
    venue.pass_ms(5_000)
    assert await rows(venue, "/v2/trades") == []
    await venue.close()


async def test_a_resolution_pays_by_outcome(venue):
    path = "/v2/resolutions"
    assert (await venue.get("data", path, condition_id=WINDOW.condition_id))[1] == {"data": []}
    venue.pass_ms(125_000)
    _status, answer = await venue.get("data", path, condition_id=WINDOW.condition_id)
    (resolution,) = answer["data"]
    assert (resolution["status"], resolution["payouts"], resolution["resolved_at"]) == (
        "resolved",
        [1_000_000, 0],
        "2026-10-05T23:02:04Z",
    )
    assert (await venue.get("data", path, condition_id="0x" + "1" * 62))[0] == 400
    assert (await venue.get("data", path))[0] == 400


async def test_long_lists_have_cursors(venue):
    await venue.call("POST", "/order", body(owner=venue.key.key, salt=2))
    venue.pass_ms(1_000)
    _status, first = await venue.get("data", "/v2/trades", user=WALLET, limit="1")
    assert first["pagination"]["has_more"]
    _status, second = await venue.get(
        "data", "/v2/trades", user=WALLET, limit="1", cursor=first["pagination"]["next_cursor"]
    )
    assert (second["pagination"]["has_more"], second["pagination"]["next_cursor"]) == (False, None)
    assert first["data"] != second["data"] or len(second["data"]) == 1
