"""What the Book and the venue's answers in it say of the canary's windows."""

from sqlalchemy import text

from services.operator.canary.judge import CanaryWindow
from shared.db.engine import Tx
from shared.domain.modes import Mode

STRATEGY = "always-trade-canary"

_WINDOWS = text("""
SELECT s.window_id, s.account_id, s.mode, s.instrument, s.side, s.confidence, s.made_at AS signalled_at,
       s.state AS signal_state, s.refusal, o.order_id, o.state AS order_state, o.sent_at,
       coalesce(f.fills, 0) AS fills, coalesce(f.unconfirmed, 0) AS unconfirmed_fills,
       coalesce(f.shares, 0) AS filled_shares, coalesce(f.usdc, 0) AS filled_usdc,
       p.state AS position_state, p.side AS position_side, coalesce(p.bought_shares, 0) AS bought_shares,
       coalesce(v.looks, 0) AS verifications, coalesce(v.failed, 0) AS failed_verifications,
       coalesce(c.oracle_average_at_close, c.oracle_price_at_close) AS oracle_at_close, w.our_direction,
       CASE WHEN w.payout_up = 1 THEN 'UP' WHEN w.payout_down = 1 THEN 'DOWN' WHEN w.payout_up IS NOT NULL THEN 'SPLIT' END
         AS venue_direction,
       p.payout, p.paid_usdc, -p.booked_pnl - p.booked_fees AS booked_pnl_usdc, k.agrees AS check_agrees, k.balance_delta_usdc
  FROM signals s JOIN windows w USING (window_id)
  LEFT JOIN orders o ON o.signal_id = s.signal_id AND o.purpose = 'ENTRY'
  LEFT JOIN positions p ON p.signal_id = s.signal_id
  LEFT JOIN window_close_events c ON c.window_id = s.window_id
  LEFT JOIN settlement_checks k ON k.window_id = s.window_id AND k.account_id = s.account_id AND k.mode = s.mode
  LEFT JOIN LATERAL (SELECT count(*) AS fills, count(*) FILTER (WHERE state <> 'CONFIRMED') AS unconfirmed, sum(shares) AS shares,
      sum(usdc) AS usdc FROM fills x WHERE x.order_id = o.order_id AND x.state <> 'FAILED') f ON true
  LEFT JOIN LATERAL (SELECT count(*) AS looks, count(*) FILTER (WHERE NOT verified) AS failed FROM position_verifications x
      WHERE x.account_id = s.account_id AND x.mode = s.mode AND x.at BETWEEN p.opened_at AND coalesce(p.closed_at, clock_timestamp())) v ON true
 WHERE s.strategy_id = :strategy AND s.mode = :mode AND w.closes_at < clock_timestamp()
   AND s.ordinal = (SELECT max(x.ordinal) FROM signals x WHERE x.account_id = s.account_id AND x.mode = s.mode
                     AND x.strategy_id = s.strategy_id AND x.window_id = s.window_id)
 ORDER BY w.closes_at DESC, s.account_id LIMIT :windows
""")


async def read_windows(tx: Tx, *, mode: Mode, windows: int, strategy: str = STRATEGY) -> list[CanaryWindow]:
    """Return the newest windows over in which the canary spoke, oldest first; each by its last signal."""
    rows = await tx.execute(_WINDOWS, {"strategy": strategy, "mode": mode, "windows": windows})
    return [CanaryWindow(**row) for row in reversed(rows.mappings().all())]
