"""The transactions of the loss limits: each function is one."""

from services.risk_monitor.queries import Account
from shared.db.engine import Database
from shared.db.queries import lifecycle, safeguards
from shared.domain.breaker import TripReason
from shared.domain.ids import StrategyId
from shared.domain.losses import Loss


async def end_days(database: Database) -> int:
    """Close the days' own sessions of days that are over; returns how many."""
    async with database.begin() as tx:
        return await safeguards.end_days(tx)


async def trip_drawdown(database: Database, account: Account, loss: Loss) -> bool:
    """Stop an account that has lost its limit; False when it was stopped already."""
    context = {"scope": loss.scope, "limit_usdc": loss.limit_usdc}
    async with database.begin() as tx:
        return await lifecycle.trip_breaker(tx, *account, TripReason.DRAWDOWN, context)


async def stop_strategy(database: Database, account: Account, strategy: StrategyId, loss: Loss) -> bool:
    """Stop a strategy that has lost its limit; False when it was stopped already."""
    async with database.begin() as tx:
        return await safeguards.stop_strategy(
            tx, *account, strategy, scope=loss.scope, pnl_usdc=round(loss.pnl_usdc, 6)
        )
