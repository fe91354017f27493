"""EMERGENCY cancels everything that rests at the venue, by credentials alone: no key, no executor needed (R6).

Cancelling all is idempotent, so it is repeated until nothing of ours may rest any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from services.risk_monitor import actions, metrics, queries
from services.risk_monitor.decide import period
from services.risk_monitor.queries import DueCancel
from shared.bus.listen import Wakeup
from shared.db.engine import Database
from shared.db.patience import endure
from shared.domain.ids import AccountId
from shared.domain.outcomes import KnownFailure, Success, Unknown
from shared.observability.logs import get_logger
from shared.runtime.clock import Clock
from shared.runtime.pulse import LoopPulse
from shared.venue.cancelling import Cancelling

POLL_S = 1.0
AGAIN_EVERY_S = 5
log = get_logger()


@dataclass(slots=True)
class Emergency:
    """Cancels all orders of every LIVE account whose kill switch says EMERGENCY."""

    database: Database
    wakeup: Wakeup
    cancelling: Mapping[AccountId, Cancelling]
    clock: Clock
    instance: str

    async def run(self, pulse: LoopPulse) -> None:
        async def turn() -> None:
            await self.wakeup.wait(timeout_s=POLL_S)
            with pulse.working():
                await self.cancel_due()

        await endure(pulse, turn)

    async def cancel_due(self) -> None:
        """Cancel at once after the switch, and again every five seconds while an order of ours may rest."""
        for due in await self.database.retry_read(queries.due_cancels):
            desk = self.cancelling.get(due.account_id)
            if desk is None:
                continue  # /health and the heartbeat say that this account cannot be read or cancelled
            # A new switch has a later name than any period before it, so it is never held up by the last one.
            unit = max(due.switched, period(self.clock.now(), AGAIN_EVERY_S))
            if await actions.claim_cancel_all(self.database, due, unit=unit, instance=self.instance):
                await self._cancel(due, desk)

    async def _cancel(self, due: DueCancel, desk: Cancelling) -> None:
        outcome = await desk.cancel_all()
        match outcome:
            case Success(cancellation):
                metrics.CANCELS.labels("done").inc()
                log.warning("all_cancelled", account_id=due.account_id, count=len(cancellation.cancelled))
                await actions.record_cancelled(self.database, due)
            case KnownFailure(reason=reason):
                metrics.CANCELS.labels("refused").inc()
                log.error("cancel_all_failed", account_id=due.account_id, reason=reason)
                await actions.record_cancel_failed(self.database, due, reason, unknown=False)
            case Unknown(reason=reason):
                metrics.CANCELS.labels("unknown").inc()
                log.error("cancel_all_unknown", account_id=due.account_id, reason=reason)
                await actions.record_cancel_failed(self.database, due, reason, unknown=True)
            case _:
                assert_never(outcome)
