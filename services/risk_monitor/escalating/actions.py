"""The transactions of an open breaker: each function is one."""

from services.risk_monitor.escalating.queries import OpenTrip
from shared.db.engine import Database
from shared.db.queries import resting, safeguards, scheduled_work
from shared.domain.escalation import CANCELLING, Stage


async def escalate(database: Database, trip: OpenTrip, stage: Stage) -> bool:
    """Take one stage; False when the Book says it is not due or was taken already (T5).

    What rests is asked to be cancelled in the same transaction: the executor does it by the order, and whoever cancels
    for an EMERGENCY does it at the venue even where no executor lives.
    """
    async with database.begin() as tx:
        taken = await safeguards.escalate(tx, trip.account_id, trip.mode, stage)
        if taken and stage in CANCELLING:
            reason = f"the breaker has been open since {trip.since.isoformat(timespec='seconds')}"
            await resting.request_cancels(tx, trip.account_id, trip.mode, reason=reason, by="escalation")
        return taken


async def claim_reminder(database: Database, trip: OpenTrip, number: int, *, instance: str) -> bool:
    """Claim one half minute's line in the log; False when another instance writes it, or has."""
    work = f"breaker_open:{trip.account_id}/{trip.mode}"
    unit = f"{trip.since.isoformat(timespec='microseconds')} {number:06d}"
    async with database.begin() as tx:
        return await scheduled_work.claim_once(tx, work, done_for=unit, by=instance)
