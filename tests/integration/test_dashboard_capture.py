"""What the page says of the recording, read from a real Book as the dashboard's own role."""

from datetime import timedelta
from decimal import Decimal

import pytest
import pytest_asyncio
from psycopg.types.json import Jsonb

from services.dashboard.api.capture.schemas import (
    CaptureScreen,
    SnapshotScreen,
    Waiting,
    WindowShare,
)
from services.dashboard.api.queries import read_overview
from services.dashboard.api.schemas import Overview
from shared.db.engine import Database
from tests.factories import CLOCK, DOWN_TOKEN, UP_TOKEN, Desk

pytestmark = pytest.mark.integration
D = Decimal


@pytest_asyncio.fixture
async def database(db) -> Database:
    return await db(role="dashboard")


async def look(database: Database) -> Overview:
    return await database.retry_read(read_overview)


async def capture(database: Database) -> CaptureScreen:
    return (await look(database)).capture


def say(desk: Desk, instance: str = "one", **details: object) -> None:
    """Beat as a collector that says this of itself."""
    desk.do("feed_collector", "SELECT beat('feed_collector', %s, true, %s)", instance, Jsonb(details))


def silence(
    desk: Desk, feed: str, *, begun_s: float, ended_s: float | None = None, symbol: str = "BTC"
) -> None:
    """A gap that began and ended so many seconds ago."""
    now = CLOCK.now()
    ended = None if ended_s is None else now - timedelta(seconds=ended_s)
    desk.do(
        "feed_collector",
        "INSERT INTO feed_gaps (feed, symbol, started_at, ended_at) VALUES (%s, %s, %s, %s)",
        feed,
        symbol,
        now - timedelta(seconds=begun_s),
        ended,
    )


async def test_a_feed_shows_its_age_its_rate_and_what_was_wrong_with_it(desk: Desk, database: Database):
    for row in (
        ("binance_spot", "BTC", 3, 2, 1),
        ("binance_spot", "*", 0, 0, 4),
        ("chainlink", "BTC", 0, 0, 0),
    ):
        desk.do(
            "feed_collector",
            "INSERT INTO feed_status (feed, symbol, duplicates, out_of_order, malformed, ticks, last_price, last_received_at)"
            " VALUES (%s, %s, %s, %s, %s, 9, 60000.5, clock_timestamp() - interval '3 seconds')",
            *row,
        )
    say(desk, per_second={"binance_spot/BTC": "12.40"})
    feeds = {each.feed: each for each in (await look(database)).feeds}
    assert feeds.keys() == {"binance_spot", "chainlink"}, (
        "what cannot be told by symbol is no feed of its own"
    )
    binance = feeds["binance_spot"]
    assert (binance.duplicates, binance.out_of_order, binance.malformed, binance.ticks) == (3, 2, 5, 9)
    assert (binance.price, binance.per_second, binance.stale) == (D("60000.5"), D("12.40"), False)
    assert binance.age_s is not None
    assert 3 <= binance.age_s < 60
    assert feeds["chainlink"].per_second is None


async def test_what_a_collector_said_long_ago_is_not_shown_as_now(desk: Desk, database: Database):
    desk.do("feed_collector", "INSERT INTO feed_status (feed, symbol) VALUES ('binance_spot', 'BTC')")
    say(desk, per_second={"binance_spot/BTC": "1"}, snapshots_wanted={"BTC": 2}, ticks_waiting=5)
    desk.owner.execute("UPDATE heartbeats SET at = clock_timestamp() - interval '11 seconds'")
    found = await look(database)
    assert found.feeds[0].per_second is None
    assert (found.capture.waiting, found.capture.snapshots, found.capture.pools) == (None, [], [])


