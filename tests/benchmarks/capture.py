"""How fast, how late, how large: the recording of prices against a bare COPY of the same rows in the same run.

``ROWS=50000000`` compares the query of one window at a million rows with that at fifty million; five by default.
"""

import asyncio
import os
import tempfile
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg

from services.feed_collector.tape import Tape
from services.feed_collector.writer import BATCH_MAX, Writer, wait_for_capture
from shared.db.engine import Database
from shared.db.queries import quality
from shared.db.tick_archive import DayWriter
from shared.db.tick_reader import read_ticks
from shared.domain.ids import Instrument
from shared.domain.ticks import PriceTick, Source
from shared.runtime.pulse import LoopPulse
from tests.benchmarks.figures import Findings, percentile, table
from tests.benchmarks.ground import Book, Ground
from tests.factories import CLOCK
from tests.processes import Running, running, until, venue

BTC = Instrument("BTC")
ROUNDS = 5
ROUND_ROWS = 60_000
LIVE_S = 20.0
WARM_UP_S = 4.0
QUERIES = 40
FEW_ROWS, MANY_ROWS = 1_000_000, 5_000_000
STORED_PER_S = 100
WINDOW = timedelta(minutes=15)
ARCHIVED_SPAN = timedelta(minutes=50)
COPY = "COPY price_ticks (timestamp, symbol, source, price, token_id, source_timestamp, trade_id) FROM STDIN"


def measure(ground: Ground) -> Findings:
    """Measure and return the figures of issue-level interest, and the table a person reads."""
    sustained = asyncio.run(_sustained(ground.book()))
    live = _live(ground)
    sizes, queries = _stored(ground.book())
    figures = sustained | live | sizes | queries
    rows = [
        ("rows a second, writer", f"{figures['capture_rows_per_s']:,.0f}", ""),
        ("rows a second, bare COPY row by row", f"{figures['floor_rows_per_s']:,.0f}", ""),
        ("writer / bare COPY", f"{figures['capture_ratio']:.2f}", "at least 0.8"),
        ("live ticks a second", f"{figures['live_ticks_per_s']:,.0f}", "5,000"),
        ("receipt to commit p50, ms", f"{figures['live_commit_p50_ms']:.1f}", ""),
        ("receipt to commit p99, ms", f"{figures['live_commit_p99_ms']:.1f}", "below 500 (C2)"),
        ("collector's processor", f"{figures['live_cpu_share']:.0%} of one", ""),
        ("collector's memory", f"{figures['live_memory_mb']:.0f} MB", ""),
        ("bytes a tick, Postgres with indexes", f"{figures['bytes_per_tick_postgres']:.0f}", ""),
        ("bytes a tick, Parquet", f"{figures['bytes_per_tick_parquet']:.1f}", ""),
        (
            f"one window's ticks of {figures['rows_few']:,} rows, ms",
            f"{figures['window_query_few_ms']:.1f}",
            "",
        ),
        (
            f"one window's ticks of {figures['rows_many']:,} rows, ms",
            f"{figures['window_query_many_ms']:.1f}",
            "",
        ),
        ("many / few", f"{figures['window_query_ratio']:.2f}", "at most 1.5"),
    ]
    faults = [] if figures["live_lost"] == 0 else [f"{figures['live_lost']} live ticks are not in the Book"]
    return Findings(figures, table(("", "found", "target"), rows), faults)


def _ticks(count: int, begin: datetime) -> list[PriceTick]:
    """Prices as Binance gives them, ten thousand a second."""
    return [
        PriceTick(
            BTC,
            Source.BINANCE,
            Decimal(6_000_000 + n * 7919 % 1000) / 100,
            begin + timedelta(microseconds=100 * n - 40_000),
            begin + timedelta(microseconds=100 * n),
            trade_id=str(10**9 + n),
        )
        for n in range(count)
    ]


