"""The Book's API for who watches: escalation, orphans, strategies that lost their limit, days and alerts that end.

What each function promises stands above its SQL.
"""

from collections.abc import Collection
from decimal import Decimal

from sqlalchemy import text

from shared.db.engine import Tx
from shared.domain.escalation import Stage
from shared.domain.ids import AccountId, PositionId, StrategyId, TokenId
from shared.domain.losses import Scope
from shared.domain.modes import Mode


async def escalate(tx: Tx, account: AccountId, mode: Mode, stage: Stage) -> bool:
    """Take a stage of the open breaker; False when it is not due, or was taken by anybody before."""
    statement = text("SELECT escalate(:account, :mode, :stage)")
    return bool(await tx.scalar(statement, {"account": account, "mode": mode, "stage": stage}))


async def flag_orphans(
    tx: Tx, account: AccountId, mode: Mode, tokens: Collection[TokenId]
) -> list[PositionId]:
    """Flag the positions in tokens of which the venue shows too little, unflag the others; returns the flagged.

    One that has been flagged for two minutes trips.
    """
    statement = text("SELECT flag_orphans(:account, :mode, :tokens)")
    found = await tx.scalar(statement, {"account": account, "mode": mode, "tokens": sorted(tokens)})
    return [PositionId(name) for name in found]


async def stop_strategy(
    tx: Tx, account: AccountId, mode: Mode, strategy: StrategyId, *, scope: Scope, pnl_usdc: Decimal
) -> bool:
    """Stop a strategy for the session or the day; False when it has not lost its limit, or is stopped already."""
    statement = text("SELECT stop_strategy(:account, :mode, :strategy, :scope, :pnl)")
    parameters = {"account": account, "mode": mode, "strategy": strategy, "scope": scope, "pnl": pnl_usdc}
    return bool(await tx.scalar(statement, parameters))


async def end_days(tx: Tx) -> int:
    """Close the days' own sessions of days that are over; returns how many."""
    return int(await tx.scalar(text("SELECT end_days()")))


async def close_alert(tx: Tx, dedup_key: str) -> bool:
    """Close an alert whose cause is gone; False when none was open."""
    return bool(await tx.scalar(text("SELECT close_alert(:key)"), {"key": dedup_key}))
