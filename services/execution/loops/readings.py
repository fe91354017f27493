"""What must be fresh before an order: market rows, balances, clocks (E10).

A database that does not answer ends none of these: who lost its lead stands by again, and what is not fresh refuses.
"""

import asyncio
from datetime import timedelta
from decimal import Decimal

from services.execution import actions
from services.execution.loops.desk import Desk, age_s
from shared.db.patience import endure
from shared.domain.facts import MarketFacts
from shared.domain.ids import AccountId
from shared.domain.modes import Mode
from shared.observability.logs import get_logger
from shared.runtime.pulse import LoopPulse
from shared.venue.refusals import ReadFailed, Refusal

MARKETS_EVERY_S = 1.0
MARKET_OLD_AFTER_S = 8
BALANCES_EVERY_S = 3.0
CLOCK_EVERY_S = 15.0
WARM_EVERY_S = 2.0
COMPARE_EVERY_S = 5.0
log = get_logger()


async def read_markets(desk: Desk, pulse: LoopPulse) -> None:
    """Keep the market row of every window that trades soon no older than some seconds."""

    async def turn() -> None:
        for due in await actions.markets_due(desk.database, older_than_s=MARKET_OLD_AFTER_S):
            await _read_market(desk, due)
        await asyncio.sleep(MARKETS_EVERY_S)

    await endure(pulse, turn)


async def _read_market(desk: Desk, due: actions.MarketDue) -> None:
    asked_at = desk.clock.monotonic()
    try:
        market = await desk.reading.clob_market(due.condition_id)
    except (ReadFailed, Refusal) as problem:
        log.warning("market_unread", window_id=due.window_id, reason=str(problem))
        return
    if market is None:
        return  # a new market may be unknown to the matching engine for minutes
    facts = MarketFacts(
        read_at=market.read_at,
        accepting=market.accepting,
        tick=market.tick,
        min_size=market.min_size,
        fee=market.fee,
        version=market.version,
        up_token=market.up_token,
        down_token=market.down_token,
    )
    await actions.store_market(
        desk.database, due.window_id, facts, neg_risk=market.neg_risk, age_s=age_s(desk.clock, asked_at)
    )


async def read_balances(desk: Desk, pulse: LoopPulse) -> None:
    """Keep each live account's cash and tokens as the venue says them, anew after every trade."""

    async def turn() -> None:
        for account in desk.executors.live_accounts():
            await _read_balance(desk, account)
        await desk.wakeups.balances.wait(timeout_s=BALANCES_EVERY_S)

    await endure(pulse, turn)


async def _read_balance(desk: Desk, account: AccountId) -> None:
    executor = desk.executors.find(Mode.LIVE, account)
    assert executor is not None
    tokens = await actions.held_tokens(desk.database, account, Mode.LIVE)
    asked_at = desk.clock.monotonic()
    try:
        balances = await executor.balances(tokens, refresh=True)
    except (ReadFailed, Refusal) as problem:
        log.warning("balance_unread", account_id=account, reason=str(problem))
        return
    if balances is not None:
        await actions.store_balances(
            desk.database,
            account,
            Mode.LIVE,
            usdc=balances.collateral,
            tokens=balances.tokens,
            age_s=age_s(desk.clock, asked_at),
        )


async def keep_warm(desk: Desk) -> None:
    """Keep connections open, so that no send waits for a handshake."""
    while True:
        await desk.executors.warm()
        await asyncio.sleep(WARM_EVERY_S)


async def read_clock(desk: Desk, pulse: LoopPulse) -> None:
    """Keep the venue's clock offset from Postgres's, the clock every window is measured by."""

    async def turn() -> None:
        try:
            venue = await desk.reading.venue_time()
            ours = desk.clock.now()
            database = await actions.database_now(desk.database)
        except (ReadFailed, Refusal) as problem:
            log.warning("venue_clock_unread", reason=str(problem))
        else:
            own_ms = Decimal((ours - database) // timedelta(microseconds=1)) / 1000
            await actions.store_clock(desk.database, "clob", offset_ms=venue.offset_s * 1000 + own_ms)
        await asyncio.sleep(CLOCK_EVERY_S)

    await endure(pulse, turn)


async def compare_dry_runs(desk: Desk, pulse: LoopPulse) -> None:
    """Set every dry run whose window is over beside what happened (E12)."""

    async def turn() -> None:
        new = await actions.compare_dry_runs(desk.database)
        if new:
            log.info("dry_runs_compared", orders=new)
        await asyncio.sleep(COMPARE_EVERY_S)

    await endure(pulse, turn)
