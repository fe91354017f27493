"""What a page of one recorded window is drawn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from shared.db.engine import Tx

AROUND = timedelta(seconds=30)
"""Shown before the open and after the close."""


@dataclass(frozen=True, slots=True)
class WindowFacts:
    """A window and how it ended, as the Book and the venue have it."""

    window_id: str
    instrument: str
    rule: str
    opens_at: datetime
    closes_at: datetime
    up_token: str | None
    down_token: str | None
    strike: Decimal | None
    strike_source: str | None
    state: str
    our_direction: str | None
    tainted: bool
    resolved_direction: str | None
    resolution_source: str | None
    resolved_at: datetime | None
    consensus: str | None
    confidence: Decimal | None
    surprise: bool | None


@dataclass(frozen=True, slots=True)
class Points:
    """One line of a plot: moments and, at each, the named values."""

    at: Sequence[datetime]
    values: dict[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class DivergenceSpan:
    """Two feeds apart, from when to when; ``ended_at`` None: nobody saw the end."""

    fast: str
    slow: str
    began_at: datetime
    ended_at: datetime | None
    pct: Decimal


@dataclass(frozen=True, slots=True)
class Recorded:
    """Everything a page shows."""

    window: WindowFacts
    feeds: dict[str, Points]
    """Price by feed."""
    books: dict[str, Points]
    """Bid, ask and depths by side, UP and DOWN."""
    divergences: Sequence[DivergenceSpan]
    gaps: Sequence[tuple[str, datetime, datetime | None]]
    completeness: Sequence[tuple[str, int, int]]
    """Feed, received, expected."""


async def find_window(tx: Tx, window_id: str) -> WindowFacts | None:
    """Return a window with its result; None when the Book has none of that name."""
    statement = text(
        """SELECT w.window_id, w.instrument, w.rule, w.opens_at, w.closes_at, w.up_token, w.down_token, w.strike,
          w.strike_source, w.state, w.our_direction, w.tainted, c.resolved_direction,
          c.resolution_source, c.oracle_resolution_time, c.market_consensus_direction, c.market_consensus_confidence,
          c.surprise_resolution
        FROM windows w LEFT JOIN window_close_events c USING (window_id) WHERE w.window_id = :id"""
    )
    row = (await tx.execute(statement, {"id": window_id})).one_or_none()
    return None if row is None else WindowFacts(*row)


async def newest_closed(tx: Tx) -> str | None:
    """Return the window that was sampled last and is resolved; None before the first."""
    statement = text(
        """SELECT window_id FROM window_close_events WHERE resolved_direction IS NOT NULL
        ORDER BY window_close_time DESC LIMIT 1"""
    )
    window_id: str | None = await tx.scalar(statement)
    return window_id


async def read_recorded(tx: Tx, window: WindowFacts) -> Recorded:
    """Return everything recorded of a window, from a little before its open to a little after its close."""
    span = {
        "symbol": window.instrument,
        "since": window.opens_at - AROUND,
        "until": window.closes_at + AROUND,
    }
    return Recorded(
        window=window,
        feeds=await _feeds(tx, span),
        books={
            side: await _book(tx, span, token)
            for side, token in (("UP", window.up_token), ("DOWN", window.down_token))
            if token is not None
        },
        divergences=await _divergences(tx, span),
        gaps=await _gaps(tx, span),
        completeness=await _completeness(tx, window.window_id),
    )


async def _feeds(tx: Tx, span: dict[str, Any]) -> dict[str, Points]:
    statement = text(
        """SELECT source, array_agg(timestamp ORDER BY timestamp, id) AS at, array_agg(price ORDER BY timestamp, id) AS prices
        FROM price_ticks WHERE symbol = :symbol AND timestamp >= :since AND timestamp < :until AND token_id IS NULL
        GROUP BY source ORDER BY source"""
    )
    return {row.source: Points(row.at, {"price": row.prices}) for row in await tx.execute(statement, span)}


async def _book(tx: Tx, span: dict[str, Any], token: str) -> Points:
    statement = text(
        """SELECT array_agg(timestamp ORDER BY timestamp), array_agg(best_bid ORDER BY timestamp),
          array_agg(best_ask ORDER BY timestamp), array_agg(bid_depth_500 ORDER BY timestamp),
          array_agg(ask_depth_500 ORDER BY timestamp)
        FROM order_book_snapshots WHERE symbol = :symbol AND timestamp >= :since AND timestamp < :until AND token_id = :token"""
    )
    at, bid, ask, bid_depth, ask_depth = (await tx.execute(statement, {**span, "token": token})).one()
    values = {"bid": bid, "ask": ask, "bid_depth": bid_depth, "ask_depth": ask_depth}
    return Points(at or (), {name: column or () for name, column in values.items()})


async def _divergences(tx: Tx, span: dict[str, Any]) -> list[DivergenceSpan]:
    statement = text(
        """SELECT fast_feed, slow_feed, timestamp, timestamp + convergence_time_ms * interval '1 millisecond', divergence_pct
        FROM feed_divergence_events WHERE symbol = :symbol AND timestamp >= :since AND timestamp < :until ORDER BY timestamp"""
    )
    return [DivergenceSpan(*row) for row in await tx.execute(statement, span)]


async def _gaps(tx: Tx, span: dict[str, Any]) -> list[tuple[str, datetime, datetime | None]]:
    statement = text(
        """SELECT feed, started_at, ended_at FROM feed_gaps WHERE symbol = :symbol AND started_at < :until
          AND coalesce(ended_at, :until) > :since ORDER BY started_at"""
    )
    return [(row.feed, row.started_at, row.ended_at) for row in await tx.execute(statement, span)]


async def _completeness(tx: Tx, window_id: str) -> list[tuple[str, int, int]]:
    statement = text(
        "SELECT feed, received, expected FROM feed_completeness WHERE window_id = :id ORDER BY feed"
    )
    return [(row.feed, row.received, row.expected) for row in await tx.execute(statement, {"id": window_id})]
