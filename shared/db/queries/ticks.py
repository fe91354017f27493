"""price_ticks: written by COPY on the connection that holds the capture lock, read by symbol and feed.

The lock is the connection's own, so a collector that lost it cannot write a tick, and two collectors make one (T5).
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
from sqlalchemy import text

from shared.db.engine import Database, Tx
from shared.db.severing import severed_after
from shared.domain.ids import Instrument
from shared.domain.ticks import PriceTick, Source

ANSWER_WITHIN_S = 6.0
"""Longer than the server's own limit on a statement, so that its refusal arrives first."""
IDLE_LIMIT = "10s"
"""A collector that is stopped or cut off loses the lock after so much silence; ping more often."""
LOCK_SPACE = "capture:"
WRITE_ROWS = 500


class CaptureFailed(Exception):
    """A batch was not stored, as far as we know; the message is the database's."""


@dataclass(frozen=True, slots=True)
class TickBatch:
    """Ticks that are stored together or not at all, under a name that a retry can look for (C3)."""

    batch_id: str
    ticks: Sequence[PriceTick]


@dataclass(frozen=True, slots=True)
class TickPoint:
    """One stored price."""

    price: Decimal
    source_at: datetime
    received_at: datetime


class CaptureSession:
    """The connection that may write ticks of some instruments: it holds their locks until it ends."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    @classmethod
    async def try_open(
        cls, database: Database, instruments: Collection[Instrument]
    ) -> "CaptureSession | None":
        """Return the session, or None while another collector holds one of the locks; raises CaptureFailed."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                connection = await database.raw_connection()
        except (psycopg.Error, OSError, TimeoutError) as error:
            raise CaptureFailed(_reason(error)) from error
        session = cls(connection)
        async with session._exchange():
            cursor = await connection.execute(
                "SELECT bool_and(pg_try_advisory_lock(hashtextextended(%s || name, 0))) FROM unnest(%s::text[]) AS name",
                [LOCK_SPACE, sorted(instruments)],
            )
            row = await cursor.fetchone()
            await connection.execute("SELECT set_config('idle_session_timeout', %s, false)", [IDLE_LIMIT])
        if row is not None and row[0]:
            return session
        await session.close()
        return None

    async def copy(self, batch: TickBatch) -> None:
        """Store a batch and its name in one transaction; raises CaptureFailed, after which ``has`` knows."""
        async with self._exchange():
            await self._connection.execute(
                "INSERT INTO capture_batches (batch_id, rows) VALUES (%s, %s)",
                [batch.batch_id, len(batch.ticks)],
            )
            async with (
                self._connection.cursor() as cursor,
                cursor.copy(
                    "COPY price_ticks (timestamp, symbol, source, price, token_id, source_timestamp, trade_id) FROM STDIN"
                ) as copy,
            ):
                # Some hundred rows at a time: the server stores them while the next are made into text.
                for start in range(0, len(batch.ticks), WRITE_ROWS):
                    await copy.write(_copy_text(batch.ticks[start : start + WRITE_ROWS]))

    async def has(self, batch_id: str) -> bool:
        """Return whether a batch was stored after all: a COMMIT whose answer was lost may have happened."""
        async with self._exchange():
            cursor = await self._connection.execute(
                "SELECT EXISTS (SELECT FROM capture_batches WHERE batch_id = %s)", [batch_id]
            )
            row = await cursor.fetchone()
        return row is not None and bool(row[0])

    async def ping(self) -> None:
        """Keep the session from being ended for silence; raises CaptureFailed when it has been."""
        async with self._exchange():
            await self._connection.execute("SELECT 1")

    @property
    def is_open(self) -> bool:
        return not self._connection.closed

    async def close(self) -> None:
        """End the session, and its locks with it."""
        await self._connection.close()

    @asynccontextmanager
    async def _exchange(self) -> AsyncIterator[None]:
        """Run one transaction in limited time; whatever the database refuses comes out as CaptureFailed."""
        try:
            with severed_after(self._connection, ANSWER_WITHIN_S):
                try:
                    yield
                    await self._connection.commit()
                except psycopg.Error:
                    if not self._connection.closed:
                        await self._connection.rollback()
                    raise
        except (psycopg.Error, OSError) as error:
            raise CaptureFailed(_reason(error)) from error
        except BaseException:
            # Cancelled half-way: what the server did is not known, so the session must not go on.
            await self._connection.close()
            raise


