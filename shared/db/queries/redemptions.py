"""Resolved tokens that are not cash yet."""

from sqlalchemy import text

from shared.db.engine import Tx
from shared.domain.ids import AccountId, ConditionId, RedemptionId, TokenId, WindowId
from shared.domain.modes import Mode
from shared.domain.readings import PendingRedemption, Redeemable
from shared.domain.redemptions import RedemptionState

_REDEEMABLE = text("""
SELECT clock_timestamp() AS now, p.account_id, p.mode, p.window_id, w.condition_id, w.up_token, w.down_token, w.version, w.neg_risk,
       coalesce(sum(p.bought_shares - p.sold_shares - p.paid_shares) FILTER (WHERE p.side = 'UP'), 0) AS up_shares,
       coalesce(sum(p.bought_shares - p.sold_shares - p.paid_shares) FILTER (WHERE p.side = 'DOWN'), 0) AS down_shares,
       (SELECT count(*) FROM redemptions r WHERE r.account_id = p.account_id AND r.mode = p.mode AND r.window_id = p.window_id) AS attempts,
       (SELECT max(finished_at) FROM redemptions r WHERE r.account_id = p.account_id AND r.mode = p.mode
          AND r.window_id = p.window_id) AS last_finished_at
  FROM positions p JOIN windows w USING (window_id)
 WHERE p.state = 'SETTLEMENT'
 GROUP BY p.account_id, p.mode, p.window_id, w.condition_id, w.up_token, w.down_token, w.version, w.neg_risk
 ORDER BY p.window_id
""")

_PENDING = text("""
SELECT r.*, w.condition_id, w.up_token, w.down_token, w.version, w.neg_risk, clock_timestamp() AS now,
       coalesce(sum(p.bought_shares - p.sold_shares - p.paid_shares) FILTER (WHERE p.side = 'UP'), 0) AS up_shares,
       coalesce(sum(p.bought_shares - p.sold_shares - p.paid_shares) FILTER (WHERE p.side = 'DOWN'), 0) AS down_shares
  FROM redemptions r JOIN windows w USING (window_id)
  JOIN positions p ON p.account_id = r.account_id AND p.mode = r.mode AND p.window_id = r.window_id AND p.state = 'REDEEMING'
 WHERE r.state IN ('CLAIMED', 'SUBMITTED', 'UNKNOWN')
 GROUP BY r.redemption_id, w.condition_id, w.up_token, w.down_token, w.version, w.neg_risk
 ORDER BY r.claimed_at
""")


async def redeemable(tx: Tx) -> list[Redeemable]:
    """Return what waits in SETTLEMENT, by account, mode and window."""
    return [
        Redeemable(
            now=row.now,
            account_id=AccountId(row.account_id),
            mode=Mode(row.mode),
            window_id=WindowId(row.window_id),
            condition_id=ConditionId(row.condition_id),
            up_token=TokenId(row.up_token),
            down_token=TokenId(row.down_token),
            version=row.version,
            neg_risk=row.neg_risk,
            up_shares=row.up_shares,
            down_shares=row.down_shares,
            attempts=row.attempts,
            last_finished_at=row.last_finished_at,
        )
        for row in await tx.execute(_REDEEMABLE)
    ]


async def pending(tx: Tx) -> list[PendingRedemption]:
    """Return the redemptions under way, oldest first."""
    return [
        PendingRedemption(
            redemption_id=RedemptionId(row.redemption_id),
            account_id=AccountId(row.account_id),
            mode=Mode(row.mode),
            window_id=WindowId(row.window_id),
            condition_id=ConditionId(row.condition_id),
            up_token=TokenId(row.up_token),
            down_token=TokenId(row.down_token),
            version=row.version,
            neg_risk=row.neg_risk,
            up_shares=row.up_shares,
            down_shares=row.down_shares,
            state=RedemptionState(row.state),
            ticket=row.ticket,
            expected_usdc=row.expected_usdc,
            epoch=row.epoch,
            claimed_at=row.claimed_at,
            now=row.now,
        )
        for row in await tx.execute(_PENDING)
    ]
