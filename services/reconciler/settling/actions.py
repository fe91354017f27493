"""The transactions of settlement: each function is one."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from services.reconciler import queries as comparison
from services.reconciler.decide.differences import Difference, Kind
from services.reconciler.decide.resolving import DueWindow, contradicts
from services.reconciler.settling import queries
from shared.db.engine import Database
from shared.db.queries import lifecycle, windows
from shared.db.queries.documents import Details
from shared.domain.breaker import TripReason
from shared.domain.settlement import Direction, Resolution, ResolutionConflict
from shared.domain.windows import WindowState


@dataclass(frozen=True, slots=True)
class Ending:
    """How a window ended: the venue's word, our own direction, and what else was compared."""

    word: Resolution
    resolved_at: datetime | None
    ours: Direction
    contradictions: tuple[str, ...] = ()
    """Strike or times on which the venue's row and ours disagree (C10)."""
    details: Details = field(default_factory=dict)


async def settle(database: Database, window: DueWindow, ending: Ending) -> bool:
    """Record the venue's word, and for each account what our own prices said of it; False when it was recorded before.

    Raises a database error (OB109) when the window is resolved with other payouts already.
    """
    payouts = ending.word.payouts
    against = contradicts(ending.ours, payouts) or bool(ending.contradictions)
    details = {**ending.details, "contradictions": list(ending.contradictions)}
    async with database.begin() as tx:
        changed = await lifecycle.settle(
            tx,
            window.window_id,
            payout_up=payouts.up,
            payout_down=payouts.down,
            source=ending.word.source,
            resolved_at=ending.resolved_at,
            our_direction=ending.ours,
            evidence=details,
        )
        if not changed:
            return False
        accounts = await queries.insert_checks(
            tx, window.window_id, ours=ending.ours, winner=payouts.winner, agrees=not against, details=details
        )
        if against:
            said = {"payout_up": str(payouts.up), "contradictions": list(ending.contradictions)}
            for account in accounts:
                difference = Difference(Kind.DIRECTION, window.window_id, {"ours": ending.ours}, said)
                await comparison.keep_difference(tx, account, difference)
            await lifecycle.raise_alert(
                tx,
                severity="ERROR" if accounts else "WARNING",
                kind="settlement_contradicted",
                dedup_key=f"settlement_contradicted:{window.window_id}",
                details={"window_id": window.window_id, "ours": ending.ours, **said},
            )
        return True


async def report_conflict(database: Database, window: DueWindow, conflict: ResolutionConflict) -> None:
    """Alert that the venue's mouths contradict one another: nothing is recorded, a person looks."""
    said = {source: [str(each.up), str(each.down)] for source, each in conflict.said.items()}
    async with database.begin() as tx:
        await lifecycle.raise_alert(
            tx,
            severity="CRITICAL",
            kind="resolution_conflict",
            dedup_key=f"resolution_conflict:{window.window_id}",
            details={"window_id": window.window_id, "said": said},
        )


async def mark_overdue(database: Database, window: DueWindow) -> bool:
    """Call a window UNRESOLVED and alert; False when another was faster. It is asked for on, and never guessed."""
    async with database.begin() as tx:
        state = window.state
        for expected, new in (
            (WindowState.DISCOVERED, WindowState.OPEN),
            (WindowState.OPEN, WindowState.CLOSED),
            (WindowState.CLOSED, WindowState.UNRESOLVED),
        ):
            if state is not expected:
                continue
            if not await windows.set_state_if(tx, window.window_id, expected=expected, new=new):
                return False
            state = new
        await lifecycle.raise_alert(
            tx,
            severity="ERROR",
            kind="window_unresolved",
            dedup_key=f"window_unresolved:{window.window_id}",
            details={"window_id": window.window_id, "closed_at": window.closes_at},
        )
        return True


async def finish_checks(database: Database) -> list[queries.FinishedCheck]:
    """Compare profit and movement of the windows that are done; a difference of a micro-unit trips."""
    async with database.begin() as tx:
        finished = await queries.finish_checks(tx)
        for check in finished:
            if check.book_pnl_usdc == check.balance_delta_usdc:
                continue
            found = {"pnl_usdc": str(check.book_pnl_usdc)}, {"moved_usdc": str(check.balance_delta_usdc)}
            difference = Difference(Kind.SETTLED_PNL, check.window_id, *found)
            await comparison.keep_difference(tx, check.account, difference)
            context = {"kind": Kind.SETTLED_PNL, "window_id": check.window_id, **found[0], **found[1]}
            await lifecycle.trip_breaker(tx, *check.account, TripReason.RECONCILIATION_MISMATCH, context)
        return finished


async def alert_unpaid(database: Database) -> Decimal:
    """Alert of payouts half an hour late, once each (E21); returns what is newly late, USDC."""
    async with database.begin() as tx:
        late = await queries.unpaid(tx)
        for position in late:
            await lifecycle.raise_alert(
                tx,
                severity="ERROR",
                kind="payout_unpaid",
                dedup_key=f"payout_unpaid:{position.position_id}",
                account=position.account[0],
                mode=position.account[1],
                details={"window_id": position.window_id, "receivable_usdc": str(position.receivable_usdc)},
            )
        return sum((position.receivable_usdc for position in late), Decimal(0))