async def test_collectors_that_share_the_symbols_are_told_together(desk: Desk, database: Database):
    say(
        desk,
        "one",
        per_second={"order_book_snapshots/BTC": "3.90"},
        snapshots_wanted={"BTC": 4},
        ticks_dropped=1,
        ticks_waiting=2,
    )
    say(desk, "two", snapshots_wanted={"ETH": 2}, ticks_dropped=10, ticks_waiting=20)
    desk.do("feed_collector", "INSERT INTO failed_batches (batch_id, batch_data) VALUES ('b', '[1, 2, 3]')")
    desk.do(
        "feed_collector",
        "INSERT INTO failed_batches (batch_id, batch_data, replayed_at) VALUES ('c', '[]', now())",
    )
    found = await capture(database)
    assert found.snapshots == [SnapshotScreen("BTC", D("3.90"), 4), SnapshotScreen("ETH", None, 2)]
    assert found.waiting == Waiting(queued=22, dropped=11, put_aside=1)


async def test_a_windows_shares_stand_by_feed_oldest_first_and_say_which_were_tainted(
    desk: Desk, database: Database
):
    for feed in ("binance_spot", "chainlink"):
        desk.do("feed_collector", "INSERT INTO feed_status (feed, symbol) VALUES (%s, 'BTC')", feed)
    first, second = (desk.window(opens_in_s=-opened, closes_in_s=30 - opened) for opened in (90, 60))
    for window, feed, received in (
        (second, "binance_spot", 99),
        (first, "binance_spot", 100),
        (first, "chainlink", 7),
    ):
        desk.do(
            "feed_collector",
            "INSERT INTO feed_completeness (window_id, feed, symbol, received, expected) VALUES (%s, %s, 'BTC', %s, 100)",
            window,
            feed,
            received,
        )
    desk.do("feed_collector", "UPDATE windows SET tainted = true WHERE window_id = %s", second)
    feeds = {each.feed: each for each in (await look(database)).feeds}
    assert feeds["binance_spot"].windows == [
        WindowShare(first, 100, 100, tainted=False),
        WindowShare(second, 99, 100, tainted=True),
    ]
    assert feeds["chainlink"].windows == [WindowShare(first, 7, 100, tainted=False)]


async def test_a_gap_is_shown_while_it_lasts_and_counted_for_a_day(desk: Desk, database: Database):
    silence(desk, "binance_spot", begun_s=12)
    silence(desk, "chainlink", begun_s=400, ended_s=300)
    silence(desk, "pyth", begun_s=90_100, ended_s=90_000)
    found = await capture(database)
    (gap,) = found.gaps
    assert (gap.feed, gap.symbol) == ("binance_spot", "BTC")
    assert 12 <= gap.lasts_s < 60
    assert (found.gaps_of_day, found.longest_gap_s) == (2, 100)


async def test_tainted_windows_are_counted_with_the_feeds_whose_silence_it_was(
    desk: Desk, database: Database
):
    tainted = desk.window(opens_in_s=-120, closes_in_s=-60)
    desk.window(opens_in_s=-60, closes_in_s=30)
    desk.do("feed_collector", "UPDATE windows SET tainted = true WHERE window_id = %s", tainted)
    silence(desk, "binance_spot", begun_s=115, ended_s=100)
    silence(desk, "binance_spot", begun_s=95, ended_s=80)
    silence(desk, "chainlink", begun_s=70, ended_s=50)
    silence(desk, "pyth", begun_s=50, ended_s=40)
    silence(desk, "polymarket", begun_s=115, ended_s=70, symbol="ETH")
    found = await capture(database)
    assert (found.windows_of_day, found.tainted_of_day) == (2, 1)
    assert [(each.feed, each.windows) for each in found.tainted_by] == [("binance_spot", 1), ("chainlink", 1)]


async def test_a_clock_is_off_when_it_is_more_than_a_second_off_whatever_its_error(
    desk: Desk, database: Database
):
    for source, offset, error in (("clob", 1_400, 500), ("chainlink", -1_501, 500)):
        desk.do(
            "feed_collector",
            "INSERT INTO clock_offsets (source, offset_ms, error_ms) VALUES (%s, %s, %s)",
            source,
            offset,
            error,
        )
    clocks = {each.source: each for each in (await capture(database)).clocks}
    assert {source: each.off for source, each in clocks.items()} == {"clob": False, "chainlink": True}
    assert (clocks["chainlink"].offset_ms, clocks["chainlink"].error_ms) == (-1501, 500)


