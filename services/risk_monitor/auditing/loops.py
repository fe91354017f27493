"""The audit's waiting: every half minute, for the Data API is slow and limits its callers."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from services.risk_monitor.auditing import actions
from services.risk_monitor.auditing.decide import Gap, gaps, lasting
from services.risk_monitor.queries import Account
from services.risk_monitor.verifying import queries
from shared.db.engine import Database
from shared.db.patience import endure_every
from shared.domain.ids import AccountId, TokenId
from shared.domain.modes import Mode
from shared.observability.logs import get_logger
from shared.runtime.clock import Clock
from shared.runtime.pulse import LoopPulse
from shared.venue.reading import PublicReading
from shared.venue.refusals import VenueProblem

EVERY_S = 30.0
READ_WITHIN_S = 12.0
log = get_logger()


@dataclass(slots=True)
class Audit:
    """Sets the Data API's positions beside the Book's: a difference of two minutes is told, and nothing else."""

    database: Database
    reading: PublicReading
    wallets: Mapping[AccountId, str]
    clock: Clock
    _gaps: dict[Account, dict[TokenId, Gap]] = field(default_factory=dict)
    """Since when each difference lasts; nothing is decided from it, and a restart only starts the grace anew."""
    _told: set[tuple[Account, TokenId]] = field(default_factory=set)

    async def run(self, pulse: LoopPulse) -> None:
        await endure_every(pulse, EVERY_S, self.look)

    async def look(self) -> None:
        """Audit every LIVE account that holds something; what cannot be read is no difference."""
        for account in await self.database.retry_read(queries.holders):
            wallet = self.wallets.get(account[0])
            if account[1] is not Mode.LIVE or wallet is None:
                continue
            try:
                async with asyncio.timeout(READ_WITHIN_S):
                    rows = await self.reading.positions(wallet)
            except (VenueProblem, TimeoutError) as problem:
                log.warning("audit_unread", account_id=account[0], reason=str(problem) or "no answer in time")
                continue
            await self._compare(account, {row.token_id: row.shares for row in rows})

    async def _compare(self, account: Account, shown: Mapping[TokenId, Decimal]) -> None:
        holdings = await self.database.retry_read(lambda tx: queries.holdings(tx, account))
        book = {token: fold.held for token, fold in holdings.tokens.items()}
        now = self.clock.now()
        found = gaps(book, shown, before=self._gaps.get(account, {}), now=now)
        self._gaps[account] = found
        for gap in lasting(found, now):
            if (account, gap.token_id) not in self._told:
                self._told.add((account, gap.token_id))
                log.warning("data_api_differs", account_id=account[0], token_id=gap.token_id)
                await actions.tell(self.database, account, gap)
        for told in [each for each in self._told if each[0] == account and each[1] not in found]:
            self._told.discard(told)
            await actions.close(self.database, account, told[1])
