"""Reads that only feed_collector needs."""

from sqlalchemy import text

from shared.db.engine import Tx
from shared.domain.ids import AccountId
from shared.domain.modes import Mode


async def list_gates(tx: Tx) -> list[tuple[AccountId, Mode]]:
    """Return every account and mode that trades on what we capture; a backtest does not."""
    rows = await tx.execute(
        text("SELECT account_id, mode FROM trading_gate WHERE mode <> 'BACKTEST' ORDER BY account_id, mode")
    )
    return [(AccountId(row.account_id), Mode(row.mode)) for row in rows]