async def _sustained(book: Book) -> dict[str, Any]:
    """Return rows a second of the writer and of a bare COPY, turn by turn on one server; the best round of each."""
    database = await Database.connect(book.role_url("onebook_feed_collector"), application_name="bench")
    tape = Tape()
    session = await wait_for_capture(database, [BTC])
    writer = Writer(
        database, session, tape, CLOCK, instruments=[BTC], instance="bench", stored=lambda _: None
    )
    bare: list[float] = []
    ours: list[float] = []
    for number in range(ROUNDS):
        ticks = _ticks(ROUND_ROWS, CLOCK.now() + timedelta(minutes=number))
        bare.append(ROUND_ROWS / await asyncio.to_thread(_bare_copy, book, ticks))
        for tick in ticks:
            tape.mid(tick)
        pulse = LoopPulse("write_ticks", CLOCK, 15.0)
        begun = CLOCK.monotonic()
        while tape.waiting:
            await writer.store(tape.take(BATCH_MAX))
            pulse.tick()
        ours.append(ROUND_ROWS / (CLOCK.monotonic() - begun))
    assert writer.account.stored == ROUNDS * ROUND_ROWS, writer.account
    await writer.close()
    await database.close()
    return {
        "capture_rows_per_s": percentile(ours, 50),
        "floor_rows_per_s": percentile(bare, 50),
        "capture_ratio": percentile([own / floor for own, floor in zip(ours, bare, strict=True)], 50),
    }


def _bare_copy(book: Book, ticks: Sequence[PriceTick]) -> float:
    """Return the seconds a plain script takes for the same rows: COPY, row by row, in the same batches."""
    with psycopg.connect(book.role_url("onebook_feed_collector")) as connection:
        begun = CLOCK.monotonic()
        for start in range(0, len(ticks), BATCH_MAX):
            with connection.cursor() as cursor, cursor.copy(COPY) as copy:
                for tick in ticks[start : start + BATCH_MAX]:
                    copy.write_row(
                        (
                            tick.received_at, tick.instrument, tick.source.value, tick.price, tick.token_id,
                            tick.source_at, tick.trade_id,
                        )
                    )  # fmt: skip
            connection.commit()
        return CLOCK.monotonic() - begun


def _live(ground: Ground) -> dict[str, Any]:
    """Return how late and how dear five thousand trades a second are for a running collector."""
    book, folder = ground.book(), ground.place("live")
    ready = folder / "crowd"
    with (
        venue(folder, WINDOW_S="60", FIRST_OPEN_IN_S="1") as simulator,
        running("tests.benchmarks.trade_crowd", {}, folder / "crowd.log", str(ready)),
        psycopg.connect(book.url, autocommit=True) as owner,
    ):
        until("the crowd is ready", ready.exists)
        environment = {
            "DATABASE_URL": book.role_url("onebook_feed_collector"),
            **simulator.environment(),
            "BINANCE_URL": ready.read_text(),
        }
        with running("services.feed_collector", environment, folder / "collector.log") as collector:
            until("ticks are stored", lambda: _count(owner) > 1_000, within_s=150)
            _look_for(WARM_UP_S)
            used, begun, since = _cpu_s(collector), CLOCK.monotonic(), CLOCK.now()
            _look_for(LIVE_S)
            used, lasted, end = _cpu_s(collector) - used, CLOCK.monotonic() - begun, CLOCK.now()
            memory_mb = _memory_mb(collector)
            collector.kill(15)
        row = owner.execute(
            "SELECT count(*), max(trade_id::bigint) - min(trade_id::bigint) + 1, array_agg(extract(epoch FROM"
            " pg_xact_commit_timestamp(xmin) - timestamp) * 1000)::float8[] FROM price_ticks"
            " WHERE source = 'binance_spot' AND timestamp BETWEEN %s AND %s",
            [since, end],
        ).fetchone()
    assert row is not None
    stored, spoken, late_ms = row
    return {
        "live_ticks_per_s": stored / (end - since).total_seconds(),
        "live_lost": spoken - stored,
        "live_commit_p50_ms": percentile(late_ms, 50),
        "live_commit_p99_ms": percentile(late_ms, 99),
        "live_cpu_share": used / lasted,
        "live_memory_mb": memory_mb,
    }


def _look_for(seconds: float) -> None:
    """Let the deployment run: what is measured is what happens meanwhile."""
    begun = CLOCK.monotonic()
    until("the time is over", lambda: CLOCK.monotonic() - begun >= seconds, within_s=seconds + 5)


def _count(owner: psycopg.Connection[Any]) -> int:
    row = owner.execute("SELECT count(*) FROM price_ticks WHERE source = 'binance_spot'").fetchone()
    assert row is not None
    return int(row[0])


