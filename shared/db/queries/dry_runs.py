"""What a dry run would have done, set beside what then happened (E12)."""

from sqlalchemy import text

from shared.db.engine import Tx

_COMPARE = text("""
INSERT INTO dry_run_comparisons (order_id, simulated, happened)
SELECT o.order_id,
       jsonb_build_object('side', o.side, 'state', o.state, 'limit_price', o.limit_price::text, 'shares', o.traded_shares::text,
         'usdc', o.traded_usdc::text, 'fee_usdc', o.traded_fee_usdc::text, 'depth_share', o.gate_evidence->'depth_share'),
       jsonb_build_object('next_book_at', b.timestamp, 'next_best_bid', b.best_bid::text, 'next_best_ask', b.best_ask::text,
         'could_have_filled', CASE WHEN o.side = 'BUY' THEN b.best_ask <= o.limit_price ELSE b.best_bid >= o.limit_price END,
         'payout', (CASE p.side WHEN 'UP' THEN w.payout_up ELSE w.payout_down END)::text, 'resolved_by', w.resolution_source,
         'pnl_usdc', (-p.booked_pnl - p.booked_fees)::text)
  FROM orders o JOIN windows w USING (window_id) JOIN positions p USING (position_id)
  LEFT JOIN LATERAL (SELECT timestamp, best_bid, best_ask FROM order_book_snapshots s
                      WHERE s.symbol = o.instrument AND s.token_id = o.token_id AND s.timestamp > o.claimed_at
                      ORDER BY s.timestamp LIMIT 1) b ON true
 WHERE o.mode = 'DRY_RUN' AND o.claimed_at > now() - interval '7 days' AND w.state = 'RESOLVED' AND p.state IN ('CLOSED', 'VOID')
   AND NOT EXISTS (SELECT FROM dry_run_comparisons c WHERE c.order_id = o.order_id)
ON CONFLICT DO NOTHING
""")


async def compare(tx: Tx) -> int:
    """Write down, once per order, how each dry run of the last seven days compares when its window is over.

    Returns how many were new.

    Beside the simulated fill stand the next recorded book of the token (could the order have filled there?), the
    venue's payout and the profit the position came to.
    """
    return (await tx.execute(_COMPARE)).rowcount
