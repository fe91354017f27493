"""What a backtest is given of recorded windows: all of them, marked, and nothing from before they opened (FM13, FM14, S5)."""

from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
import pytest_asyncio

from services.feed_collector.retiring.days import archive_day
from shared.db.engine import Database
from shared.db.queries.feeds import Gap
from shared.db.queries.recorded import RecordedWindow
from shared.db.tick_reader import DayLost
from shared.db.window_reader import list_windows, read_window_books, read_window_ticks
from shared.domain.ids import Instrument
from shared.domain.ticks import Source
from shared.domain.windows import Window
from tests.factories import CLOCK, DOWN_TOKEN, UP_TOKEN, Desk

pytestmark = pytest.mark.integration
BTC = Instrument("BTC")
D = Decimal
HALF = D("0.50")


@pytest_asyncio.fixture
async def database(db) -> Database:
    return await db(role="backtesting")


@pytest.fixture
def opened() -> datetime:
    """When the window of these tests opened: on one day with its close."""
    day = (CLOCK.now() - timedelta(days=1)).date()
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def second(opened: datetime, seconds: float) -> datetime:
    return opened + timedelta(seconds=seconds)


@pytest.fixture
def window(desk: Desk, opened: datetime) -> str:
    return desk.window(opens_at=opened, closes_at=second(opened, 60), state="CLOSED")


def record(desk: Desk, *rows: tuple[object, ...]) -> None:
    """Store ticks: received, source, price, said at, token."""
    desk.owner.execute("SELECT ensure_partitions(1, current_date - 2)")
    with (
        psycopg.connect(desk.owner_url) as connection,
        connection.cursor() as cursor,
        cursor.copy(
            "COPY price_ticks (timestamp, source, price, source_timestamp, token_id, symbol) FROM STDIN"
        ) as copy,
    ):
        for row in rows:
            copy.write_row((*row, "BTC") if len(row) == 5 else row)


def snapshot(desk: Desk, at: datetime, bid: Decimal, token: str = UP_TOKEN) -> None:
    desk.do(
        "feed_collector",
        "INSERT INTO order_book_snapshots (timestamp, symbol, token_id, best_bid) VALUES (%s, 'BTC', %s, %s)",
        at,
        token,
        bid,
    )


async def the_window(database: Database, opened: datetime) -> Window:
    (found,) = await list_windows(database, since=opened, until=second(opened, 60))
    return found.window


async def prices(database: Database, window: Window, **options: timedelta) -> list[Decimal]:
    async with aclosing(read_window_ticks(database, window, **options)) as pages:
        return [stored.tick.price async for page in pages for stored in page]


async def bids(database: Database, window: Window) -> list[Decimal | None]:
    async with aclosing(read_window_books(database, window)) as pages:
        return [stored.row.best_bid async for page in pages for stored in page]


async def test_fm14_no_price_or_book_of_a_token_from_before_its_window_opened_is_read(
    desk: Desk, database: Database, opened: datetime, window: str
):
    """Until a window opens its tokens rest at one half, and nobody can trade there."""
    record(
        desk,
        (second(opened, -1), "polymarket", HALF, second(opened, -1.1), UP_TOKEN),
        (second(opened, 0.1), "polymarket", HALF, second(opened, -0.1), UP_TOKEN),  # said before, heard after
        (second(opened, -0.1), "polymarket", HALF, second(opened, 0.1), DOWN_TOKEN),  # their clock is ahead
        (second(opened, 0), "polymarket", D("0.61"), second(opened, 0), UP_TOKEN),
        (second(opened, 59.9), "polymarket", D("0.39"), None, DOWN_TOKEN),
        (second(opened, 60), "polymarket", D("0.99"), second(opened, 59), UP_TOKEN),
        (second(opened, 5), "polymarket", D("0.70"), second(opened, 5), "3" * 70),  # another window's token
    )
    for at, bid, token in (
        (second(opened, -0.001), HALF, UP_TOKEN),
        (second(opened, 0), D("0.60"), UP_TOKEN),
        (second(opened, 1), D("0.38"), DOWN_TOKEN),
        (second(opened, 2), D("0.70"), "3" * 70),
        (second(opened, 60), D("0.98"), UP_TOKEN),
    ):
        snapshot(desk, at, bid, token)
    found = await the_window(database, opened)
    assert await prices(database, found) == [D("0.61"), D("0.39")]
    assert await prices(database, found, lead=timedelta(seconds=30)) == [D("0.61"), D("0.39")]
    assert await bids(database, found) == [D("0.60"), D("0.38")]
    assert found.window_id == window