async def list_recent(
    tx: Tx, wanted: Mapping[tuple[Source, Instrument], int], *, since: datetime
) -> dict[tuple[Source, Instrument], list[TickPoint]]:
    """Return the newest prices of some feeds received after ``since``, oldest first: so many of each as is wanted."""
    statement = text(
        """SELECT w.source, w.symbol, p.price, p.source_at, p.received_at
        FROM unnest(CAST(:sources AS text[]), CAST(:symbols AS text[]), CAST(:mosts AS integer[])) AS w (source, symbol, most)
        CROSS JOIN LATERAL (SELECT price, coalesce(source_timestamp, timestamp) AS source_at, timestamp AS received_at
          FROM price_ticks t WHERE t.symbol = w.symbol AND t.source = w.source AND t.timestamp > :since
          ORDER BY t.timestamp DESC, t.id DESC LIMIT w.most) p
        ORDER BY p.source_at"""
    )
    parameters = {
        "sources": [source.value for source, _ in wanted],
        "symbols": [symbol for _, symbol in wanted],
        "mosts": list(wanted.values()),
        "since": since,
    }
    found: dict[tuple[Source, Instrument], list[TickPoint]] = {key: [] for key in wanted}
    for row in await tx.execute(statement, parameters):
        key = (Source(row.source), Instrument(row.symbol))
        found[key].append(TickPoint(row.price, row.source_at, row.received_at))
    return found


async def make_bars(tx: Tx, *, since: datetime, until: datetime) -> int:
    """Fold the ticks received in a span of whole minutes into one-minute bars; again: the same (B16). Returns how many."""
    statement = text(
        """INSERT INTO price_bars_1m (minute, feed, symbol, token_id, open, high, low, close, ticks)
        SELECT date_trunc('minute', timestamp), source, symbol, coalesce(token_id, ''),
          (array_agg(price ORDER BY timestamp, id))[1], max(price), min(price),
          (array_agg(price ORDER BY timestamp DESC, id DESC))[1], count(*)
        FROM price_ticks WHERE timestamp >= :since AND timestamp < :until GROUP BY 1, 2, 3, 4
        ON CONFLICT (minute, feed, symbol, token_id) DO UPDATE SET open = excluded.open, high = excluded.high, low = excluded.low,
          close = excluded.close, ticks = excluded.ticks"""
    )
    return int((await tx.execute(statement, {"since": since, "until": until})).rowcount)


async def list_days_before(tx: Tx, *, keep: timedelta) -> list[datetime]:
    """Return the beginnings of the recorded days that are past retention, oldest first."""
    statement = text(
        """SELECT to_date(right(c.relname, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC' AS day
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'price_ticks'::regclass
          AND to_date(right(c.relname, 8), 'YYYYMMDD') < (clock_timestamp() AT TIME ZONE 'UTC')::date - CAST(:days AS integer)
        ORDER BY 1"""
    )
    return list(await tx.scalars(statement, {"days": keep.days}))


_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_NULL = "\\N"


def _copy_text(ticks: Sequence[PriceTick]) -> bytes:
    """Return rows in COPY's text format."""
    return "".join(
        f"{tick.received_at.isoformat()}\t{_text(tick.instrument)}\t{tick.source.value}\t{tick.price}\t{_text(tick.token_id)}"
        f"\t{_NULL if tick.source_at is None else tick.source_at.isoformat()}\t{_text(tick.trade_id)}\n"
        for tick in ticks
    ).encode()


def _text(value: str | None) -> str:
    """Return a text field; an id from outside may hold anything, and must stay one field."""
    return _NULL if value is None else value.translate(_ESCAPES)


def _reason(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__


async def forget_batches(tx: Tx) -> int:
    """Delete the names of batches older than an hour: a retry looks for its batch within seconds. Returns how many."""
    statement = text("DELETE FROM capture_batches WHERE committed_at < clock_timestamp() - interval '1 hour'")
    return int((await tx.execute(statement)).rowcount)
