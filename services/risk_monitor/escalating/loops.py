"""The waiting of an open breaker: every second a look at the clock of each trip."""

from dataclasses import dataclass

from services.risk_monitor import metrics
from services.risk_monitor.escalating import actions, queries
from services.risk_monitor.escalating.queries import OpenTrip
from shared.bus.listen import Wakeup
from shared.db.engine import Database
from shared.db.patience import endure
from shared.domain.escalation import due_stages, reminders
from shared.observability.logs import get_logger
from shared.runtime.pulse import LoopPulse

POLL_S = 1.0
log = get_logger()


@dataclass(slots=True)
class Escalation:
    """Says every half minute that a breaker is open, and takes each stage when it is due (R2).

    It keeps nothing: when a trip began and what was done about it are rows, so whoever runs this, and however often it
    was restarted, does each stage once. Cancelling is the work of whoever cancels for an EMERGENCY, by those rows.
    """

    database: Database
    wakeup: Wakeup
    instance: str

    async def run(self, pulse: LoopPulse) -> None:
        async def turn() -> None:
            await self.wakeup.wait(timeout_s=POLL_S)
            with pulse.working():
                await self.look()

        await endure(pulse, turn)

    async def look(self) -> None:
        """Do what is due of every open breaker; stages first, for a log line is worth less."""
        trips = await self.database.retry_read(queries.open_trips)
        metrics.OPEN_BREAKERS.set(len(trips))
        for trip in trips:
            for stage in due_stages(trip.since, trip.now, trip.done):
                if await actions.escalate(self.database, trip, stage):
                    metrics.ESCALATIONS.labels(stage).inc()
                    log.critical("breaker_escalated", stage=stage, **_said(trip))
        for trip in trips:
            number = reminders(trip.since, trip.now)
            if await actions.claim_reminder(self.database, trip, number, instance=self.instance):
                log.error("breaker_open", **_said(trip))


def _said(trip: OpenTrip) -> dict[str, object]:
    return {
        "account_id": trip.account_id,
        "mode": trip.mode,
        "reason": trip.reason,
        "open_for_s": round((trip.now - trip.since).total_seconds()),
    }