@pytest.mark.parametrize(
    ("ours", "payout", "counted"),
    [
        ("UP", (1, 0), "agreed"),
        ("DOWN", (0, 1), "agreed"),
        ("DOWN", (1, 0), "differed"),
        ("UNDECIDED", (1, 0), "undecided"),
        ("UP", (D("0.5"), D("0.5")), "undecided"),
        (None, (1, 0), "unjudged"),
    ],
)
async def test_our_direction_is_set_beside_the_venues(desk: Desk, database: Database, ours, payout, counted):
    window = desk.window(opens_in_s=-60, closes_in_s=-1)
    desk.do("reconciler", "SELECT settle(%s, %s, %s, 'gamma', now(), %s)", window, *payout, ours)
    found = (await capture(database)).settled
    counts = {
        name: getattr(found, name) for name in ("agreed", "differed", "undecided", "unjudged", "unresolved")
    }
    assert counts == {name: int(name == counted) for name in counts}
    assert found.differing == ([window] if counted == "differed" else [])


async def test_a_window_without_its_ids_is_named_from_a_minute_before_it_opens(
    desk: Desk, database: Database
):
    missing = desk.window(opens_in_s=30, closes_in_s=90, state="DISCOVERED", condition_id=None)
    tokenless = desk.window(opens_in_s=-5, closes_in_s=90, state="DISCOVERED", up_token=None)
    desk.window(opens_in_s=600, closes_in_s=660, state="DISCOVERED", condition_id=None)
    desk.window(opens_in_s=-90, closes_in_s=-1, state="DISCOVERED", condition_id=None)
    desk.window(opens_in_s=30, closes_in_s=90, state="DISCOVERED")
    assert (await capture(database)).without_ids == [tokenless, missing]


async def test_token_ids_count_as_validated_while_the_venues_word_is_fresh_and_the_same(
    desk: Desk, database: Database
):
    def read(window: str, up_token: str, age_s: float) -> None:
        desk.do(
            "execution",
            "INSERT INTO market_facts (window_id, read_at, accepting, tick, min_size, fee_rate, fee_exponent, fee_taker_only,"
            " neg_risk, version, up_token, down_token) VALUES (%s, %s, true, 0.01, 5, 0.07, 1, true, false, 'v1', %s, %s)",
            window,
            CLOCK.now() - timedelta(seconds=age_s),
            up_token,
            DOWN_TOKEN,
        )

    same, old, another = desk.window(), desk.window(), desk.window()
    desk.window()  # nobody has read its market yet
    over = desk.window(closes_in_s=-1)
    read(same, UP_TOKEN, 4)
    read(old, UP_TOKEN, 31)
    read(another, "3" * 70, 1)
    read(over, "3" * 70, 1)
    found = (await capture(database)).tokens
    assert (found.due, found.validated, found.differing) == (4, 1, [another])
    assert found.oldest_s is not None
    assert 31 <= found.oldest_s < 60


async def test_the_connections_in_use_are_those_of_the_last_beat(desk: Desk, database: Database):
    for service, used in (("execution", 1), ("reconciler", 4)):
        desk.do(
            service, "SELECT beat(%s, 'one', true, %s)", service, Jsonb({"pool_used": used, "pool_size": 4})
        )
    found = await capture(database)
    assert [(each.service, each.used, each.size) for each in found.pools] == [
        ("execution", 1, 4),
        ("reconciler", 4, 4),
    ]
    assert 0 < found.server_used < found.server_size


async def test_a_book_that_recorded_nothing_yet_has_a_page(desk: Desk, database: Database):
    desk.owner.execute("DELETE FROM heartbeats")
    found = await look(database)
    assert found.feeds == []
    assert found.capture.waiting is None
    assert (found.capture.gaps_of_day, found.capture.longest_gap_s, found.capture.windows_of_day) == (
        0,
        None,
        0,
    )
