"""The loss limits' waiting: changes of positions, and the clock, for a mark moves without anything being announced."""

from dataclasses import dataclass

from services.risk_monitor import metrics
from services.risk_monitor.limiting import actions, queries
from services.risk_monitor.limiting.queries import Standing
from shared.bus.listen import Wakeup
from shared.db.engine import Database
from shared.db.patience import endure
from shared.domain.ids import StrategyId
from shared.domain.losses import Loss
from shared.observability.logs import get_logger
from shared.runtime.pulse import LoopPulse

POLL_S = 1.0
log = get_logger()


@dataclass(slots=True)
class LossLimits:
    """Trips for an account that has lost its limit, and stops a strategy that has lost its own."""

    database: Database
    wakeup: Wakeup

    async def run(self, pulse: LoopPulse) -> None:
        async def turn() -> None:
            await self.wakeup.wait(timeout_s=POLL_S)
            with pulse.working():
                await self.look()

        await endure(pulse, turn)

    async def look(self) -> None:
        """End the days that are over, then hold every account and strategy against its limits."""
        if ended := await actions.end_days(self.database):
            log.info("days_ended", sessions=ended)
        for standing in await self.database.retry_read(queries.standings):
            if standing.controls is None:
                log.error("controls_unreadable", account_id=standing.account[0])
                continue  # the gate refuses every entry while nobody can read them (P3)
            for loss in standing.losses():
                await self._hold(standing, loss)
            for strategy, loss in standing.strategy_losses():
                await self._hold_strategy(standing, strategy, loss)

    async def _hold(self, standing: Standing, loss: Loss) -> None:
        if (
            loss.is_reached
            and not standing.drawn
            and await actions.trip_drawdown(self.database, standing.account, loss)
        ):
            metrics.LOSS_LIMITS.labels("account", loss.scope).inc()
            log.critical("drawdown", **_said(standing, loss))

    async def _hold_strategy(self, standing: Standing, strategy: StrategyId, loss: Loss) -> None:
        if not loss.is_reached or (strategy, loss.scope, loss.limit_usdc) in standing.stops:
            return
        if await actions.stop_strategy(self.database, standing.account, strategy, loss):
            metrics.LOSS_LIMITS.labels("strategy", loss.scope).inc()
            log.error("strategy_stopped", strategy_id=strategy, **_said(standing, loss))


def _said(standing: Standing, loss: Loss) -> dict[str, object]:
    return {
        "account_id": standing.account[0],
        "mode": standing.account[1],
        "scope": loss.scope,
        "pnl_usdc": loss.pnl_usdc,
        "limit_usdc": loss.limit_usdc,
    }
