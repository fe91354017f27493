"""Wiring: settings → database → venue → executors → the lock → loops."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial

from services.execution import actions
from services.execution.config import ExecutionSettings
from services.execution.executors import make_executors
from services.execution.loops.desk import Desk, Wakeups
from services.execution.loops.halting import Halting
from services.execution.loops.lead import Leadership, beat, lead
from services.execution.preflight import require_preflight
from shared.bus.listen import Switchboard
from shared.db.engine import LIMITS_WITH_STANDBY, Database
from shared.db.lock import EXECUTOR_LOCK_KEY, LockCandidate
from shared.db.schema import require_schema
from shared.domain.breaker import BreakerState
from shared.observability.health import CheckResult
from shared.runtime.service import Loop, Process, StartRefused, Wiring, run_service
from shared.venue.reading import PublicReading
from shared.venue.refusals import LoginFailed, Malformed

FEED_AGE_MAX_S = 30
DRAIN_S = 8.0


async def setup(process: Process[ExecutionSettings]) -> Wiring:
    """Return the loops and checks of execution."""
    settings, clock = process.settings, process.clock
    database = await Database.connect(
        settings.database_url, application_name=process.name, limits=LIMITS_WITH_STANDBY
    )
    process.on_exit(database.close)
    await database.retry_read(require_schema)
    closing = AsyncExitStack()
    process.on_exit(closing.aclose)
    reading = await closing.enter_async_context(PublicReading(settings.venue_urls, clock))
    try:
        executors = await make_executors(settings, clock, closing)
    except (LoginFailed, Malformed) as problem:
        raise StartRefused(f"an account cannot trade: {problem}") from problem
    await require_preflight(settings, database, executors, clock)
    switchboard = Switchboard()
    desk = Desk(
        database=database,
        clock=clock,
        reading=reading,
        executors=executors,
        switchboard=switchboard,
        wakeups=_subscribe(switchboard),
        ceiling=settings.trading_mode,
        instance=settings.instance,
    )
    leadership = Leadership()
    halting = Halting(end=process.end, stays=settings.cb_allow_extended_halt)
    candidate = partial(
        LockCandidate, settings.database_url, key=EXECUTOR_LOCK_KEY, clock=clock, instance=settings.instance
    )
    return Wiring(
        loops=[
            Loop("lead", partial(lead, desk, leadership, candidate, halting), drain_s=DRAIN_S),
            Loop("beat", partial(beat, desk, leadership)),
        ],
        checks={
            "database": database.check,
            "breaker": partial(_check_breaker, desk),
            "primary_feed": partial(_check_feed, desk),
            "mode": partial(_check_mode, leadership),
        },
        extra=partial(_describe, desk, leadership),
    )


def _subscribe(switchboard: Switchboard) -> Wakeups:
    return Wakeups(
        entries=switchboard.subscribe({"gate_changed"}),
        exits=switchboard.subscribe({"exit_requested", "position_changed"}),
        confirmations=switchboard.subscribe({"order_changed"}),
        cancels=switchboard.subscribe({"order_changed", "gate_changed"}),
        redemptions=switchboard.subscribe({"position_changed", "window_changed"}),
        balances=switchboard.subscribe({"order_changed"}),
    )


async def _check_breaker(desk: Desk) -> CheckResult:
    opened = [
        f"{gate.account_id}: {gate.breaker_reason}"
        for gate in await actions.gates(desk.database, desk.ceiling)
        if gate.breaker is BreakerState.OPEN
    ]
    return CheckResult(ok=not opened, detail=", ".join(opened))


async def _check_feed(desk: Desk) -> CheckResult:
    age_s = await actions.primary_feed_age_s(desk.database)
    detail = "never heard" if age_s is None else f"{age_s:.1f} s old"
    return CheckResult(ok=age_s is not None and age_s <= FEED_AGE_MAX_S, detail=detail)


async def _check_mode(leadership: Leadership) -> CheckResult:
    orphaned = ", ".join(sorted(leadership.orphaned))
    return CheckResult(ok=not orphaned, detail=f"open rows of {orphaned}" if orphaned else "")


async def _describe(desk: Desk, leadership: Leadership) -> Mapping[str, object]:
    gates = await actions.gates(desk.database, desk.ceiling)
    return {
        "mode": desk.ceiling,
        "leading": leadership.session is not None,
        "epoch": leadership.epoch,
        "lock_holder": desk.instance if leadership.session is not None else None,
        "capital_invariant": {gate.account_id: gate.cash_usdc >= 0 for gate in gates},
    }


if __name__ == "__main__":
    run_service("execution", ExecutionSettings, setup)
