"""The assertions' waiting: the clock."""

from dataclasses import dataclass

from services.risk_monitor import metrics
from services.risk_monitor.asserting import actions, queries
from services.risk_monitor.loops import Progress
from shared.db.engine import Database
from shared.db.patience import endure_every
from shared.observability.logs import get_logger
from shared.runtime.pulse import LoopPulse

LOOK_EVERY_S = 1.0
HOLDINGS = frozenset({4})
log = get_logger()


@dataclass(slots=True)
class Assertions:
    """Checks the ten assertions of everyone who trades, each on its schedule."""

    database: Database
    instance: str
    progress: Progress

    async def run(self, pulse: LoopPulse) -> None:
        await endure_every(pulse, LOOK_EVERY_S, self.check)

    async def check(self) -> None:
        """Check what is due; holdings only once our own verifier has looked, for before nobody could confirm them."""
        leaving_out = frozenset() if self.progress.verified else HOLDINGS
        for account in await self.database.retry_read(queries.trading):
            results = await actions.check_assertions(
                self.database,
                account,
                now=self.progress.clock.now(),
                instance=self.instance,
                leaving_out=leaving_out,
            )
            for result in results:
                metrics.ASSERTIONS.labels("held" if result.passed else "failed").inc()
                if not result.passed:
                    log.error(
                        "assertion_failed",
                        account_id=account[0],
                        mode=account[1],
                        assertion=result.number,
                        broken=result.broken,
                    )
