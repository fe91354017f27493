"""feed_completeness, clock_offsets, lag_analysis: how good the recording is."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from shared.db.engine import Tx
from shared.db.queries.windows import COLUMNS, to_window
from shared.domain.clocks import MeasuredClock
from shared.domain.ids import Instrument
from shared.domain.ticks import Source
from shared.domain.windows import Window


@dataclass(frozen=True, slots=True)
class LagRow:
    """How far one feed was behind another, and how sure that is."""

    at: datetime
    instrument: Instrument
    fast: Source
    slow: Source
    tau_ms: int
    correlation: float
    p_value: float
    samples: int
    tau_variance_s2: float
    profile: Mapping[int, float]
    """Correlation by lag in milliseconds."""


@dataclass(frozen=True, slots=True)
class Series:
    """One feed's prices by time of receipt: seconds since the epoch, and USD, for statistics only."""

    at_s: Sequence[float]
    prices: Sequence[float]


async def list_unmeasured(tx: Tx, *, closed_before: datetime, closed_after: datetime) -> list[Window]:
    """Return the windows that are over and whose completeness nobody has counted, oldest first."""
    statement = text(
        f"""SELECT {COLUMNS} FROM windows w WHERE state IN ('CLOSED', 'UNRESOLVED', 'RESOLVED')
          AND closes_at < :before AND closes_at > :after
          AND NOT EXISTS (SELECT FROM feed_completeness c WHERE c.window_id = w.window_id)
        ORDER BY closes_at LIMIT 20"""  # noqa: S608 our own constant
    )
    rows = await tx.execute(statement, {"before": closed_before, "after": closed_after})
    return [to_window(row) for row in rows]


async def measure(tx: Tx, window: Window, *, expected: Sequence[Source]) -> int:
    """Count what was received and what should have been, a row a feed (C14); returns how many rows.

    Binance numbers its trades without holes, so what lies between the last id before the window and the first after it
    is what should be there. The oracle speaks once a second of its own time; a book has a snapshot a second a token.
    """
    parameters = {
        "id": window.window_id,
        "symbol": window.instrument,
        "opens": window.opens_at,
        "closes": window.closes_at,
        "seconds": int((window.closes_at - window.opens_at).total_seconds()),
        "tokens": [token for token in (window.up_token, window.down_token) if token is not None],
        "trades": Source.BINANCE.value,
        "book": Source.POLYMARKET.value,
        "feeds": [source.value for source in expected],
    }
    return int((await tx.execute(_MEASURE, parameters)).rowcount)


_MEASURE = text(
    """WITH trades AS (
      SELECT count(DISTINCT trade_id) AS received, min(trade_id::bigint) AS first, max(trade_id::bigint) AS last FROM price_ticks
      WHERE symbol = :symbol AND source = :trades AND timestamp >= :opens AND timestamp < :closes AND trade_id ~ '^[0-9]{1,18}$'),
    before AS (SELECT trade_id::bigint AS id FROM price_ticks WHERE symbol = :symbol AND source = :trades
      AND timestamp < :opens AND timestamp >= CAST(:opens AS timestamptz) - interval '1 minute' AND trade_id ~ '^[0-9]{1,18}$'
      ORDER BY timestamp DESC, id DESC LIMIT 1),
    after AS (SELECT trade_id::bigint AS id FROM price_ticks WHERE symbol = :symbol AND source = :trades
      AND timestamp >= :closes AND timestamp < CAST(:closes AS timestamptz) + interval '1 minute' AND trade_id ~ '^[0-9]{1,18}$'
      ORDER BY timestamp, id LIMIT 1),
    a_second AS (SELECT source, count(DISTINCT floor(extract(epoch FROM source_timestamp))) AS received FROM price_ticks
      WHERE symbol = :symbol AND source = ANY (:feeds) AND source NOT IN (:trades, :book)
        AND timestamp >= :opens AND timestamp < CAST(:closes AS timestamptz) + interval '1 minute'
        AND source_timestamp >= :opens AND source_timestamp < :closes GROUP BY source),
    snapshots AS (SELECT count(DISTINCT (token_id, floor(extract(epoch FROM timestamp)))) AS received FROM order_book_snapshots
      WHERE symbol = :symbol AND timestamp >= :opens AND timestamp < :closes AND token_id = ANY (:tokens))
    INSERT INTO feed_completeness (window_id, feed, symbol, received, expected)
    SELECT :id, feed, :symbol,
      CASE feed WHEN :trades THEN trades.received WHEN :book THEN snapshots.received ELSE coalesce(a_second.received, 0) END,
      CASE feed WHEN :trades THEN greatest(coalesce(
          coalesce((SELECT id FROM after), last + 1) - coalesce((SELECT id FROM before), first - 1) - 1, :seconds), trades.received)
        WHEN :book THEN :seconds * cardinality(CAST(:tokens AS text[])) ELSE :seconds END
    FROM unnest(CAST(:feeds AS text[])) AS feed LEFT JOIN a_second ON a_second.source = feed, trades, snapshots
    ON CONFLICT (window_id, feed) DO NOTHING"""
)


