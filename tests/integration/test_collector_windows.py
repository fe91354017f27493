"""Windows, books, feeds and closes as the collector writes them, as its own role (C5, C6, C9, C11)."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from services.feed_collector import actions
from services.feed_collector.decide import ListingChange
from shared.db.engine import Database
from shared.db.queries import books as book_queries
from shared.db.queries.books import BookRow, SnapshotRow
from shared.db.queries.closes import CloseSample
from shared.db.queries.feeds import FeedRow, OracleChange
from shared.db.queries.windows import ResolutionRow
from shared.domain.books import Book, Level
from shared.domain.ids import ConditionId, Instrument, TokenId, WindowId
from shared.domain.ticks import Source
from shared.domain.windows import FeeSchedule, SettlementRule, Window, WindowState
from shared.runtime.clock import SystemClock
from tests.factories import Desk

pytestmark = pytest.mark.integration
BTC = Instrument("BTC")
CLOCK = SystemClock()
UP, DOWN = TokenId("11"), TokenId("22")
D = Decimal


def window(*, opens_in_s: float = 10, length_s: float = 30, **fields: Any) -> Window:
    opens_at = CLOCK.now() + timedelta(seconds=opens_in_s)
    standard = Window(
        window_id=WindowId("btc-updown-15m-1"),
        instrument=BTC,
        series="btc-up-or-down-15m",
        interval_s=int(length_s),
        opens_at=opens_at,
        closes_at=opens_at + timedelta(seconds=length_s),
        state=WindowState.DISCOVERED,
        rule=SettlementRule.CHAINLINK_TWAP,
        lookback_s=2,
        condition_id=ConditionId("0xc"),
        up_token=UP,
        down_token=DOWN,
        tick=D("0.01"),
        min_size=D(5),
        fee=FeeSchedule(D("0.07"), 1),
        accepting=True,
    )
    return replace(standard, **fields)


@pytest_asyncio.fixture
async def database(db) -> Database:
    return await db(role="feed_collector")


@pytest.fixture
def heard(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection that listens for what windows do."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("LISTEN window_changed")
        connection.execute("LISTEN market_moved")
        yield connection


def payloads(connection: psycopg.Connection) -> list[str]:
    """What was notified so far: notifications come in the order of their commits, so our own comes last."""
    connection.execute("SELECT pg_notify('window_changed', 'end')")
    found = itertools.takewhile(lambda note: note.payload != "end", connection.notifies(timeout=10))
    return [note.payload for note in found]


def states(desk: Desk) -> dict[str, str]:
    return {row["window_id"]: row["state"] for row in desk.all("SELECT window_id, state FROM windows")}


async def test_a_window_is_written_before_it_opens_and_comes_back_as_it_was(database, heard):
    listed = window()
    assert (await actions.save_listings(database, [listed])).changes == {listed.window_id: ListingChange.NEW}
    assert (await actions.save_listings(database, [listed])).changes == {listed.window_id: ListingChange.SAME}
    assert await actions.read_windows(database, CLOCK.now()) == [listed]
    assert payloads(heard) == [listed.window_id]


async def test_a_thirty_second_window_opens_and_closes_at_its_own_moments(database, desk, heard):
    listed = window()
    await actions.save_listings(database, [listed])
    for at, moved, state in (
        (listed.opens_at - timedelta(milliseconds=1), False, "DISCOVERED"),
        (listed.opens_at, True, "OPEN"),
        (listed.closes_at - timedelta(milliseconds=1), False, "OPEN"),
        (listed.closes_at, True, "CLOSED"),
        (listed.closes_at, False, "CLOSED"),
    ):
        current = await actions.read_windows(database, at)
        assert bool(await actions.move_windows(database, current, at)) is moved
        assert states(desk) == {listed.window_id: state}
    assert payloads(heard) == [listed.window_id] * 3


async def test_a_window_that_passed_while_nobody_ran_is_opened_and_closed(database, desk):
    listed = window()
    await actions.save_listings(database, [listed])
    later = listed.closes_at + timedelta(hours=3)
    await actions.move_windows(database, await actions.read_windows(database, later), later)
    assert states(desk) == {listed.window_id: "CLOSED"}


@pytest.mark.parametrize("missing", ["condition_id", "up_token", "down_token"])
async def test_a_window_without_its_ids_never_opens_until_they_appear(database, desk, missing):
    listed = window(**{missing: None})
    await actions.save_listings(database, [listed])
    at = listed.opens_at
    assert await actions.move_windows(database, await actions.read_windows(database, at), at) == []
    await actions.save_listings(database, [window(opens_at=listed.opens_at, closes_at=listed.closes_at)])
    assert await actions.move_windows(database, await actions.read_windows(database, at), at) == [
        listed.window_id
    ]
    stored = desk.one("SELECT * FROM windows")
    assert None not in (stored["condition_id"], stored["up_token"], stored["down_token"])


async def test_ids_that_change_are_refused_and_a_person_is_told(database, desk):
    """A market we watch cannot become another one: it takes no more orders (C5)."""
    listed = window()
    await actions.save_listings(database, [listed])
    for _ in range(2):
        saved = await actions.save_listings(database, [replace(listed, up_token=TokenId("33"))])
        assert saved.changes == {listed.window_id: ListingChange.IDS_CHANGED}
    stored = desk.one("SELECT up_token, accepting FROM windows")
    assert (stored["up_token"], stored["accepting"]) == (UP, False)
    (alert,) = desk.all("SELECT kind, severity, details FROM alerts WHERE kind = 'window_ids_changed'")
    assert (alert["severity"], alert["details"]["up_token"]) == ("CRITICAL", "33")


async def test_the_venues_strike_replaces_ours_and_nothing_replaces_the_venues(database, desk):
    listed = window()
    await actions.save_listings(database, [listed])
    await actions.move_windows(database, [listed], listed.opens_at)
    assert await actions.strikes_wanted(database) == [listed.window_id]
    for strike, source, changed in (
        ("100", "own:chainlink_twap", True),
        ("101", "own:chainlink_twap", False),
        ("102", "venue", True),
        ("103", "own:chainlink_twap", False),
        ("104", "venue", False),
    ):
        assert await actions.set_strike(database, listed.window_id, D(strike), source=source) is changed
    stored = desk.one("SELECT strike, strike_source FROM windows")
    assert (stored["strike"], stored["strike_source"]) == (D(102), "venue")
    assert await actions.strikes_wanted(database) == []


def book(bid: str, *, at_s: float = 0, continuous: bool = True) -> BookRow:
    at = CLOCK.now() + timedelta(seconds=at_s)
    kept = Book(
        UP, (Level(D(bid), D("10.5")),), (Level(D("0.6"), D(3)), Level(D("0.7"), D(1))), at, at, continuous
    )
    return BookRow(WindowId("btc-updown-15m-1"), kept, at)


async def test_the_newest_book_is_kept_exactly_and_an_older_one_never_replaces_it(database, desk):
    await actions.write_books(database, [book("0.40", at_s=1)])
    newest = book("0.41", at_s=2)
    await actions.write_books(database, [newest])
    await actions.write_books(database, [book("0.39", at_s=0)])
    async with database.begin() as tx:
        assert await book_queries.find(tx, [UP, DOWN]) == {UP: newest.book}
    assert desk.one("SELECT updates FROM books_now")["updates"] == 2


async def test_a_new_collector_doubts_every_book_it_did_not_keep(database, desk):
    await actions.write_books(database, [book("0.40")])
    await actions.start(database)
    assert desk.one("SELECT continuous FROM books_now")["continuous"] is False


async def test_a_book_is_forgotten_ten_minutes_after_its_window(database):
    await actions.save_listings(database, [window(opens_in_s=-700, length_s=30)])
    await actions.write_books(database, [book("0.40")])
    assert await actions.forget_books(database) == 1
    await actions.write_books(database, [replace(book("0.40"), window_id=WindowId("another"))])
    assert await actions.forget_books(database) == 0


async def test_moves_are_announced_by_window(database, heard):
    await actions.announce(database, frozenset({WindowId("b"), WindowId("a")}))
    assert payloads(heard) == ["a,b"]


async def test_history_of_books_and_oracle_is_appended(database, desk):
    now = CLOCK.now()
    row = SnapshotRow(now, BTC, UP, D("0.4"), None, None, None, D("4.20"), D(0), D("4.20"), D(0))
    await actions.write_snapshots(database, [row, row])
    change = OracleChange(now, BTC, Source.CHAINLINK, D(100), D(101), D(1), 250)
    await actions.write_oracle_changes(database, [change])
    await actions.write_oracle_changes(database, [change])  # a COMMIT that was not answered may have happened
    assert desk.one("SELECT count(*) AS n, max(bid_depth_100) AS d FROM order_book_snapshots") == {
        "n": 2,
        "d": D("4.20"),
    }
    (stored,) = desk.all("SELECT * FROM oracle_updates")
    assert (stored["timestamp"], stored["symbol"], stored["oracle_source"]) == (now, "BTC", "chainlink")
    assert (stored["old_price"], stored["new_price"], stored["price_change_pct"]) == (D(100), D(101), 1)
    assert stored["time_since_last_update_ms"] == 250
    first = OracleChange(now, BTC, Source.CHAINLINK_TWAP, None, D(99), None, None)
    await actions.write_oracle_changes(database, [first])
    assert (
        desk.one("SELECT * FROM oracle_updates WHERE oracle_source = 'chainlink_twap'")["old_price"] is None
    )


async def test_counters_of_a_feed_add_up_over_writings_and_what_is_unknown_keeps_what_was_known(database):
    now = CLOCK.now()
    first = FeedRow(Source.BINANCE, BTC, now, now, None, 5, 1, 3, 2, D("-3.5"), "77", D(60000))
    await actions.write_feeds(database, [first], now)
    await actions.write_feeds(
        database, [FeedRow(Source.BINANCE, BTC, ticks=2, duplicates=1, out_of_order=4)], now
    )
    (stored,) = await actions.start(database)
    assert (stored.ticks, stored.duplicates, stored.out_of_order, stored.malformed) == (7, 2, 7, 2)
    assert (stored.last_trade_id, stored.last_price, stored.offset_ms) == ("77", D(60000), D("-3.5"))
    assert stored.last_received_at == now


async def test_a_silence_is_one_gap_from_its_first_moment_and_taints_the_windows_it_falls_into(
    database, desk
):
    now = CLOCK.now()
    running = window(opens_in_s=-10)
    ahead = window(opens_in_s=60, window_id=WindowId("ahead"))
    await actions.save_listings(database, [running, ahead])
    silent = FeedRow(
        Source.BINANCE,
        BTC,
        last_received_at=now - timedelta(seconds=6),
        stale_since=now - timedelta(seconds=6),
    )
    assert (await actions.write_feeds(database, [silent], now)).begun == ((Source.BINANCE, BTC),)
    assert (await actions.write_feeds(database, [silent], now)).begun == ()
    tainted = {row["window_id"]: row["tainted"] for row in desk.all("SELECT window_id, tainted FROM windows")}
    assert tainted == {running.window_id: True, "ahead": False}
    back = FeedRow(Source.BINANCE, BTC, last_received_at=now)
    assert (await actions.write_feeds(database, [back], now)).ended == ((Source.BINANCE, BTC),)
    (gap,) = await actions.gaps_of_day(database, now)
    assert (gap.started_at, gap.ended_at) == (now - timedelta(seconds=6), now)
    again = await actions.write_feeds(database, [silent], now + timedelta(seconds=9))
    assert again.begun == ((Source.BINANCE, BTC),)


def sample(seconds: int, *, up: str | None = "0.97", strike: str | None = None) -> CloseSample:
    price = D(60000 + seconds)
    return CloseSample(
        WindowId("btc-updown-15m-1"), BTC, CLOCK.now(), seconds, None if strike is None else D(strike),
        price, price + 1, price + 2, price + 3, None if up is None else D(up), None, None if up is None else "UP",
        None if up is None else D(up),
    )  # fmt: skip


async def test_a_close_is_one_row_filled_sample_by_sample(database, desk):
    for one in (sample(10, up="0.60"), sample(5, strike="59999"), sample(1, up=None), sample(0)):
        await actions.write_close_sample(database, one)
    await actions.write_close_sample(database, sample(10, up="0.10"))
    row = desk.one("SELECT * FROM window_close_events")
    assert row["samples"] == 5
    assert (row["oracle_price_10s_before"], row["market_up_price_10s"]) == (D(60010), D("0.6"))
    assert (row["oracle_price_60s_before"], row["market_up_price_1s"]) == (None, None)
    assert (row["oracle_price_at_close"], row["oracle_average_at_close"], row["binance_price_at_close"]) == (
        D(60000),
        D(60001),
        D(60002),
    )
    assert row["pyth_price_at_close"] == D(60003)
    assert (row["strike_price"], row["market_consensus_direction"]) == (D(59999), "UP")


def told(source: str, up: str) -> ResolutionRow:
    return ResolutionRow(source, D(up), 1 - D(up), CLOCK.now())


async def closed_window(database: Database) -> Window:
    listed = window(opens_in_s=-40)
    await actions.save_listings(database, [listed])
    now = CLOCK.now()
    await actions.move_windows(database, await actions.read_windows(database, now), now)
    return listed


async def test_a_result_is_recorded_once_a_source_with_its_surprise_and_wakes_who_settles(
    database, desk, heard
):
    listed = await closed_window(database)
    await actions.write_close_sample(database, sample(1, up="0.97"))
    assert [one.window_id for one in await actions.unresolved(database, CLOCK.now())] == [listed.window_id]
    assert await actions.save_resolutions(database, listed, []) == []
    payloads(heard)
    assert await actions.save_resolutions(database, listed, [told("data", "0")]) == ["data"]
    assert payloads(heard) == [listed.window_id]
    assert await actions.save_resolutions(database, listed, [told("data", "0"), told("gamma", "0")]) == [
        "gamma"
    ]
    row = desk.one("SELECT * FROM window_close_events")
    assert (row["resolved_direction"], row["resolution_source"], row["surprise_resolution"]) == (
        "DOWN",
        "data",
        True,
    )
    assert (row["resolution_payout_up"], row["resolution_attempts"]) == (D(0), 3)
    await actions.save_resolutions(database, listed, [told("clob", "0")])
    assert await actions.unresolved(database, CLOCK.now()) == [], "all three have spoken"
    assert states(desk) == {listed.window_id: "CLOSED"}, "settling is the reconciler's"


async def test_a_result_is_recorded_although_nobody_watched_the_close(database, desk):
    listed = await closed_window(database)
    await actions.save_resolutions(database, listed, [told("gamma", "0.5")])
    row = desk.one("SELECT * FROM window_close_events")
    assert (row["resolved_direction"], row["surprise_resolution"], row["samples"]) == ("SPLIT", None, 0)


async def test_sources_that_disagree_make_an_alert_and_no_result(database, desk):
    listed = await closed_window(database)
    await actions.save_resolutions(database, listed, [told("data", "1"), told("gamma", "0")])
    assert desk.all("SELECT 1 FROM window_close_events WHERE resolution_payout_up IS NOT NULL") == []
    (alert,) = desk.all("SELECT details FROM alerts WHERE kind = 'resolutions_disagree'")
    assert alert["details"] == {"said": {"data": "1", "gamma": "0"}}


async def test_an_open_breaker_is_seen_whichever_account_and_mode(database, desk):
    assert await actions.open_breakers(database) == []
    desk.do("risk_monitor", "SELECT trip_breaker(%s, 'PAPER', 'MANUAL_TRIP')", desk.account)
    assert await actions.open_breakers(database) == [("desk", "PAPER")]


async def test_the_collector_beats_with_its_fitness(database, desk):
    await actions.beat(database, instance="one", healthy=False, details={"primary_feed": "silent"})
    row = desk.one(
        "SELECT healthy, details FROM heartbeats WHERE instance = 'one' AND service = 'feed_collector'"
    )
    assert (row["healthy"], row["details"]["primary_feed"]) == (False, "silent")
