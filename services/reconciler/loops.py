"""The comparison's waiting: epochs that begin, orders that change, and the clock."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from typing import Any

from services.reconciler import actions, metrics, queries
from services.reconciler.actions import Run
from services.reconciler.asking import VenueDesk
from services.reconciler.decide.cash import cash_range, explaining, fee_residue, is_exact, residue_max
from services.reconciler.decide.differences import Difference, differences, unsettled_long
from services.reconciler.decide.repairs import period, repairs, wants_look
from services.reconciler.decide.sides import BookSide, VenueSide
from services.reconciler.queries import Account, MarketToRead
from shared.bus.listen import Wakeup
from shared.db.engine import Database
from shared.db.patience import endure
from shared.domain.ids import AccountId, Epoch
from shared.domain.modes import Mode
from shared.observability.logs import get_logger
from shared.runtime.clock import Clock
from shared.runtime.faultpoints import fault_point
from shared.runtime.pulse import LoopPulse
from shared.venue.refusals import VenueProblem

EPOCH_POLL_S = 0.2
COMPARE_EVERY_S = 5.0
COMPARE_AFTER_EVENT_S = 2.0
LOOK_AGAIN_S = 3.0
"""At the start a difference is looked at twice, so that a trade under way is not taken for one."""
SILENT_AFTER = timedelta(seconds=30)
"""Without a whole comparison for so long, entries wait."""
BEAT_EVERY_S = 2.0
log = get_logger()


@dataclass(slots=True)
class Progress:
    """What the loops tell /health and the heartbeat; nothing is decided from it."""

    last: dict[str, dict[str, object]] = field(default_factory=dict)
    """What the last comparison of each account said, for people."""
    broken: dict[str, list[str]] = field(default_factory=dict)
    """Books that were not whole at the last start."""

    def note_book(self, name: str, found: list[str]) -> None:
        """Remember what the last check of an account's own books found."""
        self.broken.pop(name, None)
        if found:
            self.broken[name] = found


