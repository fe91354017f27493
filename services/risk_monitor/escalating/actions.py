"""The transactions of an open breaker: each function is one."""

from services.risk_monitor.escalating.queries import OpenTrip
from shared.db.engine import Database
from shared.db.queries import safeguards, scheduled_work
from shared.domain.escalation import Stage


async def escalate(database: Database, trip: OpenTrip, stage: Stage) -> bool:
    """Take one stage; False when the Book says it is not due or was taken already (T5)."""
    async with database.begin() as tx:
        return await safeguards.escalate(tx, trip.account_id, trip.mode, stage)


async def claim_reminder(database: Database, trip: OpenTrip, number: int, *, instance: str) -> bool:
    """Claim one half minute's line in the log; False when another instance writes it, or has."""
    work = f"breaker_open:{trip.account_id}/{trip.mode}"
    unit = f"{trip.since.isoformat(timespec='microseconds')} {number:06d}"
    async with database.begin() as tx:
        return await scheduled_work.claim_once(tx, work, done_for=unit, by=instance)
