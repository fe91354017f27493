"""feed_status, feed_gaps, oracle_updates: how each feed is, and when it was not."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text

from shared.db.engine import Tx
from shared.domain.ids import Instrument
from shared.domain.ticks import Source


@dataclass(frozen=True, slots=True)
class FeedRow:
    """One feed of one instrument. Counters: all that was ever counted when read, what is to be added when written."""

    feed: Source
    instrument: Instrument
    last_source_at: datetime | None = None
    last_received_at: datetime | None = None
    stale_since: datetime | None = None
    ticks: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    malformed: int = 0
    offset_ms: Decimal | None = None
    """Source clock minus ours, smoothed."""
    last_trade_id: str | None = None
    last_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class OracleChange:
    """A new oracle price, and the one before."""

    at: datetime
    instrument: Instrument
    source: Source
    old_price: Decimal | None
    new_price: Decimal
    change_pct: Decimal | None
    since_last_ms: int | None


@dataclass(frozen=True, slots=True)
class Gap:
    """A silence of a feed; ``ended_at`` None while it lasts."""

    feed: Source
    instrument: Instrument
    started_at: datetime
    ended_at: datetime | None


async def write(tx: Tx, rows: Sequence[FeedRow]) -> None:
    """Store how the feeds are, adding the counters; what is not known now keeps what was known."""
    await tx.execute(text("SET LOCAL synchronous_commit = off"))
    statement = text(
        """INSERT INTO feed_status AS kept (feed, symbol, last_source_at, last_received_at, stale_since, ticks, duplicates,
          out_of_order, malformed, offset_ms, last_trade_id, last_price)
        SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS new (feed text, symbol text, last_source_at timestamptz,
          last_received_at timestamptz, stale_since timestamptz, ticks bigint, duplicates bigint, out_of_order bigint,
          malformed bigint, offset_ms numeric, last_trade_id text, last_price numeric)
        ORDER BY feed, symbol
        ON CONFLICT (feed, symbol) DO UPDATE SET
          last_source_at = coalesce(excluded.last_source_at, kept.last_source_at),
          last_received_at = coalesce(excluded.last_received_at, kept.last_received_at),
          stale_since = excluded.stale_since, ticks = kept.ticks + excluded.ticks,
          duplicates = kept.duplicates + excluded.duplicates, out_of_order = kept.out_of_order + excluded.out_of_order,
          malformed = kept.malformed + excluded.malformed, offset_ms = coalesce(excluded.offset_ms, kept.offset_ms),
          last_trade_id = coalesce(excluded.last_trade_id, kept.last_trade_id),
          last_price = coalesce(excluded.last_price, kept.last_price)"""
    )
    plain = [
        {
            "feed": row.feed.value,
            "symbol": row.instrument,
            "last_source_at": row.last_source_at,
            "last_received_at": row.last_received_at,
            "stale_since": row.stale_since,
            "ticks": row.ticks,
            "duplicates": row.duplicates,
            "out_of_order": row.out_of_order,
            "malformed": row.malformed,
            "offset_ms": row.offset_ms,
            "last_trade_id": row.last_trade_id,
            "last_price": row.last_price,
        }
        for row in rows
    ]
    await tx.execute(statement, {"rows": json.dumps(plain, default=_text)})


async def list_all(tx: Tx) -> list[FeedRow]:
    """Return how every feed was when last written."""
    statement = text(
        """SELECT feed, symbol, last_source_at, last_received_at, stale_since, ticks, duplicates, out_of_order, malformed,
          offset_ms, last_trade_id, last_price FROM feed_status ORDER BY feed, symbol"""
    )
    return [
        FeedRow(
            feed=Source(row.feed),
            instrument=Instrument(row.symbol),
            last_source_at=row.last_source_at,
            last_received_at=row.last_received_at,
            stale_since=row.stale_since,
            ticks=row.ticks,
            duplicates=row.duplicates,
            out_of_order=row.out_of_order,
            malformed=row.malformed,
            offset_ms=row.offset_ms,
            last_trade_id=row.last_trade_id,
            last_price=row.last_price,
        )
        for row in await tx.execute(statement)
    ]


async def begin_gap(tx: Tx, feed: Source, instrument: Instrument, *, started_at: datetime) -> bool:
    """Open a gap; False when one is open already."""
    statement = text(
        """INSERT INTO feed_gaps (feed, symbol, started_at) VALUES (:feed, :symbol, :at)
        ON CONFLICT (feed, symbol) WHERE ended_at IS NULL DO NOTHING RETURNING id"""
    )
    parameters = {"feed": feed.value, "symbol": instrument, "at": started_at}
    return (await tx.execute(statement, parameters)).one_or_none() is not None


async def end_gap(tx: Tx, feed: Source, instrument: Instrument, *, ended_at: datetime) -> datetime | None:
    """Close the open gap; returns when it began, None when none was open."""
    statement = text(
        """UPDATE feed_gaps SET ended_at = greatest(:at, started_at) WHERE feed = :feed AND symbol = :symbol
        AND ended_at IS NULL RETURNING started_at"""
    )
    row = (
        await tx.execute(statement, {"feed": feed.value, "symbol": instrument, "at": ended_at})
    ).one_or_none()
    return None if row is None else row.started_at


async def list_gaps(tx: Tx, *, since: datetime) -> list[Gap]:
    """Return the gaps that lasted into the time after ``since``, oldest first."""
    statement = text(
        """SELECT feed, symbol, started_at, ended_at FROM feed_gaps WHERE ended_at IS NULL OR ended_at > :since
        ORDER BY started_at, id"""
    )
    rows = await tx.execute(statement, {"since": since})
    return [Gap(Source(row.feed), Instrument(row.symbol), row.started_at, row.ended_at) for row in rows]


async def insert_oracle_changes(tx: Tx, changes: Sequence[OracleChange]) -> None:
    """Append the oracle's changes (C7); the same again changes nothing."""
    await tx.execute(text("SET LOCAL synchronous_commit = off"))
    statement = text(
        """INSERT INTO oracle_updates (timestamp, symbol, oracle_source, old_price, new_price, price_change_pct,
          time_since_last_update_ms)
        SELECT CAST(:at AS timestamptz), CAST(:symbol AS varchar), CAST(:source AS varchar), :old, :new, :pct, :since_last_ms
        WHERE NOT EXISTS (SELECT FROM oracle_updates WHERE symbol = :symbol AND timestamp = :at AND oracle_source = :source
          AND new_price = :new)"""
    )
    parameters = [
        {
            "at": change.at,
            "symbol": change.instrument,
            "source": change.source.value,
            "old": change.old_price,
            "new": change.new_price,
            "pct": change.change_pct,
            "since_last_ms": change.since_last_ms,
        }
        for change in changes
    ]
    await tx.execute(statement, parameters)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
