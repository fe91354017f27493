"""Wiring of the reconciler."""

from collections.abc import Mapping
from decimal import Decimal

from services.reconciler import queries
from services.reconciler.asking import VenueDesk
from services.reconciler.config import ReconcilerSettings
from services.reconciler.loops import Comparison, Heart, Progress, Startup, Watch
from services.reconciler.queries import Standing
from services.reconciler.settling.loops import Settlement
from shared.bus.listen import Listener
from shared.db.engine import Database
from shared.db.schema import require_schema
from shared.domain.ids import AccountId
from shared.observability.health import Check, CheckResult
from shared.runtime.service import Loop, Process, Wiring, run_service
from shared.venue.account_reading import AccountReading
from shared.venue.reading import PublicReading

FEED_AGE_MAX_S = Decimal(30)


async def setup(process: Process[ReconcilerSettings]) -> Wiring:
    """Connect, and return the loops."""
    settings, clock = process.settings, process.clock
    database = await Database.connect(settings.database_url, application_name=process.name, clock=clock)
    process.on_exit(database.close)
    await database.retry_read(require_schema)
    desk = await _open_desk(process)
    listener = Listener(settings.database_url, application_name=process.name, clock=clock)
    progress = Progress()
    comparison = Comparison(database, desk, clock, progress)
    startup = Startup(database, listener.subscribe(["gate_changed"]), comparison, clock, progress)
    events = listener.subscribe(["order_changed", "position_changed"])
    watch = Watch(database, events, comparison, clock, progress, settings.instance)
    settlement = Settlement(database, listener.subscribe(["window_changed"]), desk.public, clock)
    return Wiring(
        loops=[
            Loop("listen", listener.run),
            Loop("startup", startup.run, stale_after_s=60.0),
            Loop("compare", watch.run, stale_after_s=60.0),
            Loop("settle", settlement.run, stale_after_s=60.0),
            Loop("beat", Heart(database, settings.instance, comparison).run),
        ],
        checks={"database": database.check, "listener": listener.check, **_checks(database, comparison)},
        extra=lambda: _extra(database, progress),
    )


async def _open_desk(process: Process[ReconcilerSettings]) -> VenueDesk:
    """Return the venue's doors, closed when the process ends."""
    settings, clock = process.settings, process.clock
    accounts: dict[AccountId, AccountReading] = {}
    for account, access in settings.account_access.items():
        reading = AccountReading(
            settings.venue_urls, access.credentials, clock, signature_type=access.signature_type
        )
        accounts[account] = await process.closing.enter_async_context(reading)
    public = await process.closing.enter_async_context(PublicReading(settings.venue_urls, clock))
    wallets = {account: access.wallet for account, access in settings.account_access.items()}
    return VenueDesk(public, accounts, wallets, clock)


def _checks(database: Database, comparison: Comparison) -> Mapping[str, Check]:
    """Return what makes this service fit to be traded under."""

    async def breaker() -> CheckResult:
        found = (await _standing(database)).open_breakers
        return CheckResult(ok=not found, detail="; ".join(found))

    async def primary_feed() -> CheckResult:
        age = (await _standing(database)).primary_feed_age_s
        return CheckResult(ok=age is not None and age <= FEED_AGE_MAX_S, detail=f"age {age} s")

    async def epoch_reconciled() -> CheckResult:
        now = await _standing(database)
        return CheckResult(ok=now.epoch_reconciled is not False, detail=f"epoch {now.epoch}")

    async def discrepancies() -> CheckResult:
        count = (await _standing(database)).open_discrepancies
        return CheckResult(ok=count == 0, detail=f"{count} open")

    async def compared() -> CheckResult:
        problems = await comparison.problems()
        return CheckResult(ok=not problems, detail="; ".join(problems))

    return {
        "breaker": breaker,
        "primary_feed": primary_feed,
        "epoch_reconciled": epoch_reconciled,
        "discrepancies": discrepancies,
        "compared": compared,
    }


async def _standing(database: Database) -> Standing:
    return await database.retry_read(queries.standing)


async def _extra(database: Database, progress: Progress) -> Mapping[str, object]:
    now = await _standing(database)
    return {
        "epoch": now.epoch,
        "lock_holder": now.holder,
        "epoch_reconciled": now.epoch_reconciled,
        "comparisons": dict(progress.last),
        "capital_invariant": not progress.broken,
    }


if __name__ == "__main__":
    run_service("reconciler", ReconcilerSettings, setup)
