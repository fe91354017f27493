"""The comparison's transactions: each function is one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from services.reconciler import queries
from services.reconciler.decide.cash import Movement
from services.reconciler.decide.differences import PATIENCE, Difference, Kind, trips
from services.reconciler.decide.repairs import Evidence
from services.reconciler.queries import Account
from shared.db.engine import Database
from shared.db.queries import administration, lifecycle, scheduled_work
from shared.db.queries.lifecycle import TradeChange
from shared.domain.breaker import TripReason
from shared.domain.ids import AccountId, Epoch, OrderId
from shared.domain.modes import Mode
from shared.domain.orders import OrderState
from shared.domain.trades import VenueTrade

SOURCE = "reconciler"
COMPARED = frozenset(PATIENCE) - {Kind.DIRECTION, Kind.SETTLED_PNL}
"""What a comparison finds, and may find gone; the others are settlement's."""


@dataclass(frozen=True, slots=True)
class Run:
    """One comparison of one account and mode."""

    account: Account
    epoch: Epoch | None
    """The epoch it was made for; None for a scheduled one."""
    started_at: datetime
    compared: Mapping[str, int]
    differences: Sequence[Difference] = ()
    error: str | None = None


async def record_trade(database: Database, trade: VenueTrade) -> TradeChange:
    """Record a trade of an order of ours, or how far it has come on chain."""
    async with database.begin() as tx:
        return await lifecycle.apply_trade(tx, trade, SOURCE)


async def record_evidence(database: Database, evidence: Evidence) -> OrderState:
    """Keep what the venue's word proves of an order, and move the order where it proves enough."""
    async with database.begin() as tx:
        if evidence.resolves and evidence.event is not None:
            return await lifecycle.resolve_unknown(
                tx, evidence.order_id, evidence.event, SOURCE, evidence.details
            )
        return await lifecycle.apply_order_evidence(
            tx,
            evidence.order_id,
            kind=evidence.kind,
            proves=evidence.proves,
            source=SOURCE,
            event=evidence.event,
            details=evidence.details,
        )


async def finish_run(database: Database, run: Run) -> list[Difference]:
    """Keep a comparison with its discrepancies; returns those that are new.

    What has stood longer than its kind may stops trading, in the transaction that says so.
    """
    opened: list[Difference] = []
    async with database.begin() as tx:
        for difference in run.differences:
            kept = await queries.keep_difference(tx, run.account, difference)
            context = {
                "kind": difference.kind,
                "subject": difference.subject,
                "discrepancy_id": kept.discrepancy_id,
            }
            if kept.is_new:
                opened.append(difference)
                await lifecycle.raise_alert(
                    tx,
                    severity="ERROR",
                    kind="discrepancy",
                    dedup_key=f"discrepancy:{kept.discrepancy_id}",
                    account=run.account[0],
                    mode=run.account[1],
                    details={**context, "book": difference.book, "venue": difference.venue},
                )
            if trips(difference.kind, age=kept.age, at_start=run.epoch is not None):
                await lifecycle.trip_breaker(tx, *run.account, TripReason.RECONCILIATION_MISMATCH, context)
        if run.error is None:
            await queries.resolve_others(tx, run.account, run.differences, COMPARED)
        elif run.epoch is not None:
            # At the start, what cannot be compared cannot be trusted (X1, P3).
            context = {"epoch": run.epoch, "error": run.error}
            await lifecycle.trip_breaker(tx, *run.account, TripReason.RECONCILIATION_MISMATCH, context)
        await queries.insert_run(
            tx,
            run.account,
            epoch=run.epoch,
            started_at=run.started_at,
            compared=run.compared,
            mismatches=len(run.differences),
            error=run.error,
        )
    return opened


async def check_ledger(database: Database, account: Account) -> list[str]:
    """Return the stored figures that are not the fold of their entries, and stop trading where there are any (R9)."""
    async with database.begin() as tx:
        found = [
            f"{each.what}: stored {each.stored}, folded {each.folded}"
            for each in await administration.verify_ledger(tx, *account)
        ]
        if found:
            await lifecycle.trip_breaker(tx, *account, TripReason.CAPITAL_INVARIANT, {"ledger": found})
        return found


async def check_audit(database: Database, account: AccountId, modes: Sequence[Mode]) -> list[str]:
    """Return where an account's history was rewritten, and stop all its modes if it was (B14)."""
    async with database.begin() as tx:
        broken = await administration.verify_audit_chain(tx, account)
        if broken is None:
            return []
        for mode in modes:
            context = {"audit_event_id": broken}
            await lifecycle.trip_breaker(tx, account, mode, TripReason.CAPITAL_INVARIANT, context)
        return [f"audit event {broken}"]


async def mark_reconciled(database: Database, epoch: Epoch, summary: Mapping[str, Any]) -> bool:
    """Say that every account was compared since this epoch began: claims may start where no breaker is open."""
    async with database.begin() as tx:
        return await lifecycle.mark_reconciled(tx, epoch, summary)


async def claim_comparison(database: Database, account: AccountId, *, period: str, instance: str) -> bool:
    """Claim this period's comparison of an account; False when another instance makes it (T5)."""
    async with database.begin() as tx:
        return await scheduled_work.claim_once(tx, f"reconcile:{account}", done_for=period, by=instance)


async def book_movements(database: Database, account: AccountId, movements: Sequence[Movement]) -> Decimal:
    """Book money that came or went outside trading, once a reference (E18); returns their sum, USDC."""
    async with database.begin() as tx:
        for movement in movements:
            await lifecycle.book_external(
                tx,
                account,
                Mode.LIVE,
                kind=movement.kind,
                amount_usdc=movement.amount,
                reference=movement.reference,
                evidence={"source": "activity", "at": movement.at},
            )
    return sum((movement.amount for movement in movements), Decimal(0))


async def book_fee_residue(
    database: Database,
    account: AccountId,
    *,
    amount_usdc: Decimal,
    newest_fill: str,
    collateral_usdc: Decimal,
) -> bool:
    """Book what the venue's rounding of fees left or took, with the balance that shows it (E18)."""
    async with database.begin() as tx:
        return await lifecycle.book_external(
            tx,
            account,
            Mode.LIVE,
            kind="FEE_ROUNDING",
            amount_usdc=amount_usdc,
            reference=f"fee-rounding:{newest_fill}",
            evidence={"balance_usdc": collateral_usdc},
        )


async def alert_unsettled(database: Database, account: AccountId, orders: Sequence[OrderId | str]) -> None:
    """Alert of trades that have waited for the chain for a minute (E9)."""
    async with database.begin() as tx:
        for order in orders:
            await lifecycle.raise_alert(
                tx,
                severity="WARNING",
                kind="settlement_slow",
                dedup_key=f"settlement_slow:{order}",
                account=account,
                mode=Mode.LIVE,
                details={"order_id": order},
            )


async def beat(database: Database, *, instance: str, healthy: bool, details: Mapping[str, Any]) -> None:
    """Say that this service lives and whether it is fit: entries wait for it (R11)."""
    async with database.begin() as tx:
        await lifecycle.beat(tx, service="reconciler", instance=instance, healthy=healthy, details=details)
