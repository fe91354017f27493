"""The Book's API for who watches: exits, escalation, orphans, strategies that lost their limit, days and alerts that end.

What each function promises stands above its SQL.
"""

from collections.abc import Collection
from decimal import Decimal

from sqlalchemy import text

from shared.db.engine import Tx
from shared.db.queries.documents import Details, dump
from shared.domain.escalation import Stage
from shared.domain.ids import AccountId, PositionId, StrategyId, TokenId
from shared.domain.losses import Scope
from shared.domain.modes import Mode
from shared.domain.positions import ExitReason


async def request_exit(
    tx: Tx,
    position: PositionId,
    reason: ExitReason,
    *,
    trigger_price: Decimal | None,
    observed_price: Decimal | None,
    evidence: Details,
) -> bool:
    """Ask for a position to be left; False when nothing changed (already triggered, already over)."""
    statement = text("SELECT request_exit(:position, :reason, :trigger, :observed, CAST(:evidence AS jsonb))")
    parameters = {
        "position": position,
        "reason": reason,
        "trigger": trigger_price,
        "observed": observed_price,
        "evidence": dump(evidence),
    }
    return bool(await tx.scalar(statement, parameters))


async def note_peak(tx: Tx, position: PositionId, bid: Decimal) -> None:
    """Raise the highest bid seen since the entry."""
    await tx.execute(text("SELECT note_peak(:position, :bid)"), {"position": position, "bid": bid})


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
