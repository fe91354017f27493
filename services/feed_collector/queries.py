"""Reads that only feed_collector needs."""

from sqlalchemy import text

from shared.db.engine import Tx
from shared.domain.ids import AccountId
from shared.domain.modes import Mode


async def list_gates(tx: Tx, *, tripped: bool = False) -> list[tuple[AccountId, Mode]]:
    """Return every account and mode that trades on what we capture, or only the tripped; a backtest does not."""
    rows = await tx.execute(
        text(
            """SELECT account_id, mode FROM trading_gate WHERE mode <> 'BACKTEST' AND (breaker = 'OPEN' OR NOT :tripped)
            ORDER BY account_id, mode"""
        ),
        {"tripped": tripped},
    )
    return [(AccountId(row.account_id), Mode(row.mode)) for row in rows]
