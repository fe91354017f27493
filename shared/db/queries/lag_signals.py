"""lag_signals: what a move of the fast feed predicted of the oracle, and what came of it (C15).

order_id, fill_price, slippage and pnl stay empty, for no strategy trades on a prediction; so does confidence, for what we
know of it is the correlation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text

from shared.db.engine import Tx
from shared.domain.ids import Instrument, WindowId


@dataclass(frozen=True, slots=True)
class LagSignal:
    """One expectation; ``ended_at`` None while nobody knows, ``outcome`` None at the end: the oracle did not move."""

    at: datetime
    instrument: Instrument
    window_id: WindowId | None
    spot_price: Decimal
    oracle_price: Decimal
    move_pct: Decimal
    direction: str
    tau_ms: int
    correlation: Decimal
    market_price: Decimal | None
    """The predicted side's token, USDC per share."""
    spread: Decimal | None
    depth_usdc: Decimal | None
    ended_at: datetime | None
    oracle_then: Decimal | None
    took_ms: int | None
    outcome: str | None
    correct: bool | None


async def write(tx: Tx, signals: Sequence[LagSignal]) -> None:
    """Append what was expected and complete what ended; the same again changes nothing."""
    await tx.execute(text("SET LOCAL synchronous_commit = off"))
    for each in signals:
        parameters = {
            "at": each.at,
            "symbol": each.instrument,
            "window_id": each.window_id,
            "spot": each.spot_price,
            "oracle": each.oracle_price,
            "move": each.move_pct,
            "direction": each.direction,
            "tau": each.tau_ms,
            "correlation": each.correlation,
            "market": each.market_price,
            "spread": each.spread,
            "depth": each.depth_usdc,
        }
        await tx.execute(_BEGIN, parameters)
        if each.ended_at is not None:
            ending = {
                "at": each.at,
                "symbol": each.instrument,
                "ended": each.ended_at,
                "price": each.oracle_then,
                "took": each.took_ms,
                "outcome": each.outcome,
                "correct": each.correct,
            }
            await tx.execute(_END, ending)


_BEGIN = text(
    """INSERT INTO lag_signals (timestamp, symbol, window_id, spot_price, oracle_price, spot_move_pct, predicted_direction,
      predicted_tau_ms, correlation_at_signal, polymarket_price, spread_at_signal, depth_at_signal)
    SELECT CAST(:at AS timestamptz), CAST(:symbol AS varchar), :window_id, :spot, :oracle, :move, :direction, :tau, :correlation,
      :market, :spread, :depth
    WHERE NOT EXISTS (SELECT FROM lag_signals WHERE symbol = :symbol AND timestamp = :at)"""
)
_END = text(
    """UPDATE lag_signals SET oracle_update_timestamp = :ended, oracle_update_price = :price, actual_tau_ms = :took,
      outcome_direction = :outcome, prediction_correct = :correct WHERE symbol = :symbol AND timestamp = :at"""
)