@pytest.mark.usefixtures("window")
async def test_fm14_the_underlying_begins_at_the_opening_unless_a_lead_is_asked_for(
    desk: Desk, database: Database, opened: datetime
):
    record(
        desk,
        *(
            (second(opened, at), "chainlink", D(100 + at), second(opened, at - 1), None)
            for at in (-31, -30, -1, 0, 59)
        ),
        (second(opened, 1), "chainlink", D(1), None, None, "ETH"),
    )
    found = await the_window(database, opened)
    assert await prices(database, found) == [100, 159]
    assert await prices(database, found, lead=timedelta(seconds=30)) == [70, 99, 100, 159]


def by_id(found: list[RecordedWindow]) -> dict[str, RecordedWindow]:
    return {each.window.window_id: each for each in found}


async def test_fm13_every_window_is_listed_and_those_a_silence_fell_into_are_marked_with_it(
    desk: Desk, database: Database, opened: datetime, window: str
):
    """Leaving out what was not recorded well leaves out the wild moments: a backtest sees them, and what was missing."""
    tainted = desk.window(opens_at=second(opened, 60), closes_at=second(opened, 120), state="CLOSED")
    unresolved = desk.window(opens_at=second(opened, 120), closes_at=second(opened, 180), state="UNRESOLVED")
    never_opened = desk.window(
        opens_at=second(opened, 180), closes_at=second(opened, 240), state="DISCOVERED", condition_id=None
    )
    other = desk.window(opens_at=opened, closes_at=second(opened, 60), state="CLOSED", instrument="ETH")
    desk.window(opens_at=second(opened, 240), closes_at=second(opened, 301), state="CLOSED")
    desk.do("feed_collector", "UPDATE windows SET tainted = true WHERE window_id = %s", tainted)
    desk.do("reconciler", "SELECT settle(%s, 1, 0, 'gamma', %s, 'UP')", window, opened)
    gaps = [
        (Source.BINANCE, second(opened, 110.5), second(opened, 120)),
        (Source.CHAINLINK, second(opened, 119), None),
    ]
    for feed, begun, ended in (*gaps, (Source.PYTH, second(opened, 30), second(opened, 60))):
        desk.do(
            "feed_collector",
            "INSERT INTO feed_gaps (feed, symbol, started_at, ended_at) VALUES (%s, 'BTC', %s, %s)",
            feed.value,
            begun,
            ended,
        )
    desk.do(
        "feed_collector",
        "INSERT INTO feed_completeness (window_id, feed, symbol, received, expected) VALUES (%s, 'binance_spot', 'BTC', 7, 90)",
        tainted,
    )
    record(desk, (second(opened, 61), "chainlink", D(5), second(opened, 60), None))
    found = await list_windows(database, since=opened, until=second(opened, 300), instrument=BTC)
    assert [each.window.window_id for each in found] == [window, tainted, unresolved, never_opened]
    marked = by_id(found)[tainted]
    assert marked.is_tainted
    assert list(marked.gaps) == [Gap(feed, BTC, begun, ended) for feed, begun, ended in gaps]
    assert marked.completeness == {Source.BINANCE: (7, 90)}
    assert await prices(database, marked.window) == [5], "what was heard of it is there"
    whole = by_id(found)[window]
    assert (whole.is_tainted, whole.payout_up, whole.payout_down) == (False, 1, 0)
    assert [gap.feed for gap in whole.gaps] == [Source.PYTH]
    assert by_id(found)[unresolved].payout_up is None
    everything = await list_windows(database, since=opened, until=second(opened, 300))
    assert other in by_id(everything)


@pytest.mark.usefixtures("window")
async def test_a_window_reads_the_same_from_its_days_archive_and_a_lost_day_is_no_quiet_one(
    desk: Desk, database: Database, db, opened: datetime, tmp_path
):
    record(
        desk,
        (second(opened, -2), "polymarket", HALF, second(opened, -2), UP_TOKEN),
        (second(opened, 1), "binance_spot", D(60_000), second(opened, 0.9), None),
        (second(opened, 2), "polymarket", D("0.55"), second(opened, 2), UP_TOKEN),
    )
    found = await the_window(database, opened)
    assert await prices(database, found) == [60_000, D("0.55")]
    assert await archive_day(await db(role="feed_collector"), str(tmp_path), opened.date()) is not None
    desk.owner.execute(f"DROP TABLE price_ticks_{opened:%Y%m%d}")
    assert await prices(database, found) == [60_000, D("0.55")]
    desk.owner.execute("DELETE FROM tick_archives")
    with pytest.raises(DayLost):
        await prices(database, found)


@pytest.mark.usefixtures("window")
async def test_a_long_history_of_books_comes_in_pages_without_a_line_twice(
    desk: Desk, database: Database, opened: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("shared.db.window_reader.PAGE_ROWS", 3)
    for n in range(7):
        snapshot(desk, second(opened, n // 2), D(n) / 100)
    assert await bids(database, await the_window(database, opened)) == [D(n) / 100 for n in range(7)]
