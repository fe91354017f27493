"""books_now and order_book_snapshots: the newest book of each token, and its history in eight numbers."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text

from shared.db.engine import Tx
from shared.db.queries.rows import read_levels
from shared.domain.books import Book
from shared.domain.ids import Instrument, TokenId, WindowId


@dataclass(frozen=True, slots=True)
class BookRow:
    """A token's book as it is to be stored."""

    window_id: WindowId
    book: Book
    snapshot_at: datetime
    """Source time of the snapshot it was built from."""


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """One line of a book's history; depths in USDC."""

    at: datetime
    instrument: Instrument
    token_id: TokenId
    best_bid: Decimal | None
    best_ask: Decimal | None
    spread: Decimal | None
    mid: Decimal | None
    bid_depth_100: Decimal
    ask_depth_100: Decimal
    bid_depth_500: Decimal
    ask_depth_500: Decimal


async def write(tx: Tx, rows: Sequence[BookRow]) -> None:
    """Store these books as the newest ones, in one statement. An older book never replaces a newer one.

    Not waited for on disk: after a crash of the server the collector's next snapshot is newer than what was lost.
    """
    statement = text(
        """WITH unhurried AS (SELECT set_config('synchronous_commit', 'off', true) AS said)
        INSERT INTO books_now AS kept (token_id, window_id, bids, asks, source_at, received_at, snapshot_at, continuous, updates)
        SELECT token_id, window_id, bids, asks, source_at, received_at, snapshot_at, continuous, 1
        FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS new (token_id text, window_id text, bids jsonb, asks jsonb,
          source_at timestamptz, received_at timestamptz, snapshot_at timestamptz, continuous boolean), unhurried
        ORDER BY token_id
        ON CONFLICT (token_id) DO UPDATE SET bids = excluded.bids, asks = excluded.asks, source_at = excluded.source_at,
          received_at = excluded.received_at, snapshot_at = excluded.snapshot_at, continuous = excluded.continuous,
          updates = kept.updates + 1
        WHERE kept.received_at <= excluded.received_at"""
    )
    await tx.execute(statement, {"rows": json.dumps([_plain(row) for row in rows])})


async def find(tx: Tx, tokens: Collection[TokenId]) -> dict[TokenId, Book]:
    """Return the newest books of these tokens; one that was never written is absent."""
    statement = text(
        "SELECT token_id, bids, asks, source_at, received_at, continuous FROM books_now WHERE token_id = ANY(:tokens)"
    )
    rows = await tx.execute(statement, {"tokens": sorted(tokens)})
    return {
        TokenId(row.token_id): Book(
            token_id=TokenId(row.token_id),
            bids=read_levels(row.bids),
            asks=read_levels(row.asks),
            source_at=row.source_at,
            received_at=row.received_at,
            continuous=row.continuous,
        )
        for row in rows
    }


async def doubt_all(tx: Tx) -> int:
    """Mark every book as not continuous: whoever kept them is gone. Returns how many were."""
    return int((await tx.execute(text("UPDATE books_now SET continuous = false WHERE continuous"))).rowcount)


async def forget_closed(tx: Tx) -> int:
    """Delete the books of windows that have been over for ten minutes; returns how many."""
    statement = text(
        """DELETE FROM books_now b USING windows w WHERE w.window_id = b.window_id
          AND w.closes_at < clock_timestamp() - interval '10 minutes'"""
    )
    return int((await tx.execute(statement)).rowcount)


async def insert_snapshots(tx: Tx, rows: Sequence[SnapshotRow]) -> None:
    """Append lines to the history of books."""
    await tx.execute(text("SET LOCAL synchronous_commit = off"))
    statement = text(
        """INSERT INTO order_book_snapshots (timestamp, symbol, token_id, best_bid, best_ask, spread, mid_price,
          bid_depth_100, ask_depth_100, bid_depth_500, ask_depth_500)
        VALUES (:at, :symbol, :token_id, :best_bid, :best_ask, :spread, :mid, :bid_100, :ask_100, :bid_500, :ask_500)"""
    )
    parameters = [
        {
            "at": row.at,
            "symbol": row.instrument,
            "token_id": row.token_id,
            "best_bid": row.best_bid,
            "best_ask": row.best_ask,
            "spread": row.spread,
            "mid": row.mid,
            "bid_100": row.bid_depth_100,
            "ask_100": row.ask_depth_100,
            "bid_500": row.bid_depth_500,
            "ask_500": row.ask_depth_500,
        }
        for row in rows
    ]
    await tx.execute(statement, parameters)


def _plain(row: BookRow) -> dict[str, object]:
    book = row.book
    return {
        "token_id": book.token_id,
        "window_id": row.window_id,
        "bids": [[str(level.price), str(level.size)] for level in book.bids],
        "asks": [[str(level.price), str(level.size)] for level in book.asks],
        "source_at": book.source_at.isoformat(),
        "received_at": book.received_at.isoformat(),
        "snapshot_at": row.snapshot_at.isoformat(),
        "continuous": book.continuous,
    }