@dataclass(slots=True)
class Comparison:
    """Compares Book and venue: what our intents explain is repaired, the rest is told and may stop trading (D21)."""

    database: Database
    desk: VenueDesk
    clock: Clock
    progress: Progress

    async def wanted(self) -> frozenset[AccountId]:
        """Return the accounts to compare: with money in LIVE at any time, and readable or not finished."""
        live = await self.database.retry_read(queries.live_accounts)
        return frozenset(
            account for account, unfinished in live.items() if unfinished or account in self.desk.accounts
        )

    async def problems(self) -> list[str]:
        """Return why entries should wait; empty when every account that must be is compared."""
        wanted = await self.wanted()
        late = await self.database.retry_read(
            lambda tx: queries.list_uncompared(tx, wanted, within=SILENT_AFTER)
        )
        return [f"{account}/LIVE was not compared" for account in late]

    async def compare(self, account: AccountId, *, epoch: Epoch | None) -> Run:
        """Compare one LIVE account and keep the result; an account that could not be read is a run with an error."""
        started_at, began = self.clock.now(), self.clock.monotonic()
        try:
            book, venue = await self._ask_and_repair(account, all_open=epoch is not None)
            found = differences(book, venue)
            if found and epoch is not None:
                await asyncio.sleep(LOOK_AGAIN_S)
                book, venue = await self._ask_and_repair(account, all_open=True)
                found = differences(book, venue)
            run = Run((account, Mode.LIVE), epoch, started_at, _counts(book, venue), found)
            await self._tell_slow(account, book)
        except VenueProblem as problem:
            log.warning("comparison_failed", account_id=account, reason=str(problem))
            run = Run((account, Mode.LIVE), epoch, started_at, {}, error=str(problem))
        fault_point("reconcile.compared")
        await self._keep(run)
        metrics.COMPARISON_S.observe(self.clock.monotonic() - began)
        return run

    async def _keep(self, run: Run) -> None:
        for difference in await actions.finish_run(self.database, run):
            log.error(
                "discrepancy_opened",
                account_id=run.account[0],
                kind=difference.kind,
                subject=difference.subject,
                book=difference.book,
                venue=difference.venue,
            )
        kind = "startup" if run.epoch is not None else "continuous"
        result = "unreadable" if run.error is not None else "different" if run.differences else "clean"
        metrics.RUNS.labels(kind, result).inc()
        self.progress.last["/".join(run.account)] = {
            "at": run.started_at.isoformat(),
            "result": result,
            "mismatches": len(run.differences),
            "error": run.error,
        }

    async def _ask_and_repair(self, account: AccountId, *, all_open: bool) -> tuple[BookSide, VenueSide]:
        """Return both sides after the repairs; the Book is read after the venue, so nothing of ours is news to it."""
        markets = await self.database.retry_read(
            lambda tx: queries.markets_to_read(tx, account, all_open=all_open)
        )
        before = await self._book(account, markets)
        orders = [order.order_id for order in before.orders if wants_look(order, before.now)]
        venue = await self.desk.ask(account, markets=markets, orders=orders)
        fault_point("reconcile.asked")
        book = await self._book(account, markets)
        if await self._repair(book, venue):
            fault_point("reconcile.repaired")
            book = await self._book(account, markets)
        await self._settle_cash(account, book, venue)
        return await self._book(account, markets), venue

    async def _book(self, account: AccountId, markets: list[MarketToRead]) -> BookSide:
        windows = [market.window_id for market in markets]
        return await self.database.retry_read(lambda tx: queries.book_side(tx, account, windows))

    async def _repair(self, book: BookSide, venue: VenueSide) -> bool:
        """Record what our own intents explain, trades first; True when anything was recorded."""
        found = repairs(book, venue)
        for trade in found.trades:
            change = await actions.record_trade(self.database, trade)
            metrics.REPAIRS.labels(f"trade_{change}".lower()).inc()
            log.info(
                "trade_recorded",
                order_id=trade.order_id,
                trade_id=trade.trade_id,
                state=trade.state,
                change=change,
            )
        for evidence in found.evidence:
            state = await actions.record_evidence(self.database, evidence)
            metrics.REPAIRS.labels("evidence").inc()
            log.info("evidence_recorded", order_id=evidence.order_id, proves=evidence.proves, state=state)
        return bool(found.trades or found.evidence)

    async def _settle_cash(self, account: AccountId, book: BookSide, venue: VenueSide) -> None:
        """Book what explains a difference of cash: the rounding of fees, or money that came or went outside trading."""
        residue = fee_residue(book, venue)
        if residue is not None:
            await actions.book_fee_residue(
                self.database,
                account,
                amount_usdc=residue,
                newest_fill=book.newest_fill,
                collateral_usdc=venue.collateral,
            )
            metrics.REPAIRS.labels("fee_rounding").inc()
            return
        gap = cash_range(book).gap(venue.collateral)
        if abs(gap) <= residue_max(book):
            return
        since, booked = await self.database.retry_read(lambda tx: queries.moved_since(tx, account))
        movements = await self.desk.movements(account, since=since, booked=booked)
        explained = explaining(gap, movements, tolerance=residue_max(book))
        if explained:
            amount = await actions.book_movements(self.database, account, explained)
            metrics.REPAIRS.labels("external").inc()
            log.info("external_booked", account_id=account, amount_usdc=amount)

    async def _tell_slow(self, account: AccountId, book: BookSide) -> None:
        slow = unsettled_long(book)
        if slow:
            log.warning("settlement_slow", account_id=account, order_ids=slow)
            await actions.alert_unsettled(self.database, account, slow)


def _counts(book: BookSide, venue: VenueSide) -> Mapping[str, int]:
    return {
        "windows": len(venue.windows),
        "orders": len(book.orders),
        "fills": len(book.fills),
        "venue_trades": len(venue.trades),
        "tokens": len(venue.tokens),
        "cash_exact": int(is_exact(book, venue)),
    }


