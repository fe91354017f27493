from datetime import timedelta
from decimal import Decimal

import httpx
import pytest
import respx

from shared.venue import account_reading
from shared.venue.account_reading import AccountReading
from shared.venue.refusals import Malformed, ReadFailed
from shared.venue.urls import VenueUrls
from tests.unit.shared.venue.test_parse import ORDER, TRADE
from tests.unit.shared.venue.venue_values import CONDITION, CREDENTIALS, FEE, NOW, TOKEN, V2_TOKEN, SetClock

URLS = VenueUrls(clob="https://clob.test")


@pytest.fixture
def clob():
    with respx.mock(base_url=URLS.clob) as router:
        yield router


def account():
    return AccountReading(URLS, CREDENTIALS, SetClock(), signature_type=3)


def page(rows, cursor="LTE="):
    return httpx.Response(200, json={"limit": 100, "count": len(rows), "next_cursor": cursor, "data": rows})


async def test_an_order_that_is_not_there_is_none_which_proves_nothing(clob):
    clob.get("/data/order/0x1").mock(return_value=httpx.Response(200, json=ORDER))
    clob.get("/data/order/0x2").mock(return_value=httpx.Response(404, json={"error": "order not found"}))
    clob.get("/data/order/0x3").mock(return_value=httpx.Response(200, text="null"))
    clob.get("/data/order/0x4").mock(return_value=httpx.Response(200, json=ORDER))
    async with account() as reads:
        assert (await reads.order("0x1")).shares == 100
        assert await reads.order("0x2") is None
        assert await reads.order("0x3") is None
        with pytest.raises(Malformed):
            await reads.order("0x4")


async def test_a_failed_read_is_never_an_empty_list(clob):
    clob.get("/data/orders").mock(return_value=httpx.Response(401, json={"error": "Unauthorized"}))
    clob.get("/data/trades").mock(return_value=httpx.Response(200, json={"error": "?"}))
    async with account() as reads:
        with pytest.raises(ReadFailed):
            await reads.open_orders()
        with pytest.raises(Malformed):
            await reads.trades(CONDITION, FEE)


async def test_trades_are_read_to_the_last_page_oldest_first(clob):
    route = clob.get("/data/trades").mock(
        side_effect=[
            page([TRADE | {"id": "newer", "match_time": "1791241900"}], "MTAw"),
            page([TRADE, TRADE | {"id": "theirs", "trader_side": "MAKER", "owner": "other"}]),
        ]
    )
    async with account() as reads:
        found = await reads.trades(CONDITION, FEE, since=NOW)
    assert [trade.trade_id for trade in found] == ["trade-1", "newer"]
    first, second = (dict(call.request.url.params) for call in route.calls)
    assert first == {"market": CONDITION, "after": str(int(NOW.timestamp()) - 1)}
    assert second["next_cursor"] == "MTAw"


async def test_one_trade_that_cannot_be_read_fails_the_whole_reading(clob):
    clob.get("/data/trades").mock(return_value=page([TRADE, TRADE | {"size": "many"}]))
    async with account() as reads:
        with pytest.raises(Malformed):
            await reads.trades(CONDITION, FEE, since=NOW - timedelta(hours=1))


async def test_pages_without_end_are_an_error(clob, monkeypatch):
    monkeypatch.setattr(account_reading, "PAGES_MAX", 3)
    route = clob.get("/data/orders").mock(return_value=page([ORDER], "again"))
    async with account() as reads:
        with pytest.raises(ReadFailed, match="pages"):
            await reads.open_orders(CONDITION)
    assert route.call_count == 3


async def test_balances_are_read_by_wallet_kind_and_asset_and_refreshed_on_request(clob):
    update = clob.get("/balance-allowance/update").mock(return_value=httpx.Response(200, json=""))
    balance = clob.get("/balance-allowance").mock(
        side_effect=[httpx.Response(200, json={"balance": units}) for units in ("1000001", "2180000", "5")]
    )
    async with account() as reads:
        found = await reads.balances([TOKEN, V2_TOKEN], refresh=True)
    assert found.collateral == Decimal("1.000001")
    assert found.tokens == {TOKEN: Decimal("2.18"), V2_TOKEN: Decimal("0.000005")}
    asked = [dict(call.request.url.params) for call in balance.calls]
    assert asked == [
        {"asset_type": "COLLATERAL", "signature_type": "3"},
        {"asset_type": "CONDITIONAL", "token_id": TOKEN, "signature_type": "3"},
        {"asset_type": "CONDITIONAL-V2", "token_id": V2_TOKEN, "signature_type": "3"},
    ]
    assert update.call_count == 3
