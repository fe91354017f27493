"""The waiting of what people are told: the clock."""

from dataclasses import dataclass

from services.risk_monitor import metrics
from services.risk_monitor.telling import actions, queries
from shared.db.engine import Database
from shared.db.patience import endure_every
from shared.observability.logs import get_logger
from shared.runtime.pulse import LoopPulse

LOOK_EVERY_S = 2.0
log = get_logger()


@dataclass(slots=True)
class Notices:
    """Opens an alert when something begins, closes it when it ends; trips where nobody watches what is at stake.

    What is open is a row, so a restart tells nobody twice; alerts others raised are closed by what their rows say.
    """

    database: Database

    async def run(self, pulse: LoopPulse) -> None:
        await endure_every(pulse, LOOK_EVERY_S, self.look)

    async def look(self) -> None:
        """Trip first, then bring the alerts up to what is so."""
        for silence in await self.database.retry_read(queries.silences):
            if await actions.trip_silent(self.database, silence):
                log.critical("health_silent", account_id=silence.account[0], services=silence.services)
        found = {each.key: each for each in await self.database.retry_read(queries.conditions)}
        told = await self.database.retry_read(queries.open_keys)
        for key, condition in found.items():
            if key not in told:
                log.warning("alert_raised", key=key)
                await actions.tell(self.database, condition)
        gone = [*(told - found.keys()), *await self.database.retry_read(queries.causeless)]
        for key in gone:
            if await actions.close(self.database, key):
                metrics.ALERTS_CLOSED.inc()
                log.info("alert_closed", key=key)
