"""The transaction of the assertions: facts, verdict and trip in one."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from types import MappingProxyType

from services.risk_monitor.asserting import queries
from services.risk_monitor.decide import period
from services.risk_monitor.queries import Account
from shared.db.engine import Database, Tx
from shared.db.queries import lifecycle, scheduled_work
from shared.domain import assertions
from shared.domain.assertions import EVERY_S, AssertionResult
from shared.domain.breaker import TripReason
from shared.domain.controls import ControlInvalid


async def check_assertions(
    database: Database, account: Account, *, now: datetime, instance: str, leaving_out: frozenset[int]
) -> list[AssertionResult]:
    """Check what is due by each one's schedule, keep every result, trip on a failure (R10).

    Another instance's share is not returned (T5). ``leaving_out`` names those that cannot be checked yet.
    """
    async with database.begin() as tx:
        results = []
        for number, every_s in EVERY_S.items():
            work = f"assertion:{number}:{account[0]}/{account[1]}"
            if number in leaving_out or not await scheduled_work.claim_once(
                tx, work, done_for=period(now, every_s), by=instance
            ):
                continue
            result = await _JUDGES[number](tx, account)
            await queries.insert_assertion(tx, account, result)
            if not result.passed:
                context = {"assertion": result.number, "name": result.name, "broken": result.broken}
                await lifecycle.trip_breaker(tx, *account, TripReason.ASSERTION_FAILED, context)
            results.append(result)
        return results


async def _of_signals(tx: Tx, account: Account) -> AssertionResult:
    now = await queries.database_now(tx)
    return assertions.signals_end_once(await queries.signals(tx, account), now=now)


async def _of_reports(tx: Tx, account: Account) -> AssertionResult:
    now = await queries.database_now(tx)
    return assertions.orders_reported(await queries.orders(tx, account), now=now)


async def _of_fills(tx: Tx, account: Account) -> AssertionResult:
    return assertions.fills_positioned(await queries.fills(tx, account))


async def _of_holdings(tx: Tx, account: Account) -> AssertionResult:
    now = await queries.database_now(tx)
    return assertions.holdings_agree(await queries.holding(tx, account), now=now)


async def _of_settlements(tx: Tx, account: Account) -> AssertionResult:
    return assertions.settlements_agree(await queries.settlements(tx, account))


async def _of_ids(tx: Tx, account: Account) -> AssertionResult:
    return assertions.orders_named(await queries.orders(tx, account))


async def _of_allowlist(tx: Tx, account: Account) -> AssertionResult:
    return assertions.positions_allowed(await queries.entries(tx, account))


async def _of_openings(tx: Tx, account: Account) -> AssertionResult:
    return assertions.entries_in_time(await queries.entries(tx, account))


async def _of_deployed(tx: Tx, account: Account) -> AssertionResult:
    try:
        found = await queries.deployed(tx, account)
    except ControlInvalid as problem:
        return AssertionResult(
            9, (f"the limit cannot be read: {problem}",)
        )  # and so it counts as broken (P3)
    return assertions.deployed_within_limit(
        positions_usdc=found.positions_usdc,
        reserved_usdc=found.reserved_usdc,
        max_session_loss_usdc=found.max_session_loss_usdc,
    )


async def _of_loops(tx: Tx, _account: Account) -> AssertionResult:
    return assertions.loops_quick(await queries.slow_turns(tx))


_JUDGES: Mapping[int, Callable[[Tx, Account], Awaitable[AssertionResult]]] = MappingProxyType(
    {
        1: _of_signals,
        2: _of_reports,
        3: _of_fills,
        4: _of_holdings,
        5: _of_settlements,
        6: _of_ids,
        7: _of_allowlist,
        8: _of_openings,
        9: _of_deployed,
        10: _of_loops,
    }
)
