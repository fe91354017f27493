"""The verifier's waiting: fills, the clock, the venue, and the time the venue asks for."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from http import HTTPStatus

from services.risk_monitor import metrics
from services.risk_monitor.decide import (
    Fallback,
    Verdict,
    fallback,
    fold_trades,
    verify_by_last,
    verify_by_venue,
    verify_locally,
)
from services.risk_monitor.loops import Progress
from services.risk_monitor.queries import Account
from services.risk_monitor.verifying import actions, queries
from services.risk_monitor.verifying.queries import HeldMarket
from shared.bus.listen import Wakeup
from shared.db.engine import Database
from shared.db.patience import endure
from shared.domain.ids import AccountId, TokenId
from shared.domain.modes import Mode
from shared.domain.trades import VenueTrade
from shared.observability.logs import get_logger
from shared.runtime.pulse import LoopPulse
from shared.venue.account_reading import AccountReading
from shared.venue.refusals import ReadFailed, VenueProblem

VERIFY_EVERY_S = 2.0
LOOKS_APART_S = 0.25
"""Changes that come closer together are verified together: each look costs the venue several answers."""
VERIFY_WITHIN_S = 8.0
LOOKS_MAX = 3
"""How often a verification starts anew because the Book moved under it."""
LIMITING = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""Both mean: not now (seed 2 treats them alike)."""
UNASKED_S = 2.0
"""How long a venue that names no time is left alone."""
log = get_logger()


@dataclass(slots=True)
class Verifier:
    """Verifies what is held, every two seconds and after each change of an order or a position (R3)."""

    database: Database
    wakeup: Wakeup
    readings: Mapping[AccountId, AccountReading]
    progress: Progress
    _warned: set[Account] = field(default_factory=set)
    _quiet_until: dict[AccountId, float] = field(default_factory=dict)
    """Until when, by the monotonic clock, the venue asked not to be asked."""

    async def run(self, pulse: LoopPulse) -> None:
        async def turn() -> None:
            await self.wakeup.wait(timeout_s=VERIFY_EVERY_S)
            with pulse.working():
                await self.verify_all()
            await asyncio.sleep(LOOKS_APART_S)

        await endure(pulse, turn)

    async def verify_all(self) -> None:
        """Verify every account and mode that holds anything, or may hold what the Book does not know of."""
        unreadable: dict[str, str] = {}
        for account in await self.database.retry_read(queries.holders):
            if account[1] is not Mode.LIVE:
                await self._verify_locally(account)
            elif (problem := await self._verify_by_venue(account)) is not None:
                unreadable[f"{account[0]}/{account[1]}"] = problem
        self.progress.unreadable = unreadable
        self.progress.verified = True

    async def _verify_locally(self, account: Account) -> None:
        if account not in self._warned:
            self._warned.add(account)
            log.warning(
                "verification_skipped", account_id=account[0], mode=account[1], reason="no venue holds it"
            )
        holdings = await self.database.retry_read(lambda tx: queries.holdings(tx, account))
        await self._keep(account, verify_locally(holdings), skipped=True)

    async def _verify_by_venue(self, account: Account) -> str | None:
        """Return why the account could not be verified, None when it was: what cannot be read is not verified (P3)."""
        reading = self.readings.get(account[0])
        if reading is None:
            return "ACCOUNT_CREDENTIALS names no such account"
        if self._quiet_until.get(account[0], 0.0) > self.progress.clock.monotonic():
            return await self._verify_by_last(account, "the venue asked not to be asked")
        try:
            await self._look(account, reading)
        except (VenueProblem, TimeoutError) as problem:
            reason = str(problem) or "no answer in time"
            metrics.VERIFICATIONS.labels("unreadable").inc()
            if isinstance(problem, ReadFailed) and problem.status in LIMITING:
                asked_s = UNASKED_S if problem.retry_after_s is None else problem.retry_after_s
                self._quiet_until[account[0]] = self.progress.clock.monotonic() + asked_s
                log.warning("verification_limited", account_id=account[0], reason=reason, wait_s=asked_s)
                return await self._verify_by_last(account, reason)
            log.warning("verification_failed", account_id=account[0], reason=reason)
            return reason
        return None

    async def _look(self, account: Account, reading: AccountReading) -> None:
        """Ask the venue and keep what it showed; again where the Book moved meanwhile."""
        for _ in range(LOOKS_MAX):
            markets = await self.database.retry_read(lambda tx: queries.held_markets(tx, account))
            before = await self.database.retry_read(lambda tx: queries.holdings(tx, account))
            async with asyncio.timeout(VERIFY_WITHIN_S):
                trades, balances = await _ask(reading, markets)
            holdings = await self.database.retry_read(lambda tx: queries.holdings(tx, account))
            verdict = verify_by_venue(holdings, traded=fold_trades(trades), balances=balances)
            # A trade recorded while the venue was asked is no difference: look again.
            if verdict.verified or holdings.tokens == before.tokens:
                break
        await self._keep(account, verdict, skipped=False)

    async def _verify_by_last(self, account: Account, reason: str) -> str | None:
        """Verify by the venue's last answer while it is young; what nobody can see for too long stops trading."""
        last = await self.database.retry_read(lambda tx: queries.last_answer(tx, account))
        match fallback(last):
            case Fallback.USE:
                log.warning("verified_by_last_answer", account_id=account[0], answered_at=last.at)
                holdings = await self.database.retry_read(lambda tx: queries.holdings(tx, account))
                verdict = verify_by_last(holdings, last)
                metrics.VERIFICATIONS.labels("by_last_answer").inc()
                await actions.keep_verification(
                    self.database, account, verdict, skipped=False, answered_at=last.at
                )
                return None
            case Fallback.TRIP:
                if await actions.trip_unseen(self.database, account, last, reason):
                    log.critical("verification_rate_limited", account_id=account[0], reason=reason)
            case Fallback.WAIT:
                log.warning("verification_awaited", account_id=account[0], reason=reason)
        return reason

    async def _keep(self, account: Account, verdict: Verdict, *, skipped: bool) -> None:
        metrics.VERIFICATIONS.labels("verified" if verdict.verified else "different").inc()
        if not verdict.verified:
            log.error(
                "verification_differs", account_id=account[0], mode=account[1], found=verdict.differences
            )
        flagged = await actions.keep_verification(self.database, account, verdict, skipped=skipped)
        if flagged:
            log.error("positions_orphaned", account_id=account[0], mode=account[1], position_ids=flagged)


async def _ask(
    reading: AccountReading, markets: list[HeldMarket]
) -> tuple[tuple[VenueTrade, ...], Mapping[TokenId, Decimal]]:
    """Return the trades and token balances of markets; the balances are the venue's newest."""
    trades: list[VenueTrade] = []
    for market in markets:
        trades += await reading.trades(market.condition_id, market.fee)
    tokens = [token for market in markets for token in market.tokens]
    balances = await reading.balances(tokens, refresh=True)
    return tuple(trades), balances.tokens
