"""The transactions of a verification: each function is one."""

from datetime import datetime

from services.risk_monitor.decide import LastAnswer, Verdict, blind_reason
from services.risk_monitor.queries import Account
from services.risk_monitor.verifying import queries
from shared.db.engine import Database, Tx
from shared.db.queries import lifecycle, safeguards
from shared.domain.breaker import TripReason
from shared.domain.controls import ControlInvalid, Controls, parse_controls
from shared.domain.ids import PositionId


async def keep_verification(
    database: Database,
    account: Account,
    verdict: Verdict,
    *,
    skipped: bool,
    answered_at: datetime | None = None,
) -> list[PositionId]:
    """Keep a verification; one that shows shares the Book does not know, twice, trips (R3).

    Returns the positions flagged because the venue does not show them. ``answered_at`` is when the venue said what this
    was verified by, where that was not now.
    """
    async with database.begin() as tx:
        await queries.insert_verification(tx, account, verdict, skipped=skipped, answered_at=answered_at)
        if verdict.trips:
            context = {"tokens": verdict.unknown, "differences": verdict.differences}
            await lifecycle.trip_breaker(tx, *account, await _blind_reason(tx, account), context)
        if verdict.orphaned is None:
            return []
        flagged = await safeguards.flag_orphans(tx, *account, verdict.orphaned)
        for position in flagged:
            await lifecycle.raise_alert(
                tx,
                severity="ERROR",
                kind="position_orphaned",
                dedup_key=f"position_orphaned:{position}",
                account=account[0],
                mode=account[1],
                details={"position_id": position, "differences": verdict.differences},
            )
        return flagged


async def _blind_reason(tx: Tx, account: Account) -> TripReason:
    try:
        controls = parse_controls(await queries.sell_rules(tx, account[0]))
    except ControlInvalid:
        controls = Controls()  # which of the two names it has matters less than that it trips
    return blind_reason(controls)


async def trip_unseen(database: Database, account: Account, last: LastAnswer, reason: str) -> bool:
    """Stop trading because what is held could not be seen for half a minute; False when it was stopped already."""
    context = {"last_answer_at": last.at, "held_since": last.held_since, "reason": reason}
    async with database.begin() as tx:
        return await lifecycle.trip_breaker(tx, *account, TripReason.VERIFICATION_RATE_LIMITED, context)
