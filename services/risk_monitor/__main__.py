"""Wiring of the risk monitor."""

from collections.abc import Mapping
from decimal import Decimal

from services.risk_monitor import queries
from services.risk_monitor.asserting.loops import Assertions
from services.risk_monitor.auditing.loops import Audit
from services.risk_monitor.config import RiskMonitorSettings
from services.risk_monitor.emergency import Emergency
from services.risk_monitor.escalating.loops import Escalation
from services.risk_monitor.limiting.loops import LossLimits
from services.risk_monitor.loops import Heart, Integrity, Progress, Watch
from services.risk_monitor.queries import Standing
from services.risk_monitor.telling.loops import Notices
from services.risk_monitor.verifying.loops import Verifier
from shared.bus.listen import Listener
from shared.db.engine import Database
from shared.db.schema import require_schema
from shared.domain.ids import AccountId
from shared.observability.health import Check, CheckResult
from shared.runtime.service import Loop, Process, Wiring, run_service
from shared.venue.account_reading import AccountReading
from shared.venue.cancelling import Cancelling
from shared.venue.reading import PublicReading

FEED_AGE_MAX_S = Decimal(30)


async def setup(process: Process[RiskMonitorSettings]) -> Wiring:
    """Connect, and return the loops."""
    settings, clock, instance = process.settings, process.clock, process.settings.instance
    database = await Database.connect(settings.database_url, application_name=process.name, clock=clock)
    process.on_exit(database.close)
    await database.retry_read(require_schema)
    public = await process.closing.enter_async_context(PublicReading(settings.venue_urls, clock))
    wallets = {account: access.wallet for account, access in settings.account_access.items()}
    readings: dict[AccountId, AccountReading] = {}
    cancelling: dict[AccountId, Cancelling] = {}
    for account, access in settings.account_access.items():
        urls, login = settings.venue_urls, access.credentials
        reading = AccountReading(urls, login, clock, signature_type=access.signature_type, patient=False)
        readings[account] = await process.closing.enter_async_context(reading)
        cancelling[account] = await process.closing.enter_async_context(Cancelling(urls, login, clock))
    listener = Listener(settings.database_url, application_name=process.name, clock=clock)
    progress = Progress(clock, watched_at=clock.monotonic())
    moves = listener.subscribe(["market_moved", "position_changed", "gate_changed"])
    watch = Watch(database, moves, clock, progress)
    verifier = Verifier(
        database, listener.subscribe(["position_changed", "order_changed"]), readings, progress
    )
    escalation = Escalation(database, listener.subscribe(["gate_changed"]), instance)
    limits = LossLimits(database, listener.subscribe(["position_changed"]))
    emergency = Emergency(database, listener.subscribe(["gate_changed"]), cancelling, clock, instance)
    return Wiring(
        loops=[
            Loop("listen", listener.run),
            Loop("exits", watch.run),
            Loop("verify", verifier.run, stale_after_s=30.0),
            Loop("emergency", emergency.run, stale_after_s=30.0),
            Loop("escalate", escalation.run),
            Loop("limits", limits.run),
            Loop("assert", Assertions(database, instance, progress).run),
            Loop("tell", Notices(database).run),
            Loop("audit", Audit(database, public, wallets, clock).run, stale_after_s=120.0),
            Loop("integrity", Integrity(database, instance, progress).run, stale_after_s=60.0),
            Loop("beat", Heart(database, instance, progress).run),
        ],
        checks={"database": database.check, "listener": listener.check, **_checks(database, progress)},
        extra=lambda: _extra(database, progress),
    )


def _checks(database: Database, progress: Progress) -> Mapping[str, Check]:
    """Return what makes this service fit to be traded under."""

    async def breaker() -> CheckResult:
        found = (await _standing(database)).open_breakers
        return CheckResult(ok=not found, detail="; ".join(found))

    async def primary_feed() -> CheckResult:
        age = (await _standing(database)).primary_feed_age_s
        return CheckResult(ok=age is not None and age <= FEED_AGE_MAX_S, detail=f"age {age} s")

    async def capital_invariant() -> CheckResult:
        return CheckResult(ok=not progress.broken, detail="; ".join(progress.broken))

    async def fit() -> CheckResult:
        problems = progress.problems()
        return CheckResult(ok=not problems, detail="; ".join(problems))

    return {
        "breaker": breaker,
        "primary_feed": primary_feed,
        "capital_invariant": capital_invariant,
        "fit": fit,
    }


async def _standing(database: Database) -> Standing:
    return await database.retry_read(queries.standing)


async def _extra(database: Database, progress: Progress) -> Mapping[str, object]:
    now = await _standing(database)
    return {
        "epoch": now.epoch,
        "lock_holder": now.holder,
        "epoch_reconciled": now.epoch_reconciled,
        "capital_invariant": not progress.broken,
        "last_verification": now.last_verification_at.isoformat() if now.last_verification_at else None,
    }


if __name__ == "__main__":
    run_service("risk_monitor", RiskMonitorSettings, setup)
