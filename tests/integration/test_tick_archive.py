"""A day of ticks: archived before it goes, and read back as the same rows (B16)."""

import hashlib
import json
from contextlib import aclosing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from services.feed_collector.retiring import actions
from services.feed_collector.retiring.days import Retirement, archive_day
from shared.db.engine import Database
from shared.db.queries.archives import ArchivedDay, DayChanged, StoredTick
from shared.db.tick_archive import ArchiveDamaged
from shared.db.tick_reader import DayLost, read_ticks
from shared.domain.ids import Instrument
from shared.runtime.clock import SystemClock
from tests.factories import Desk

pytestmark = pytest.mark.integration
CLOCK = SystemClock()
ROWS = 500


@pytest_asyncio.fixture
async def database(db) -> Database:
    return await db(role="feed_collector")


@pytest.fixture
def old() -> date:
    return CLOCK.now().date() - timedelta(days=9)


@pytest.fixture
def recorded(desk: Desk, database_url: str, old: date) -> datetime:
    """A day with ticks of every kind, several at the same moment, and one tick on each neighbouring day."""
    begin = datetime(old.year, old.month, old.day, tzinfo=UTC)
    desk.owner.execute("SELECT ensure_partitions(2, %s)", [old - timedelta(days=1)])
    with (
        psycopg.connect(database_url) as connection,
        connection.cursor() as cursor,
        cursor.copy(
            "COPY price_ticks (timestamp, symbol, source, price, token_id, source_timestamp, trade_id) FROM STDIN"
        ) as copy,
    ):
        for n in range(ROWS):
            at = begin + timedelta(microseconds=(n // 3) * 517_000_123)
            said = at - timedelta(milliseconds=40)
            kind = n % 4
            if kind == 0:
                row = (
                    at,
                    "BTC",
                    "binance_spot",
                    Decimal(60_000) + Decimal(n) / 7,
                    None,
                    said,
                    str(10**9 + n),
                )
            elif kind == 1:
                row = (at, "ETH", "chainlink", Decimal("0.00000001") * n, None, said, None)
            elif kind == 2:
                row = (at, "BTC", "polymarket", Decimal("0.505"), str(n) * 10, None, None)
            else:
                row = (at, "BTC", "chainlink_twap", Decimal("99999999999.12345678"), None, at, None)
            copy.write_row(row)
        for other in (begin - timedelta(microseconds=1), begin + timedelta(days=1)):
            copy.write_row((other, "BTC", "chainlink", Decimal(1), None, None, None))
    return begin


async def read(
    database: Database, since: datetime, until: datetime, **wanted: Instrument
) -> list[StoredTick]:
    async with aclosing(read_ticks(database, since=since, until=until, **wanted)) as pages:
        return [tick async for page in pages for tick in page]


def listed(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def partitions(desk: Desk, day: date) -> bool:
    return desk.one(f"SELECT to_regclass('price_ticks_{day:%Y%m%d}') IS NOT NULL AS there")["there"]


async def test_the_reader_gives_the_same_rows_from_the_book_and_from_the_archive(
    database: Database, desk: Desk, recorded: datetime, old: date, tmp_path: Path
):
    day = timedelta(days=1)
    before = await read(database, recorded, recorded + day)
    part = await read(database, recorded + day / 4, recorded + day / 2, instrument=Instrument("BTC"))
    assert len(before) == ROWS
    assert len(part) < ROWS / 2
    archived = await archive_day(database, str(tmp_path), old)
    assert archived is not None
    desk.owner.execute(f"DROP TABLE price_ticks_{old:%Y%m%d}")
    assert await read(database, recorded, recorded + day) == before
    assert await read(database, recorded + day / 4, recorded + day / 2, instrument=Instrument("BTC")) == part
    across = await read(database, recorded - timedelta(hours=1), recorded + day + timedelta(hours=1))
    assert len(across) == ROWS + 2
    assert [tick.place for tick in across] == sorted(tick.place for tick in across)


async def test_the_manifest_counts_and_hashes_what_is_in_the_file(
    database: Database, desk: Desk, recorded: datetime, old: date, tmp_path: Path
):
    archived = await archive_day(database, str(tmp_path), old)
    assert archived is not None
    manifest = json.loads((tmp_path / f"ticks-{old:%Y%m%d}.json").read_text())
    file = tmp_path / manifest["file"]
    assert hashlib.sha256(file.read_bytes()).hexdigest() == manifest["sha256"] == archived.file_sha256
    assert file.stat().st_size == manifest["bytes"]
    counted = desk.all(
        "SELECT source || '/' || symbol AS feed, count(*) AS n FROM price_ticks"
        " WHERE timestamp >= %s AND timestamp < %s GROUP BY 1",
        recorded,
        recorded + timedelta(days=1),
    )
    assert manifest["feeds"] == {row["feed"]: row["n"] for row in counted}
    assert manifest["rows"] == ROWS
    row = desk.one("SELECT * FROM tick_archives")
    assert (row["day"], row["rows"], row["sha256"], row["content_sha256"]) == (
        old,
        ROWS,
        manifest["sha256"],
        manifest["content_sha256"],
    )
    assert sorted(path.suffix for path in listed(tmp_path)) == [".json", ".parquet"]
    assert await archive_day(database, str(tmp_path), old) is None, "once"


async def test_where_days_are_archived_none_goes_without_its_archive_whoever_drops(
    database: Database, desk: Desk, recorded: datetime, old: date, tmp_path: Path
):
    retirement = Retirement(database, "test", str(tmp_path))
    await retirement.announce()
    assert desk.do("operator", "SELECT drop_partitions(7)") is None
    assert partitions(desk, old)
    dropped = await retirement.retire(CLOCK.now().date())
    assert f"price_ticks_{old:%Y%m%d}" in dropped
    assert not partitions(desk, old)
    assert desk.one("SELECT count(*) AS n FROM price_bars_1m")["n"] > 0
    assert len(await read(database, recorded, recorded + timedelta(days=1))) == ROWS


@pytest.mark.usefixtures("recorded")
async def test_an_archive_that_fails_keeps_its_day_and_is_tried_again_the_same_day(
    database: Database, desk: Desk, old: date, tmp_path: Path
):
    blocked = tmp_path / "a file, not a folder"
    blocked.write_text("")
    today = CLOCK.now().date()
    broken = Retirement(database, "test", str(blocked))
    await broken.announce()
    with pytest.raises(OSError, match="a file, not a folder"):
        await broken.retire(today)
    assert partitions(desk, old)
    mended = Retirement(database, "test", str(tmp_path / "archive"))
    await mended.announce()
    assert len(await mended.retire(today)) == 3
    assert await mended.retire(today) == [], "once a day"


@pytest.mark.usefixtures("recorded")
async def test_a_day_that_grew_meanwhile_is_not_called_archived(database: Database, desk: Desk, old: date):
    with pytest.raises(DayChanged, match=f"{ROWS} ticks"):
        await actions.save_archived(database, ArchivedDay(old, "there", ROWS - 1, "f", "c", 1))
    assert desk.all("SELECT FROM tick_archives") == []


async def test_a_changed_or_missing_archive_and_a_lost_day_are_refused_not_read_as_quiet(
    database: Database, desk: Desk, recorded: datetime, old: date, tmp_path: Path
):
    await archive_day(database, str(tmp_path), old)
    desk.owner.execute(f"DROP TABLE price_ticks_{old:%Y%m%d}")
    file = tmp_path / f"ticks-{old:%Y%m%d}.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:200] + b"x" + whole[201:])
    with pytest.raises(ArchiveDamaged, match="has changed"):
        await read(database, recorded, recorded + timedelta(hours=1))
    file.unlink()
    with pytest.raises(ArchiveDamaged, match="is missing"):
        await read(database, recorded, recorded + timedelta(hours=1))
    lost = old - timedelta(days=1)
    desk.owner.execute(f"DROP TABLE price_ticks_{lost:%Y%m%d}")
    with pytest.raises(DayLost, match=str(lost)):
        await read(database, recorded - timedelta(hours=1), recorded)


async def test_recent_minutes_become_bars_and_a_late_tick_mends_its_bar(database: Database, desk: Desk):
    now = CLOCK.now()
    minute = now.replace(second=0, microsecond=0) - timedelta(minutes=1)
    desk.owner.execute("SELECT ensure_partitions(2, current_date - 1)")
    retirement = Retirement(database, "test", None)
    for price, second in ((10, 5), (12, 20), (7, 40)):
        desk.do(
            "feed_collector",
            "INSERT INTO price_ticks (timestamp, symbol, source, price) VALUES (%s, 'BTC', 'chainlink', %s)",
            minute + timedelta(seconds=second),
            price,
        )
        await retirement.make_recent_bars(now)
    (bar,) = desk.all("SELECT open, high, low, close, ticks FROM price_bars_1m")
    assert [int(value) for value in bar.values()] == [10, 12, 7, 7, 3]
