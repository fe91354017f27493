"""The public REST surface in the venue's shapes."""

import hashlib
import json

import pytest_asyncio

from tests.unit.services.simulator.venue_clients import Clients
from tests.unit.services.simulator.venue_world import DOWN, FIRST, START_MS, UP, WINDOW, SmallWorld, ladder


@pytest_asyncio.fixture
async def venue():
    clients = Clients()
    yield clients
    await clients.close()


async def test_time_health_and_version(venue):
    assert await venue.get("clob", "/ok") == (200, "OK")
    assert await venue.get("clob", "/time") == (200, START_MS // 1000)
    assert await venue.get("clob", "/version") == (200, 2)


async def test_a_book_has_its_best_levels_last_and_hashes_itself(venue):
    status, book = await venue.get("clob", "/book", token_id=UP)
    assert status == 200
    assert book["bids"] == [{"price": "0.49", "size": "200"}, {"price": "0.5", "size": "100"}]
    assert book["asks"] == [{"price": "0.53", "size": "200"}, {"price": "0.52", "size": "100"}]
    assert (book["min_order_size"], book["tick_size"], book["neg_risk"], book["last_trade_price"]) == (
        "5",
        "0.01",
        False,
        "",
    )
    plain = json.dumps({**book, "hash": ""}, separators=(",", ":"))
    assert book["hash"] == hashlib.sha1(plain.encode()).hexdigest()


async def test_the_other_token_is_the_mirror(venue):
    _status, book = await venue.get("clob", "/book", token_id=DOWN)
    assert book["bids"] == [{"price": "0.47", "size": "200"}, {"price": "0.48", "size": "100"}]
    assert book["asks"][-1] == {"price": "0.5", "size": "100"}


async def test_an_unknown_token_has_no_book(venue):
    assert await venue.get("clob", "/book", token_id="12") == (
        404,
        {"error": "No orderbook exists for the requested token id"},
    )


async def test_small_reads(venue):
    async def read(path, **query):
        return (await venue.get("clob", path, token_id=UP, **query))[1]

    assert await read("/price", side="BUY") == {"price": "0.5"}
    assert await read("/price", side="SELL") == {"price": "0.52"}
    assert await read("/midpoint") == {"mid": "0.51"}
    assert await read("/spread") == {"spread": "0.02"}
    assert await read("/last-trade-price") == {"price": "0.5", "side": ""}
    assert await read("/tick-size") == {"minimum_tick_size": 0.01}
    assert await read("/neg-risk") == {"neg_risk": False}
    assert await read("/fee-rate") == {"base_fee": 1000}


async def test_reads_of_several_tokens(venue):
    wanted = [{"token_id": UP}, {"token_id": DOWN}, {"token_id": "12"}]
    _status, books = await venue.post("clob", "/books", wanted)
    assert [book["asset_id"] for book in books] == [UP, DOWN]
    _status, prices = await venue.post(
        "clob", "/prices", [{"token_id": UP, "side": side} for side in ("BUY", "SELL")]
    )
    assert prices == {UP: {"BUY": "0.5", "SELL": "0.52"}}
    assert (await venue.post("clob", "/midpoints", wanted))[1] == {UP: "0.51", DOWN: "0.49"}


async def test_past_prices_are_told_once_a_second_and_mirrored():
    venue = Clients(
        SmallWorld(
            [FIRST, ladder(START_MS + 500, "0.6x5", "0.7x5"), ladder(START_MS + 1_500, "0.4x5", "0.5x5")]
        )
    )
    venue.pass_ms(2_000)
    first_s = START_MS // 1000
    _status, up = await venue.get("clob", "/prices-history", market=UP)
    assert up == {"history": [{"t": first_s, "p": 0.51}, {"t": first_s + 1, "p": 0.45}]}
    _status, down = await venue.get("clob", "/prices-history", market=DOWN, startTs=str(first_s + 1))
    assert down == {"history": [{"t": first_s + 1, "p": 0.55}]}
    assert (await venue.get("clob", "/prices-history", market=UP, endTs="soon"))[0] == 400
    assert (await venue.get("clob", "/prices-history", market="12"))[0] == 404
    await venue.close()


async def test_a_market_is_found_by_token_the_smaller_id_first(venue):
    smaller, larger = sorted((UP, DOWN), key=int)
    assert await venue.get("clob", f"/markets-by-token/{DOWN}") == (
        200,
        {"condition_id": WINDOW.condition_id, "primary_token_id": smaller, "secondary_token_id": larger},
    )
    assert (await venue.get("clob", "/markets-by-token/12"))[0] == 404


async def test_the_compact_market_carries_fee_tick_and_tokens(venue):
    _status, market = await venue.get("clob", f"/clob-markets/{WINDOW.condition_id}")
    assert market["t"] == [{"t": UP, "o": "Up"}, {"t": DOWN, "o": "Down"}]
    assert (market["fd"], market["mts"], market["mos"], market["ao"]) == (
        {"r": 0.07, "e": 1, "to": True},
        0.01,
        5,
        True,
    )
    assert "v" not in market
    assert (await venue.get("clob", "/clob-markets/0x12"))[0] == 404


async def test_the_long_market_names_the_winner_once_it_is_resolved(venue):
    path = f"/markets/{WINDOW.condition_id}"
    _status, market = await venue.get("clob", path)
    assert [token["winner"] for token in market["tokens"]] == [False, False]
    assert (market["accepting_orders"], market["closed"]) == (True, False)
    venue.pass_ms(125_000)
    _status, market = await venue.get("clob", path)
    assert [(token["outcome"], token["winner"], token["price"]) for token in market["tokens"]] == [
        ("Up", True, 1.0),
        ("Down", False, 0.0),
    ]
    assert (market["accepting_orders"], market["closed"]) == (False, True)
