"""The risk monitor's transactions: each function is one."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from services.risk_monitor import queries
from services.risk_monitor.decide import Blindness, Watched, period
from services.risk_monitor.queries import Account, DueCancel
from shared.db.engine import Database
from shared.db.queries import administration, lifecycle, resting, safeguards, scheduled_work
from shared.domain.breaker import TripReason
from shared.domain.exits import ExitDecision
from shared.domain.ids import AccountId, PositionId
from shared.domain.modes import Mode
from shared.domain.money import Price

INTEGRITY_EVERY_S = 10
AUDIT_EVERY_S = 60
PERFORMANCE_EVERY_S = 5
LOOKS_EVERY_S = 3600
LOOKS_KEPT = timedelta(days=30)
"""Assertions that held, verifications and comparisons that agreed: what was amiss is kept for ever."""


async def ask_exit(database: Database, watched: Watched, decision: ExitDecision) -> bool:
    """Ask for a position to be left, with what the decision was made on; False when nothing changed."""
    facts, book = watched.facts, watched.book
    evidence = {
        "decided_at": watched.now,
        "kill_switch": watched.kill_switch,
        "closes_at": facts.closes_at,
        "average_cost": facts.average_cost,
        "peak_bid": facts.peak_bid,
        "best_bid": book.best_bid if book else None,
        "book_received_at": book.received_at if book else None,
        "book_continuous": book.continuous if book else None,
        "verified_at": watched.verified_at,
    }
    async with database.begin() as tx:
        return await safeguards.request_exit(
            tx,
            watched.position_id,
            decision.reason,
            trigger_price=decision.trigger_price,
            observed_price=decision.observed_price,
            evidence=evidence,
        )


async def note_peak(database: Database, watched: Watched, bid: Price) -> None:
    """Raise the highest bid a trailing stop trails."""
    async with database.begin() as tx:
        await safeguards.note_peak(tx, watched.position_id, bid)


async def report_blind(database: Database, watched: Watched, why: Blindness) -> None:
    """Alert that a position's price rules cannot be decided: one alert a position and reason."""
    book = watched.book
    details = {
        "position_id": watched.position_id,
        "why": why,
        "book_received_at": book.received_at if book else None,
        "verified_at": watched.verified_at,
    }
    async with database.begin() as tx:
        await lifecycle.raise_alert(
            tx,
            severity="ERROR",
            kind="exit_blind",
            dedup_key=f"exit_blind:{watched.position_id}:{why}",
            account=watched.account_id,
            mode=watched.mode,
            details=details,
        )


async def report_seen(database: Database, position: PositionId, why: Blindness) -> None:
    """Close the alert of a blindness that is over."""
    async with database.begin() as tx:
        await safeguards.close_alert(tx, f"exit_blind:{position}:{why}")


async def check_ledger(
    database: Database, account: Account, *, now: datetime, instance: str
) -> list[str] | None:
    """Compare the ledger with its entries and trip on a difference (R9).

    Returns the differences; None when this period's check was done by another instance.
    """
    async with database.begin() as tx:
        work = f"ledger:{account[0]}/{account[1]}"
        if not await scheduled_work.claim_once(
            tx, work, done_for=period(now, INTEGRITY_EVERY_S), by=instance
        ):
            return None
        found = await administration.prove_ledger(tx, *account)
        differences = [f"{each.what}: stored {each.stored}, folded {each.folded}" for each in found]
        if differences:
            await lifecycle.trip_breaker(tx, *account, TripReason.CAPITAL_INVARIANT, {"ledger": differences})
        return differences


async def check_audit(
    database: Database, account: AccountId, modes: Sequence[Mode], *, now: datetime, instance: str
) -> list[str] | None:
    """Verify the account's audit chain and stop all its modes where it is broken (B14); None: another instance did."""
    async with database.begin() as tx:
        if not await scheduled_work.claim_once(
            tx, f"audit:{account}", done_for=period(now, AUDIT_EVERY_S), by=instance
        ):
            return None
        broken = await administration.prove_audit_chain(tx, account)
        if broken is None:
            return []
        for mode in modes:
            context = {"audit_event_id": broken}
            await lifecycle.trip_breaker(tx, account, mode, TripReason.CAPITAL_INVARIANT, context)
        return [f"audit event {broken}"]


async def keep_performance(database: Database, *, now: datetime, instance: str) -> bool:
    """Bring daily_performance up to date; False when another instance did."""
    async with database.begin() as tx:
        if not await scheduled_work.claim_once(
            tx, "daily_performance", done_for=period(now, PERFORMANCE_EVERY_S), by=instance
        ):
            return False
        await queries.upsert_daily_performance(tx)
        return True


async def drop_old_looks(database: Database, *, now: datetime, instance: str) -> int | None:
    """Drop what was looked at long ago and found in order; returns how many rows went, None when another did it."""
    async with database.begin() as tx:
        if not await scheduled_work.claim_once(
            tx, "old_looks", done_for=period(now, LOOKS_EVERY_S), by=instance
        ):
            return None
        return await administration.drop_old_looks(tx, keep=LOOKS_KEPT)


async def alert_unreadable(database: Database, kind: str, account: Account, reason: str) -> None:
    """Alert that a check could not be made: it counts as failed until it can (P3)."""
    async with database.begin() as tx:
        await lifecycle.raise_alert(
            tx,
            severity="ERROR",
            kind=kind,
            dedup_key=f"{kind}:{account[0]}/{account[1]}",
            account=account[0],
            mode=Mode(account[1]),
            details={"reason": reason},
        )


async def claim_cancel_all(database: Database, due: DueCancel, *, unit: str, instance: str) -> bool:
    """Claim one try to cancel an account's orders; False when another instance makes it (T5)."""
    async with database.begin() as tx:
        work = f"cancel_all:{due.account_id}"
        if not await scheduled_work.claim_once(tx, work, done_for=unit, by=instance):
            return False
        # Written before it is sent: what then ends at the venue has its reason in the Book (E16).
        await resting.request_cancels(tx, due.account_id, Mode.LIVE, reason="EMERGENCY", by="risk_monitor")
        return True


async def record_cancelled(database: Database, due: DueCancel) -> None:
    """Remember that the venue cancelled everything after this switch."""
    async with database.begin() as tx:
        work = f"cancelled_all:{due.account_id}"
        await scheduled_work.claim_once(tx, work, done_for=due.switched, by="venue")


async def record_cancel_failed(database: Database, due: DueCancel, reason: str, *, unknown: bool) -> None:
    """Alert that a cancel did not go through; one whose answer was lost stops trading, too (P4, E16)."""
    async with database.begin() as tx:
        await lifecycle.raise_alert(
            tx,
            severity="CRITICAL",
            kind="cancel_all_failed",
            dedup_key=f"cancel_all_failed:{due.account_id}:{due.switched}",
            account=due.account_id,
            mode=Mode.LIVE,
            details={"reason": reason, "unknown": unknown},
        )
        if unknown:
            context = {"act": "cancel_all", "switched": due.switched}
            await lifecycle.trip_breaker(tx, due.account_id, Mode.LIVE, TripReason.ORDER_UNKNOWN, context)


async def beat(database: Database, *, instance: str, healthy: bool, details: Mapping[str, Any]) -> None:
    """Say that this service lives and whether it is fit: entries wait for it (R11)."""
    async with database.begin() as tx:
        await lifecycle.beat(tx, service="risk_monitor", instance=instance, healthy=healthy, details=details)
