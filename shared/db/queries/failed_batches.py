"""failed_batches: the ticks that could not be stored when they came, until they are (C3)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from shared.db.engine import Tx
from shared.db.queries.ticks import TickBatch
from shared.domain.ticks import PriceTick


@dataclass(frozen=True, slots=True)
class FailedBatch:
    """A batch that waits to be stored: how many rows, since when, and what the database said."""

    failed_id: int
    batch_id: str
    rows: int
    created_at: datetime
    error: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of a batch's rows: stored now, in the Book already, and refused for ever."""

    stored: int
    known: int
    rejected: int


async def keep(tx: Tx, batch: TickBatch, error: str) -> None:
    """Put a batch that could not be stored aside, to be replayed later; once per batch."""
    statement = text(
        """INSERT INTO failed_batches (batch_id, batch_data, error_message)
        SELECT :id, CAST(:data AS jsonb), :error
        WHERE NOT EXISTS (SELECT FROM failed_batches WHERE batch_id = :id)"""
    )
    await tx.execute(statement, {"id": batch.batch_id, "data": _as_json(batch.ticks), "error": error})


async def is_kept(tx: Tx, batch_id: str) -> bool:
    """Return whether a batch was put aside after all: a COMMIT whose answer was lost may have happened."""
    statement = text("SELECT EXISTS (SELECT FROM failed_batches WHERE batch_id = :id)")
    return bool(await tx.scalar(statement, {"id": batch_id}))


async def list_waiting(tx: Tx) -> list[FailedBatch]:
    """Return the batches that are not stored yet, oldest first."""
    statement = text(
        """SELECT id, batch_id, jsonb_array_length(batch_data) AS rows, created_at, coalesce(error_message, '') AS error,
          retry_count FROM failed_batches WHERE replayed_at IS NULL ORDER BY id"""
    )
    return [
        FailedBatch(row.id, row.batch_id, row.rows, row.created_at, row.error, row.retry_count)
        for row in await tx.execute(statement)
    ]


async def replay(tx: Tx, failed_id: int) -> Replayed:
    """Store a batch through the staging table, leaving out what the Book has; a second time nothing happens."""
    statement = text("SELECT stored, known, rejected FROM replay_batch(:id)")
    row = (await tx.execute(statement, {"id": failed_id})).one()
    return Replayed(row.stored, row.known, row.rejected)


async def forget_replayed(tx: Tx) -> int:
    """Delete the batches that were stored seven days ago; returns how many."""
    statement = text("DELETE FROM failed_batches WHERE replayed_at < clock_timestamp() - interval '7 days'")
    return int((await tx.execute(statement)).rowcount)


def _as_json(ticks: Sequence[PriceTick]) -> str:
    return json.dumps(
        [
            {
                "timestamp": tick.received_at.isoformat(),
                "symbol": tick.instrument,
                "source": tick.source.value,
                "price": str(tick.price),
                "token_id": tick.token_id,
                "source_timestamp": None if tick.source_at is None else tick.source_at.isoformat(),
                "trade_id": tick.trade_id,
            }
            for tick in ticks
        ]
    )