def _cpu_s(process: Running) -> float:
    fields = Path(f"/proc/{process.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mb(process: Running) -> float:
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def _stored(book: Book) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the sizes of a tick, and how long one window's ticks take with few and with many rows stored."""
    many = int(os.environ.get("ROWS") or MANY_ROWS)
    days = many // (STORED_PER_S * 86_400) + 1
    begin = datetime.combine(CLOCK.now().date() - timedelta(days=days), datetime.min.time(), tzinfo=UTC)
    with psycopg.connect(book.url, autocommit=True) as owner:
        owner.execute("SELECT ensure_partitions(%s, %s)", [days + 1, begin.date()])
        _fill(owner, begin, 0, FEW_ROWS)
        owner.execute("VACUUM ANALYZE price_ticks")
        size = owner.execute(
            "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'price_ticks'::regclass"
        ).fetchone()
        empty = _empty_bytes(owner)
        assert size is not None
        few_ms = asyncio.run(_window_ms(book, begin))
        _fill(owner, begin, FEW_ROWS, many)
        owner.execute("VACUUM ANALYZE price_ticks")
        many_ms = asyncio.run(_window_ms(book, begin))
    parquet = asyncio.run(_parquet_bytes(book, begin))
    sizes = {
        "bytes_per_tick_postgres": float(size[0] - empty) / FEW_ROWS,
        "bytes_per_tick_parquet": parquet,
    }
    return sizes, {
        "rows_few": FEW_ROWS,
        "rows_many": many,
        "window_query_few_ms": few_ms,
        "window_query_many_ms": many_ms,
        "window_query_ratio": many_ms / few_ms,
    }


def _fill(owner: psycopg.Connection[Any], begin: datetime, first: int, last: int) -> None:
    """Store rows as a day leaves them: a hundred a second, most of them trades of a price that wanders."""
    step = 500_000
    for start in range(first, last, step):
        owner.execute(
            "INSERT INTO price_ticks (timestamp, symbol, source, price, token_id, source_timestamp, trade_id)"
            " SELECT at, 'BTC', source, 60000 + round((500 * sin(n / 90000.0) + 20 * sin(n / 700.0) + (n * 7919 %% 100) / 25.0)"
            " ::numeric, 2), CASE source WHEN 'polymarket' THEN repeat('7', 77) END, at - interval '40 milliseconds',"
            " CASE source WHEN 'binance_spot' THEN (4000000000 + n)::text END"
            " FROM (SELECT n, %s::timestamptz + n * interval '10 milliseconds' + (n * 7919 %% 9973) * interval '1 microsecond' AS at,"
            " CASE WHEN n %% 100 = 1 THEN 'chainlink' WHEN n %% 100 = 2 THEN 'chainlink_twap' WHEN n %% 10 = 3 THEN 'polymarket'"
            " ELSE 'binance_spot' END AS source FROM generate_series(%s::bigint, %s::bigint) AS n) made",
            [begin, start, min(start + step, last) - 1],
        )


def _empty_bytes(owner: psycopg.Connection[Any]) -> int:
    """What partitions without a row weigh: it is no tick's."""
    row = owner.execute(
        "SELECT count(*) * 32768 FROM pg_inherits WHERE inhparent = 'price_ticks'::regclass"
    ).fetchone()
    assert row is not None
    return int(row[0])


async def _window_ms(book: Book, begin: datetime) -> float:
    """Return the median milliseconds to read one window's ticks of the primary feed, from Python."""
    database = await Database.connect(book.role_url("onebook_feed_collector"), application_name="bench")
    taken = []
    since = begin + timedelta(minutes=30)
    for _ in range(QUERIES):
        begun = CLOCK.monotonic()
        async with database.begin() as tx:
            series = await quality.read_series(tx, Source.BINANCE, BTC, since=since, until=since + WINDOW)
        taken.append((CLOCK.monotonic() - begun) * 1000)
    assert len(series.prices) == WINDOW.total_seconds() * STORED_PER_S * 88 // 100, len(series.prices)
    await database.close()
    return percentile(taken, 50)


async def _parquet_bytes(book: Book, begin: datetime) -> float:
    """Return the bytes a tick takes in an archive, written and read back as any day is."""
    database = await Database.connect(book.role_url("onebook_feed_collector"), application_name="bench")
    with tempfile.TemporaryDirectory() as folder:
        writer = DayWriter(folder, begin.date())
        async with aclosing(read_ticks(database, since=begin, until=begin + ARCHIVED_SPAN)) as pages:
            async for page in pages:
                writer.add(page)
        archived = writer.finish()
    await database.close()
    return archived.size_bytes / archived.rows
