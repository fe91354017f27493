from datetime import timedelta
from decimal import Decimal

import httpx
import pytest
import respx

from shared.domain.windows import Side
from shared.venue import reading
from shared.venue.reading import PublicReading
from shared.venue.refusals import Malformed, ReadFailed
from shared.venue.urls import VenueUrls
from tests.unit.shared.venue.test_parse import BOOK
from tests.unit.shared.venue.test_parse_markets import CLOB_MARKET, LONG_MARKET, MARKET
from tests.unit.shared.venue.venue_values import CONDITION, NOW, TOKEN, WALLET, SetClock

URLS = VenueUrls(clob="https://clob.test", gamma="https://gamma.test", data="https://data.test")
SERIES = {"id": "77", "slug": "sol-up-or-down-15m"}


def plain(value):
    """JSON knows no Decimal."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return float(value) if isinstance(value, Decimal) else value


def event(slug=MARKET["slug"], **changes):
    return plain(
        {
            "slug": slug,
            "series": [{"id": "10192", "slug": "btc-up-or-down-15m"}],
            "endDate": MARKET["endDate"],
            "markets": [MARKET | {"slug": slug} | changes],
        }
    )


@pytest.fixture
def gamma():
    with respx.mock(base_url=URLS.gamma) as router:
        yield router


async def discover(instrument="BTC", interval="15m", **options):
    async with PublicReading(URLS, SetClock()) as public:
        return await public.discover(instrument, interval, NOW, **options)


async def test_a_series_is_listed_page_by_page_soonest_first(gamma):
    later = event("btc-updown-15m-2", eventStartTime="2026-10-05T23:15:00Z", endDate="2026-10-05T23:30:00Z")
    over = event("btc-updown-15m-0", eventStartTime="2026-10-05T22:45:00Z", endDate="2026-10-05T23:00:00Z")
    route = gamma.get("/events/keyset").mock(
        side_effect=[
            httpx.Response(200, json={"events": [later, over], "next_cursor": "c2"}),
            httpx.Response(200, json={"events": [event()]}),
        ]
    )
    found = await discover()
    assert [listing.window_id for listing in found.listings] == [MARKET["slug"], "btc-updown-15m-2"]
    assert found.refused == ()
    assert dict(route.calls[0].request.url.params)["series_id"] == "10192"
    assert dict(route.calls[1].request.url.params)["after_cursor"] == "c2"


async def test_a_refused_market_is_named_and_does_not_hide_the_others(gamma):
    events = [
        event("bad-1", version="v9"),
        event("bad-2", feeType="x"),
        event(),
        {"slug": "bad-3", "markets": [{}]},
        7,
    ]
    gamma.get("/events/keyset").mock(return_value=httpx.Response(200, json={"events": events}))
    found = await discover()
    assert [listing.window_id for listing in found.listings] == [MARKET["slug"]]
    assert [(refused.window_id, refused.kind) for refused in found.refused] == [
        ("bad-1", "UnknownVersion"),
        ("bad-2", "UnknownFeeType"),
        ("bad-3", "Malformed"),
        ("?", "Malformed"),
    ]


async def test_looking_only_some_way_ahead_stops_at_the_page_that_reaches_beyond(gamma):
    route = gamma.get("/events/keyset").mock(
        return_value=httpx.Response(200, json={"events": [event()], "next_cursor": "c"})
    )
    await discover(ahead=timedelta(minutes=5))
    assert route.call_count == 1


async def test_a_list_without_end_is_an_error(gamma, monkeypatch):
    monkeypatch.setattr(reading, "PAGES_MAX", 3)
    gamma.get("/events/keyset").mock(
        return_value=httpx.Response(200, json={"events": [], "next_cursor": "c"})
    )
    with pytest.raises(ReadFailed, match="pages"):
        await discover()


async def test_an_unknown_series_is_found_by_its_slug_once(gamma):
    series = gamma.get("/series", params={"slug": "sol-up-or-down-15m"}).mock(
        return_value=httpx.Response(200, json=[SERIES])
    )
    page = gamma.get("/events/keyset").mock(return_value=httpx.Response(200, json={"events": []}))
    async with PublicReading(URLS, SetClock()) as public:
        for _ in range(2):
            await public.discover("SOL", "15m", NOW)
    assert series.call_count == 1
    assert dict(page.calls[0].request.url.params)["series_id"] == "77"


async def test_where_the_venue_lists_no_series_the_slug_rule_finds_the_markets(gamma):
    gamma.get("/series").mock(return_value=httpx.Response(200, json=[]))
    slug = "xrp-updown-5m-1791241200"  # the five minutes NOW lies in
    gamma.get(f"/events/slug/{slug}").mock(return_value=httpx.Response(200, json=event(slug)))
    gamma.get(path__regex=r"/events/slug/xrp-updown-5m-.*").mock(return_value=httpx.Response(404, json={}))
    found = await discover("XRP", "5m")
    assert [listing.window_id for listing in found.listings] == [slug]


async def test_a_list_that_is_no_list_is_refused_not_taken_for_an_empty_one(gamma):
    gamma.get("/events/keyset").mock(return_value=httpx.Response(200, json={"error": "?"}))
    with pytest.raises(Malformed):
        await discover()
    gamma.get("/series").mock(return_value=httpx.Response(200, json={"error": "?"}))
    with pytest.raises(Malformed):
        await discover("XRP")


async def test_a_market_is_found_by_slug_or_not_at_all(gamma):
    gamma.get(f"/events/slug/{MARKET['slug']}").mock(return_value=httpx.Response(200, json=event()))
    gamma.get("/events/slug/other").mock(return_value=httpx.Response(200, json=event()))
    gamma.get("/events/slug/none").mock(return_value=httpx.Response(404, json={}))
    async with PublicReading(URLS, SetClock()) as public:
        assert (await public.market(MARKET["slug"])).condition_id == CONDITION
        assert await public.market("none") is None
        with pytest.raises(Malformed):
            await public.market("other")


async def test_the_clob_is_asked_for_book_market_and_time():
    with respx.mock(base_url=URLS.clob) as clob:
        clob.get("/book", params={"token_id": TOKEN}).mock(return_value=httpx.Response(200, json=BOOK))
        clob.get("/book", params={"token_id": "5"}).mock(
            return_value=httpx.Response(404, json={"error": "No orderbook"})
        )
        clob.get("/book", params={"token_id": "6"}).mock(return_value=httpx.Response(200, json=BOOK))
        clob.get(f"/clob-markets/{CONDITION}").mock(return_value=httpx.Response(200, json=plain(CLOB_MARKET)))
        clob.get("/clob-markets/0x").mock(return_value=httpx.Response(404, json={}))
        clob.get("/time").mock(
            side_effect=[
                httpx.Response(200, text=str(int(NOW.timestamp()) + 2)),
                httpx.Response(200, text='"x"'),
            ]
        )
        async with PublicReading(URLS, SetClock()) as public:
            assert (await public.book(TOKEN)).best_bid == Decimal("0.95")
            assert await public.book("5") is None
            with pytest.raises(Malformed):
                await public.book("6")
            assert (await public.clob_market(CONDITION)).accepting
            assert await public.clob_market("0x") is None
            assert (await public.venue_time()).offset_s == Decimal("2.5")
            with pytest.raises(Malformed):
                await public.venue_time()


async def test_every_source_of_a_resolution_is_asked_and_one_that_fails_is_named(gamma):
    row = {
        "condition_id": CONDITION,
        "status": "resolved",
        "payouts": [1000000, 0],
        "resolved_at": "2026-10-05T23:15:53Z",
    }
    gamma.get(f"/events/slug/{MARKET['slug']}").mock(return_value=httpx.Response(400, text="no"))
    with respx.mock(base_url=URLS.clob) as clob, respx.mock(base_url=URLS.data) as data:
        clob.get(f"/markets/{CONDITION}").mock(return_value=httpx.Response(200, json=LONG_MARKET))
        data.get("/v2/resolutions").mock(return_value=httpx.Response(200, json={"data": [row]}))
        async with PublicReading(URLS, SetClock()) as public:
            found = await public.resolutions(MARKET["slug"], CONDITION)
    assert [(resolution.source, resolution.winner) for resolution in found.found] == [
        ("data", Side.UP),
        ("clob", Side.UP),
    ]
    assert [failed.partition(":")[0] for failed in found.failed] == ["gamma"]


async def test_the_data_api_is_read_to_its_last_page_dust_included():
    def row(size):
        return {"condition_id": CONDITION, "token_id": TOKEN, "current_size": size, "status": "OPEN"}

    pages = [
        {"data": [row(1.5)], "pagination": {"has_more": True, "next_cursor": "c"}},
        {
            "data": [row(0.01), row(2) | {"condition_id": "0xother"}],
            "pagination": {"has_more": False, "next_cursor": None},
        },
    ]
    with respx.mock(base_url=URLS.data) as data:
        route = data.get("/v2/positions").mock(side_effect=[httpx.Response(200, json=page) for page in pages])
        async with PublicReading(URLS, SetClock()) as public:
            found = await public.positions(WALLET, CONDITION)
    assert [position.shares for position in found] == [Decimal("1.5"), Decimal("0.01")]
    first, second = (dict(call.request.url.params) for call in route.calls)
    assert (first["filter_type"], first["filter_amount"], second["cursor"]) == ("TOKENS", "0", "c")


async def test_activity_is_told_oldest_first():
    rows = [
        {"type": "REDEEM", "timestamp": 1791241900, "usdc_size": 2},
        {"type": "DEPOSIT", "timestamp": 1791241800, "usdc_size": 1},
    ]
    with respx.mock(base_url=URLS.data) as data:
        data.get("/v2/activity").mock(return_value=httpx.Response(200, json={"data": rows}))
        async with PublicReading(URLS, SetClock()) as public:
            assert [activity.kind for activity in await public.activity(WALLET, NOW)] == ["DEPOSIT", "REDEEM"]