@dataclass(slots=True)
class Startup:
    """The comparison every new epoch waits for: nothing trades before it is done (X1)."""

    database: Database
    wakeup: Wakeup
    comparison: Comparison
    clock: Clock
    progress: Progress

    async def run(self, pulse: LoopPulse) -> None:
        async def turn() -> None:
            await self.wakeup.wait(timeout_s=EPOCH_POLL_S)
            with pulse.working():
                await self.reconcile_epoch()

        await endure(pulse, turn)

    async def reconcile_epoch(self) -> Epoch | None:
        """Compare every account for the newest epoch and say so; None when it has been done.

        It always ends with the word: an account that differs, or could not be read, stands tripped by then.
        """
        epoch = await self.database.retry_read(queries.unreconciled_epoch)
        if epoch is None:
            return None
        live = await self.comparison.wanted()
        summary: dict[str, Any] = {}
        gates = await self.database.retry_read(queries.gates)
        for account, group in groupby(gates, key=lambda gate: gate[0]):
            modes = [mode for _, mode in group]
            broken = await actions.check_audit(self.database, account, modes)
            for mode in modes:
                answer = await self._reconcile(
                    (account, mode), epoch, compare=mode is Mode.LIVE and account in live
                )
                summary[f"{account}/{mode}"] = {**answer, "book": [*broken, *answer["book"]]}
        if await actions.mark_reconciled(self.database, epoch, summary):
            fault_point("epoch.reconciled")
            log.info("epoch_reconciled", epoch=epoch, summary=summary)
        metrics.EPOCH_RECONCILED.set(epoch)
        return epoch

    async def _reconcile(self, account: Account, epoch: Epoch, *, compare: bool) -> Mapping[str, Any]:
        started_at = self.clock.now()
        found = await actions.check_ledger(self.database, account)
        self.progress.note_book("/".join(account), found)
        if found:
            log.error("book_broken", account_id=account[0], mode=account[1], found=found)
        if compare:
            run = await self.comparison.compare(account[0], epoch=epoch)
        else:
            run = Run(account, epoch, started_at, {})
            await actions.finish_run(self.database, run)
        return {"book": found, "mismatches": [_name(each) for each in run.differences], "error": run.error}


def _name(difference: Difference) -> str:
    return f"{difference.kind} {difference.subject}"


@dataclass(slots=True)
class Watch:
    """The same comparison for ever: soon after anything changed, and every five seconds (X2)."""

    database: Database
    wakeup: Wakeup
    comparison: Comparison
    clock: Clock
    progress: Progress
    instance: str
    _next_at: float = 0.0

    async def run(self, pulse: LoopPulse) -> None:
        async def turn() -> None:
            woken = await self.wakeup.wait(timeout_s=1.0)
            if woken.messages:
                soon = self.clock.monotonic() + COMPARE_AFTER_EVENT_S
                self._next_at = min(self._next_at, soon)
            if self.clock.monotonic() >= self._next_at:
                self._next_at = self.clock.monotonic() + COMPARE_EVERY_S
                with pulse.working():
                    await self.compare_all()

        await endure(pulse, turn)

    async def compare_all(self) -> None:
        """Compare every LIVE account once, here or in another instance (T5, T4)."""
        wanted = await self.comparison.wanted()
        mismatches = 0
        for account in sorted(wanted):
            due = period(self.clock.now(), int(COMPARE_AFTER_EVENT_S))
            if await actions.claim_comparison(self.database, account, period=due, instance=self.instance):
                run = await self.comparison.compare(account, epoch=None)
                mismatches += len(run.differences)
        metrics.MISMATCHES.set(mismatches)


@dataclass(slots=True)
class Heart:
    """Beats while the comparison is fit: who cannot report must not be traded under (R11)."""

    database: Database
    instance: str
    comparison: Comparison

    async def run(self, pulse: LoopPulse) -> None:
        async def turn() -> None:
            with pulse.working():
                await self.beat()
            await asyncio.sleep(BEAT_EVERY_S)

        await endure(pulse, turn)

    async def beat(self) -> None:
        """Write the row entries wait for."""
        problems = await self.comparison.problems()
        await actions.beat(
            self.database, instance=self.instance, healthy=not problems, details={"problems": problems}
        )
