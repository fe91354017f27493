"""Positions somebody asked to leave, with what an exit needs to know."""

from typing import Any

from sqlalchemy import Row, text

from shared.db.engine import Tx
from shared.db.queries.rows import read_book, read_fee, read_risk
from shared.domain.ids import AccountId, PositionId, SignalId, TokenId, WindowId
from shared.domain.modes import Mode
from shared.domain.positions import ExitReason
from shared.domain.readings import ExitDue

_EXITS_DUE = text("""
SELECT clock_timestamp() AS now, p.*, w.closes_at, coalesce(m.tick, w.tick) AS tick, w.neg_risk, w.version,
       w.fee_rate, w.fee_exponent, w.fee_taker_only, b.bids, b.asks, b.source_at, b.received_at, b.continuous,
       (SELECT max(claimed_at) FROM orders o WHERE o.position_id = p.position_id AND o.purpose = 'EXIT') AS last_attempt_at,
       (SELECT coalesce(sum(shares), 0) FROM fills f WHERE f.position_id = p.position_id AND f.side = 'BUY'
          AND f.state IN ('MINED', 'CONFIRMED')) AS mined,
       (SELECT coalesce(sum(CASE WHEN e.possibly_live THEN greatest(o.maker_amount, e.eff_shares) ELSE e.eff_shares END), 0)
          FROM order_effects e JOIN orders o USING (order_id) WHERE e.position_id = p.position_id AND e.side = 'SELL') AS selling
  FROM positions p JOIN windows w USING (window_id)
  LEFT JOIN market_facts m USING (window_id)
  LEFT JOIN books_now b ON b.token_id = p.token_id
 WHERE p.state IN ('STOP_TRIGGERED', 'TAKE_PROFIT_TRIGGERED', 'FLATTEN_TRIGGERED') AND w.closes_at > clock_timestamp()
 ORDER BY p.exit_requested_at
""")


async def exits_due(tx: Tx) -> list[ExitDue]:
    """Return the positions to sell in windows that still trade, the longest waiting first."""
    return [_due(row) for row in await tx.execute(_EXITS_DUE)]


def _due(row: Row[Any]) -> ExitDue:
    fee = read_fee(row.fee_rate, row.fee_exponent, taker_only=row.fee_taker_only)
    assert fee is not None, "a window without its fee was never traded"
    return ExitDue(
        now=row.now,
        account_id=AccountId(row.account_id),
        mode=Mode(row.mode),
        position_id=PositionId(row.position_id),
        signal_id=SignalId(row.signal_id),
        window_id=WindowId(row.window_id),
        token_id=TokenId(row.token_id),
        reason=ExitReason(row.exit_reason),
        requested_at=row.exit_requested_at,
        attempts=row.exit_attempts,
        last_attempt_at=row.last_attempt_at,
        mined_shares=row.mined,
        selling_shares=row.selling,
        held_shares=row.bought_shares - row.sold_shares,
        risk=read_risk(row.risk),
        closes_at=row.closes_at,
        tick=row.tick,
        neg_risk=row.neg_risk,
        version=row.version,
        fee=fee,
        book=read_book(row),
    )
