"""window_close_events: one row a window, filled as its end comes near, and again when the venue has spoken (C9)."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from shared.db.engine import Tx
from shared.domain.ids import Instrument, WindowId

SAMPLED = (60, 30, 10, 5, 1)


@dataclass(frozen=True, slots=True)
class CloseSample:
    """What everybody said ``seconds_before`` a window's close; 0 is the close itself."""

    window_id: WindowId
    instrument: Instrument
    closes_at: datetime
    seconds_before: int
    strike: Decimal | None
    oracle_price: Decimal | None
    oracle_average: Decimal | None
    binance_price: Decimal | None
    pyth_price: Decimal | None
    up_price: Decimal | None
    down_price: Decimal | None
    consensus: str | None
    """UP or DOWN; None where no book showed a favourite."""
    confidence: Decimal | None


@dataclass(frozen=True, slots=True)
class DenseSample:
    """What everybody said ``ms_to_close`` before a window's close; USD, and USDC per share for the tokens."""

    window_id: WindowId
    at: datetime
    ms_to_close: int
    oracle_price: Decimal | None
    oracle_average: Decimal | None
    binance_price: Decimal | None
    pyth_price: Decimal | None
    up_bid: Decimal | None
    up_ask: Decimal | None
    down_bid: Decimal | None
    down_ask: Decimal | None


@dataclass(frozen=True, slots=True)
class CloseResult:
    """What became of it."""

    payout_up: Decimal
    direction: str
    source: str
    resolved_at: datetime | None
    surprise: bool | None


async def write_sample(tx: Tx, sample: CloseSample) -> None:
    """Fill one sample's columns of the window's row; the row is made by the first one."""
    values = _values(sample)
    names = ", ".join(values)
    placeholders = ", ".join(f":{name}" for name in values)
    # A price taken later never replaces one taken in time; strike and consensus are those of the newest sample.
    updates = ", ".join(
        f"{name} = coalesce(excluded.{name}, kept.{name})"
        if name in {"strike_price", "market_consensus_direction", "market_consensus_confidence"}
        else f"{name} = coalesce(kept.{name}, excluded.{name})"
        for name in values
        if name not in {"window_id", "symbol", "window_close_time"}
    )
    statement = text(
        f"""INSERT INTO window_close_events AS kept ({names}, samples) VALUES ({placeholders}, 1)
        ON CONFLICT (window_id) DO UPDATE SET {updates}, samples = kept.samples + 1"""  # noqa: S608 names of this file
    )
    await tx.execute(statement, values)


async def write_dense(tx: Tx, samples: Sequence[DenseSample]) -> None:
    """Append samples, each moment of a window once."""
    await tx.execute(text("SET LOCAL synchronous_commit = off"))
    statement = text(
        """INSERT INTO window_close_samples (window_id, at, ms_to_close, oracle_price, oracle_average, binance_price,
          pyth_price, up_bid, up_ask, down_bid, down_ask)
        VALUES (:window_id, :at, :ms_to_close, :oracle_price, :oracle_average, :binance_price, :pyth_price, :up_bid, :up_ask, :down_bid,
          :down_ask)
        ON CONFLICT (window_id, ms_to_close) DO NOTHING"""
    )
    await tx.execute(statement, [dataclasses.asdict(sample) for sample in samples])


async def count_attempt(tx: Tx, window_id: WindowId) -> None:
    """Count one question to the venue how a window ended."""
    statement = text(
        """UPDATE window_close_events SET resolution_attempts = resolution_attempts + 1 WHERE window_id = :id"""
    )
    await tx.execute(statement, {"id": window_id})


async def find_consensus(tx: Tx, window_id: WindowId) -> tuple[str, Decimal] | None:
    """Return what the books last held for certain, and how much so; None where nothing was sampled."""
    statement = text(
        """SELECT market_consensus_direction AS direction, market_consensus_confidence AS confidence
        FROM window_close_events WHERE window_id = :id AND market_consensus_direction IS NOT NULL"""
    )
    row = (await tx.execute(statement, {"id": window_id})).one_or_none()
    return None if row is None else (row.direction, row.confidence)


async def write_result(
    tx: Tx, window_id: WindowId, *, instrument: Instrument, closes_at: datetime, result: CloseResult
) -> None:
    """Fill the result's columns; the row is made if nobody watched the close."""
    statement = text(
        """INSERT INTO window_close_events AS kept (window_id, symbol, window_close_time, resolution_payout_up,
          resolved_direction, resolution_source, oracle_resolution_time, surprise_resolution)
        VALUES (:id, :symbol, :closes_at, :payout_up, :direction, :source, :resolved_at, :surprise)
        ON CONFLICT (window_id) DO UPDATE SET resolution_payout_up = excluded.resolution_payout_up,
          resolved_direction = excluded.resolved_direction, resolution_source = excluded.resolution_source,
          oracle_resolution_time = coalesce(excluded.oracle_resolution_time, kept.oracle_resolution_time),
          surprise_resolution = excluded.surprise_resolution"""
    )
    parameters = {
        "id": window_id,
        "symbol": instrument,
        "closes_at": closes_at,
        "payout_up": result.payout_up,
        "direction": result.direction,
        "source": result.source,
        "resolved_at": result.resolved_at,
        "surprise": result.surprise,
    }
    await tx.execute(statement, parameters)


def _values(sample: CloseSample) -> Mapping[str, Any]:
    """Return the columns this sample fills."""
    shared: dict[str, Any] = {
        "window_id": sample.window_id,
        "symbol": sample.instrument,
        "window_close_time": sample.closes_at,
        "strike_price": sample.strike,
        "market_consensus_direction": sample.consensus,
        "market_consensus_confidence": sample.confidence,
    }
    if sample.seconds_before in SAMPLED:
        seconds = f"{sample.seconds_before}s"
        return shared | {
            f"oracle_price_{seconds}_before": sample.oracle_price,
            f"market_up_price_{seconds}": sample.up_price,
            f"market_down_price_{seconds}": sample.down_price,
        }
    # polymarket_binance_at_close stays empty: only RTDS repeats Binance's price, the venue announced its end for October
    # 2026, and what it repeats is binance_price_at_close half a second late.
    return shared | {
        "oracle_price_at_close": sample.oracle_price,
        "chainlink_price_at_close": sample.oracle_price,
        "oracle_average_at_close": sample.oracle_average,
        "binance_price_at_close": sample.binance_price,
        "pyth_price_at_close": sample.pyth_price,
    }
