"""feed_divergence_events: when two feeds disagreed, in which window, and how long it took them to agree (C8)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text

from shared.db.engine import Tx
from shared.domain.ids import Instrument, WindowId
from shared.domain.ticks import Source


@dataclass(frozen=True, slots=True)
class DivergenceBegun:
    """Two feeds came apart, in this window if one was running."""

    instrument: Instrument
    fast: Source
    slow: Source
    at: datetime
    fast_price: Decimal
    slow_price: Decimal
    pct: Decimal
    direction: str
    window_id: WindowId | None
    ms_to_close: int | None


@dataclass(frozen=True, slots=True)
class DivergenceEnded:
    """The same two agree again."""

    instrument: Instrument
    fast: Source
    slow: Source
    began_at: datetime
    took_ms: int
    converged_to: Decimal


async def write(tx: Tx, news: Sequence[DivergenceBegun | DivergenceEnded]) -> None:
    """Append what began and complete what ended, in order."""
    await tx.execute(text("SET LOCAL synchronous_commit = off"))
    for each in news:
        if isinstance(each, DivergenceBegun):
            await _begin(tx, each)
        else:
            await _end(tx, each)


async def _begin(tx: Tx, begun: DivergenceBegun) -> None:
    statement = text(
        """INSERT INTO feed_divergence_events (timestamp, symbol, fast_feed, slow_feed, fast_feed_price, slow_feed_price,
          divergence_pct, divergence_direction, window_id, time_to_window_close_ms)
        SELECT CAST(:at AS timestamptz), CAST(:symbol AS varchar), CAST(:fast AS varchar), CAST(:slow AS varchar), :fast_price, :slow_price, :pct, :direction, :window_id, :ms_to_close
        WHERE NOT EXISTS (SELECT FROM feed_divergence_events WHERE symbol = :symbol AND timestamp = :at
          AND fast_feed = :fast AND slow_feed = :slow)"""
    )
    await tx.execute(
        statement,
        {
            "at": begun.at,
            "symbol": begun.instrument,
            "fast": begun.fast.value,
            "slow": begun.slow.value,
            "fast_price": begun.fast_price,
            "slow_price": begun.slow_price,
            "pct": begun.pct,
            "direction": begun.direction,
            "window_id": begun.window_id,
            "ms_to_close": begun.ms_to_close,
        },
    )


async def _end(tx: Tx, ended: DivergenceEnded) -> None:
    statement = text(
        """UPDATE feed_divergence_events SET convergence_time_ms = :took, converged_to_price = :price
        WHERE symbol = :symbol AND timestamp = :at AND fast_feed = :fast AND slow_feed = :slow"""
    )
    await tx.execute(
        statement,
        {
            "took": ended.took_ms,
            "price": ended.converged_to,
            "symbol": ended.instrument,
            "at": ended.began_at,
            "fast": ended.fast.value,
            "slow": ended.slow.value,
        },
    )