async def write_clocks(tx: Tx, rows: Sequence[MeasuredClock]) -> None:
    """Store how far each clock is from the database's (C13)."""
    statement = text(
        """INSERT INTO clock_offsets (source, offset_ms, error_ms, measured_at)
        SELECT source, offset_ms, error_ms, clock_timestamp() FROM jsonb_to_recordset(CAST(:rows AS jsonb))
          AS new (source text, offset_ms numeric, error_ms numeric) ORDER BY source
        ON CONFLICT (source) DO UPDATE SET offset_ms = excluded.offset_ms, error_ms = excluded.error_ms,
          measured_at = excluded.measured_at"""
    )
    plain = [
        {"source": row.source, "offset_ms": str(row.offset_ms), "error_ms": str(row.error_ms)} for row in rows
    ]
    await tx.execute(statement, {"rows": json.dumps(plain)})


async def read_clock(tx: Tx) -> datetime:
    """Return the database's time."""
    now: datetime = await tx.scalar(text("SELECT clock_timestamp()"))
    return now


async def read_series(
    tx: Tx, source: Source, instrument: Instrument, *, since: datetime, until: datetime
) -> Series:
    """Return a feed's prices in time order; for statistics, so as binary numbers."""
    statement = text(
        """SELECT array_agg(extract(epoch FROM timestamp)::float8 ORDER BY timestamp, id) AS at_s,
          array_agg(price::float8 ORDER BY timestamp, id) AS prices
        FROM price_ticks WHERE symbol = :symbol AND source = :source AND timestamp >= :since AND timestamp < :until"""
    )
    row = (
        await tx.execute(
            statement, {"symbol": instrument, "source": source.value, "since": since, "until": until}
        )
    ).one()
    return Series(row.at_s or (), row.prices or ())


async def insert_lag(tx: Tx, row: LagRow) -> None:
    """Append one analysis (C15)."""
    statement = text(
        """INSERT INTO lag_analysis (timestamp, symbol, fast_feed, slow_feed, tau_star_ms, correlation, p_value, sample_size,
          tau_variance, correlation_profile)
        VALUES (:at, :symbol, :fast, :slow, :tau, :correlation, :p, :samples, :variance, CAST(:profile AS jsonb))"""
    )
    await tx.execute(
        statement,
        {
            "at": row.at,
            "symbol": row.instrument,
            "fast": row.fast.value,
            "slow": row.slow.value,
            "tau": row.tau_ms,
            "correlation": row.correlation,
            "p": row.p_value,
            "samples": row.samples,
            "variance": row.tau_variance_s2,
            "profile": json.dumps({str(lag): round(value, 4) for lag, value in row.profile.items()}),
        },
    )
