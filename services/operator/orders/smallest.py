"""One smallest real order, through everything a trade goes through, read back at the venue (E22).

The command line holds no key, so it sends nothing: it lets the canary make one order, which the executor signs and
sends, and compares what the venue shows with what the Book says.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from services.operator.actions import Person
from services.operator.config import OperatorVenueSettings
from services.operator.orders import actions, queries
from services.operator.orders.queries import Sent
from shared.db.engine import Database, Tx
from shared.domain.ids import AccountId
from shared.domain.money import ZERO
from shared.domain.orders import TERMINAL, OrderEvent, OrderState
from shared.domain.preflight import Finding
from shared.domain.trades import FillState
from shared.runtime.clock import SystemClock
from shared.venue.account_reading import AccountReading
from shared.venue.refusals import VenueProblem
from shared.venue.settings import AccountAccess

LOOK_EVERY_S = 0.5
EXPLAINED_WITHIN_S = 30.0
"""Trades follow the answer within seconds."""


async def prove_by_order(
    database: Database,
    settings: OperatorVenueSettings,
    account: AccountId,
    person: Person,
    *,
    strategy: str,
    within_s: float,
) -> Finding:
    """Return what came of the next LIVE entry of a strategy; it may make orders only while this waits."""
    check = f"smallest order of {account}"
    access = settings.account_access.get(account)
    if access is None:
        return Finding(check, ok=False, found="no credentials", advice="name it in ACCOUNT_CREDENTIALS")
    instance = await database.retry_read(partial(queries.instance_of, account=account, strategy=strategy))
    if instance is None:
        advice = f"let signal_engine run {strategy} in this account"
        return Finding(check, ok=False, found=f"nobody runs {strategy}", advice=advice)
    read = partial(queries.newest_entry, instance=instance.instance_id)
    before = await database.retry_read(read)
    await actions.allow_instance(database, instance.instance_id, enabled=True, person=person)
    sent = None
    try:
        async with asyncio.timeout(within_s):
            while sent is None or (before is not None and sent.order_id == before.order_id):
                await asyncio.sleep(LOOK_EVERY_S)
                sent = await database.retry_read(read)
    except TimeoutError:
        advice = "look why in `status` and the signals' refusals, then try again"
        return Finding(check, ok=False, found=f"no order within {within_s:g} s", advice=advice)
    finally:
        await actions.allow_instance(database, instance.instance_id, enabled=instance.enabled, person=person)
    return await _read_back(database, settings, access, check, read)


async def _read_back(
    database: Database,
    settings: OperatorVenueSettings,
    access: AccountAccess,
    check: str,
    read: Callable[[Tx], Awaitable[Sent | None]],
) -> Finding:
    """Return whether the venue shows of the order exactly what the Book says of it."""
    sent = await _ended(database, read)
    if sent.state is not OrderState.FILLED or not sent.explained:
        met_nobody = sent.state is OrderState.KILLED
        found = f"{sent.order_id} is {sent.state}{'' if sent.explained else ', not explained by trades'}"
        return Finding(check, met_nobody, found, "`explain` it; nothing goes out before it is understood")
    try:
        async with AccountReading(
            settings.venue_urls, access.credentials, SystemClock(), signature_type=access.signature_type
        ) as reading:
            shown = await reading.order(sent.order_id)
            listed = await reading.trades(sent.condition_id, sent.fee)
    except VenueProblem as problem:
        return Finding(check, ok=False, found=f"could not be read back: {problem}", advice="try again")
    ours = [
        trade for trade in listed if trade.order_id == sent.order_id and trade.state is not FillState.FAILED
    ]
    shares, usdc = sum((t.shares for t in ours), ZERO), sum((t.usdc for t in ours), ZERO)
    agrees = (
        shown is not None and shown.event is OrderEvent.MATCHED and (shares, usdc) == (sent.shares, sent.usdc)
    )
    said = f"Book {sent.shares:f} shares for {sent.usdc:f} USDC, venue {shares:f} for {usdc:f}"
    return Finding(check, agrees, f"{sent.order_id}: {said}", "stop: Book and venue differ, see `doctor`")


async def _ended(database: Database, read: Callable[[Tx], Awaitable[Sent | None]]) -> Sent:
    """Return the order once it is over and explained, or as it is when that takes too long."""
    sent = None
    with suppress(TimeoutError):
        async with asyncio.timeout(EXPLAINED_WITHIN_S):
            while sent is None or not _is_over(sent):
                sent = await database.retry_read(read)
                await asyncio.sleep(LOOK_EVERY_S)
    assert sent is not None, "it was there a moment ago"
    return sent


def _is_over(sent: Sent) -> bool:
    return sent.explained if sent.state is OrderState.FILLED else sent.state in TERMINAL
