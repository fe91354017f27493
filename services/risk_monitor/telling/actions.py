"""The transactions of telling: each function is one."""

from services.risk_monitor.telling.queries import Condition, Silence
from shared.db.engine import Database
from shared.db.queries import lifecycle, safeguards
from shared.domain.breaker import TripReason


async def tell(database: Database, condition: Condition) -> None:
    """Alert of something that has begun."""
    account, mode = condition.account or (None, None)
    async with database.begin() as tx:
        await lifecycle.raise_alert(
            tx,
            severity=condition.severity,
            kind=condition.kind,
            dedup_key=condition.key,
            account=account,
            mode=mode,
            details=condition.details,
        )


async def close(database: Database, dedup_key: str) -> bool:
    """Close an alert whose cause is gone."""
    async with database.begin() as tx:
        return await safeguards.close_alert(tx, dedup_key)


async def trip_silent(database: Database, silence: Silence) -> bool:
    """Stop an account whose money nobody watches; False when it was stopped already."""
    context = {"services": silence.services}
    async with database.begin() as tx:
        return await lifecycle.trip_breaker(tx, *silence.account, TripReason.HEALTH_SILENT, context)
