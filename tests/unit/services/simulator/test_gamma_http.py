"""Gamma's markets and events over the life of a window."""

import json
from dataclasses import replace

import pytest_asyncio

from services.simulator.world import SimWindow
from tests.unit.services.simulator.venue_clients import Clients
from tests.unit.services.simulator.venue_world import DOWN, FIRST, START_MS, UP, WINDOW, SmallWorld

SECOND = replace(
    WINDOW,
    slug="btc-updown-15m-1791241320",
    condition_id="0x" + "e3" * 32,
    up_token=str(int(UP) + (1 << 210)),
    down_token=str(int(DOWN) + (1 << 210)),
    opens_at_ms=WINDOW.closes_at_ms,
    closes_at_ms=WINDOW.closes_at_ms + 60_000,
    resolves_at_ms=WINDOW.resolves_at_ms + 60_000,
)


class TwoWindows(SmallWorld):
    def windows_until(self, _at_ms: int) -> list[SimWindow]:
        return [WINDOW, SECOND]


@pytest_asyncio.fixture
async def gamma():
    clients = Clients(TwoWindows([FIRST]))
    yield clients
    await clients.close()


async def one(gamma, path, **query):
    status, found = await gamma.get("gamma", path, **query)
    assert status == 200
    return found


async def test_a_market_has_the_fields_of_the_real_one(gamma):
    (market,) = await one(gamma, "/markets", slug=WINDOW.slug)
    assert json.loads(market["outcomes"]) == ["Up", "Down"]
    assert json.loads(market["clobTokenIds"]) == [UP, DOWN]
    assert json.loads(market["outcomePrices"]) == ["0.51", "0.49"]
    assert market["conditionId"] == WINDOW.condition_id
    assert market["eventStartTime"] == "2026-10-05T23:01:00Z"
    assert market["endDate"] == "2026-10-05T23:02:00Z"
    assert market["startDate"] == "2026-10-05T23:00:00Z"
    assert market["feeSchedule"] == {"exponent": 1, "rate": 0.07, "takerOnly": True, "rebateRate": 0.2}
    assert (market["feeType"], market["feesEnabled"], market["version"]) == ("crypto_fees_v2", True, "v1")
    assert (market["orderPriceMinTickSize"], market["orderMinSize"], market["negRisk"]) == (0.01, 5, False)
    assert market["cryptoMarketConfig"]["twapLookbackSeconds"] == 4
    assert (market["bestBid"], market["bestAsk"], market["spread"]) == (0.5, 0.52, 0.02)


async def test_a_closed_market_hides_from_lists_but_not_from_its_own_path(gamma):
    gamma.pass_ms(125_000)
    assert await one(gamma, "/markets", slug=WINDOW.slug) == []
    (closed,) = await one(gamma, "/markets", slug=WINDOW.slug, closed="true")
    assert (closed["closed"], closed["umaResolutionStatus"], json.loads(closed["outcomePrices"])) == (
        True,
        "resolved",
        ["1", "0"],
    )
    assert closed["closedTime"] == "2026-10-05T23:02:04Z"
    assert (await one(gamma, f"/markets/slug/{WINDOW.slug}"))["id"] == closed["id"]
    assert (await one(gamma, f"/markets/{closed['id']}"))["slug"] == WINDOW.slug
    assert (await gamma.get("gamma", "/markets/slug/none"))[0] == 404


async def test_prices_are_nearly_certain_between_the_close_and_the_resolution(gamma):
    gamma.pass_ms(121_000)
    market = await one(gamma, f"/markets/slug/{WINDOW.slug}")
    assert json.loads(market["outcomePrices"]) == ["0.9995", "0.0005"]
    assert (market["closed"], market["acceptingOrders"]) == (False, False)


async def test_the_price_to_beat_appears_at_the_open_and_the_final_one_at_the_end(gamma):
    path = f"/events/slug/{WINDOW.slug}"
    assert "eventMetadata" not in await one(gamma, path)
    gamma.pass_ms(60_000)
    assert (await one(gamma, path))["eventMetadata"] == {"priceToBeat": 61000.5}
    gamma.pass_ms(60_000)
    assert (await one(gamma, path))["eventMetadata"] == {"priceToBeat": 61000.5, "finalPrice": 61010.25}


async def test_keyset_lists_go_page_by_page_through_a_series(gamma):
    first = await one(gamma, "/events/keyset", series_id="10192", closed="false", limit="1")
    assert [event["slug"] for event in first["events"]] == [WINDOW.slug]
    second = await one(
        gamma, "/events/keyset", series_id="10192", limit="1", after_cursor=first["next_cursor"]
    )
    assert [event["slug"] for event in second["events"]] == [SECOND.slug]
    assert "next_cursor" not in second
    assert (await one(gamma, "/events/keyset", series_id="1"))["events"] == []


async def test_keyset_lists_filter_by_condition_token_and_end(gamma):
    async def slugs(**query):
        return [market["slug"] for market in (await one(gamma, "/markets/keyset", **query))["markets"]]

    assert await slugs(condition_ids=SECOND.condition_id) == [SECOND.slug]
    assert await slugs(clob_token_ids=f"{DOWN},12") == [WINDOW.slug]
    assert await slugs(end_date_min="2026-10-05T23:02:30Z") == [SECOND.slug]
    assert await slugs(order="endDate", ascending="false") == [SECOND.slug, WINDOW.slug]


async def test_the_series_is_found_by_slug_and_id(gamma):
    (series,) = await one(gamma, "/series", slug="btc-up-or-down-15m")
    assert (series["id"], series["title"]) == ("10192", "Bitcoin Up or Down 15m")
    assert (await one(gamma, "/series/10192"))["slug"] == "btc-up-or-down-15m"
    assert START_MS
