"""Settlement's waiting: windows that end, and the venue that takes its time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.reconciler import metrics
from services.reconciler.decide.resolving import (
    DueWindow,
    ask_again_after_s,
    own_direction,
    venue_word,
)
from services.reconciler.settling import actions, queries
from services.reconciler.settling.actions import Ending
from shared.bus.listen import Wakeup
from shared.db.engine import Database
from shared.db.patience import endure
from shared.domain.ids import WindowId
from shared.domain.settlement import Direction, Resolution, ResolutionConflict
from shared.observability.logs import get_logger
from shared.runtime.clock import Clock
from shared.runtime.faultpoints import fault_point
from shared.runtime.pulse import LoopPulse
from shared.venue.listings import MarketListing, Resolutions
from shared.venue.reading import PublicReading
from shared.venue.refusals import VenueProblem

POLL_S = 0.5
ASKED_WITHIN_S = 10.0
log = get_logger()


@dataclass(slots=True)
class Settlement:
    """Settles every window that is over by the venue's word, held or not."""

    database: Database
    wakeup: Wakeup
    public: PublicReading
    clock: Clock
    _ask_at: dict[WindowId, float] = field(default_factory=dict)
    """When each window is asked for again: patience, nothing is decided from it."""

    async def run(self, pulse: LoopPulse) -> None:
        async def turn() -> None:
            await self.wakeup.wait(timeout_s=POLL_S)
            with pulse.working():
                await self.settle_due()

        await endure(pulse, turn)

    async def settle_due(self) -> None:
        """Ask for each window whose turn it is, then prove the profit of those that are done."""
        due = await self.database.retry_read(queries.due_windows)
        metrics.UNRESOLVED.set(len(due))
        self._ask_at = {window.window_id: self._ask_at.get(window.window_id, 0.0) for window in due}
        for window in due:
            if self.clock.monotonic() < self._ask_at[window.window_id]:
                continue
            if not await self.settle(window):
                self._ask_at[window.window_id] = self.clock.monotonic() + ask_again_after_s(window.age)
        for check in await actions.finish_checks(self.database):
            agrees = check.book_pnl_usdc == check.balance_delta_usdc
            log.info(
                "settlement_checked", window_id=check.window_id, account_id=check.account[0], agrees=agrees
            )
        if late := await actions.alert_unpaid(self.database):
            log.error("payout_unpaid", receivable_usdc=late)

    async def settle(self, window: DueWindow) -> bool:
        """Ask the venue how a window ended and record it; False while it has not said, or contradicts itself."""
        said = await self._ask(window)
        word = (
            None
            if said is None
            else venue_word([(each.source, each.payout_up, each.payout_down) for each in said.found])
        )
        if isinstance(word, ResolutionConflict):
            log.error("resolution_conflict", window_id=window.window_id)
            await actions.report_conflict(self.database, window, word)
            return False
        if said is None or word is None:
            if window.overdue and await actions.mark_overdue(self.database, window):
                log.error("window_unresolved", window_id=window.window_id)
            return False
        ending = await self._ending(window, said, word)
        fault_point("settle.read")
        if await actions.settle(self.database, window, ending):
            fault_point("settle.recorded")
            metrics.SETTLED.labels(ending.ours).inc()
            metrics.CLOSE_TO_SETTLED_S.observe(window.age.total_seconds())
            log.info(
                "window_settled", window_id=window.window_id, winner=word.payouts.winner, ours=ending.ours
            )
        return True

    async def _ask(self, window: DueWindow) -> Resolutions | None:
        """Return what the venue's sources say; None when none of them answered in time."""
        try:
            async with asyncio.timeout(ASKED_WITHIN_S):
                said = await self.public.resolutions(window.window_id, window.condition_id)
        except TimeoutError:
            log.warning("resolution_unread", window_id=window.window_id, failed=["no answer in time"])
            return None
        if said.failed:
            log.warning("resolution_unread", window_id=window.window_id, failed=said.failed)
        return said

    async def _ending(self, window: DueWindow, said: Resolutions, word: Resolution) -> Ending:
        listing = await self._listing(window)
        return Ending(
            word=word,
            resolved_at=next((each.resolved_at for each in said.found if each.resolved_at is not None), None),
            ours=await self._own_direction(window),
            contradictions=tuple(_contradictions(window, listing)),
            details={
                "sources": sorted(each.source for each in said.found),
                "strike": window.venue_strike,
                "venue_strike": listing.strike if listing else None,
                "venue_final_price": listing.final_price if listing else None,
            },
        )

    async def _own_direction(self, window: DueWindow) -> Direction:
        opening = await self.database.retry_read(lambda tx: queries.readings(tx, window, window.opens_at))
        closing = await self.database.retry_read(lambda tx: queries.readings(tx, window, window.closes_at))
        return own_direction(
            window.rule,
            opens_at=window.opens_at,
            closes_at=window.closes_at,
            opening=opening,
            closing=closing,
            strike=window.venue_strike,
        )

    async def _listing(self, window: DueWindow) -> MarketListing | None:
        """Return the venue's row for the cross-check of C10; without it the settlement stands all the same."""
        try:
            async with asyncio.timeout(ASKED_WITHIN_S):
                return await self.public.market(window.window_id)
        except (VenueProblem, TimeoutError) as problem:
            log.warning("market_unread", window_id=window.window_id, reason=str(problem))
            return None


def _contradictions(window: DueWindow, listing: MarketListing | None) -> Sequence[str]:
    """Return on which of strike and times the venue's row and ours disagree; what is not known contradicts nothing."""
    if listing is None:
        return []
    found = []
    if (
        window.venue_strike is not None
        and listing.strike is not None
        and window.venue_strike != listing.strike
    ):
        found.append(f"strike {window.venue_strike}, venue {listing.strike}")
    if (window.opens_at, window.closes_at) != (listing.opens_at, listing.closes_at):
        found.append(
            f"times {window.opens_at} to {window.closes_at}, venue {listing.opens_at} to {listing.closes_at}"
        )
    return found
