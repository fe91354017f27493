"""The commands ``cancel``, ``unknown`` and ``adopt``."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import typer

from services.operator.actions import Person
from services.operator.config import OperatorVenueSettings
from services.operator.console import By, Reason, fail, in_book, say
from services.operator.orders import actions, found, queries
from services.operator.orders.found import NotYet
from services.operator.queries import find_orders
from shared.db.engine import Database, Tx
from shared.domain.ids import AccountId, OrderId
from shared.domain.trades import VenueTrade
from shared.runtime.clock import SystemClock
from shared.runtime.settings import load_settings
from shared.venue.account_reading import AccountReading
from shared.venue.accounts import OrderReading
from shared.venue.refusals import VenueProblem

ANSWERED_WITHIN_S = 30.0
Order = Annotated[str, typer.Argument(metavar="ORDER", help="an order's id or its beginning")]
WholeOrder = Annotated[str, typer.Argument(metavar="ORDER", help="an order's whole id, as the venue has it")]


def cancel(order: Order, by: By, reason: Reason) -> None:
    """Ask the executor to cancel an order that rests; `explain` then says what became of it."""
    candidates = in_book(lambda database: database.retry_read(partial(find_orders, prefix=order)))
    if len(candidates) != 1:
        fail(f"{order} names {len(candidates)} orders of the Book; `status` lists the newest")
    asked = in_book(partial(actions.request_cancel, order=candidates[0], person=Person(by, reason)))
    if not asked:
        fail(f"{candidates[0]} is over, or somebody asked before; nothing was changed")
    say(f"asked the executor to cancel {candidates[0]}; while it is silent: `emergency --direct` cancels all")


def unknown(
    order: Annotated[
        str, typer.Argument(metavar="[ORDER]", help="only this one, by the beginning of its id")
    ] = "",
) -> None:
    """Show every order that is Unknown: what was seen of it, what that proves, and what is still missing."""
    orders = in_book(lambda database: database.retry_read(partial(queries.list_unknown, prefix=order)))
    if not orders:
        say("no order is Unknown" if not order else f"no order that begins with {order} is Unknown")
    for each in orders:
        say("\n".join(found.lines(each)))


def adopt(
    order: WholeOrder,
    by: By,
    reason: Reason,
    account: Annotated[str | None, typer.Option("--account", help="whose; by default who misses it")] = None,
    book: Annotated[
        bool, typer.Option("--book", help="really adopt it; without this it is only shown")
    ] = False,
) -> None:
    """Show what adopting a venue order the Book never wrote would do; with --book, adopt it."""
    settings = load_settings(OperatorVenueSettings)
    person = Person(by, reason)
    told = in_book(
        partial(_adopt, settings=settings, order=OrderId(order), account=account, person=person, book=book)
    )
    if isinstance(told, str):
        fail(told)
    say(
        f"{'adopted' if book else 'would adopt'} {order} as {told['order_state']}: position {told['position_id']}"
        f" {told['position_state']} with {told['shares']} shares, cash {told['cash_before']} → {told['cash_after']}"
        f" USDC, {told['discrepancies_closed']} discrepancies closed; breaker {told['breaker']}"
        f"{'' if told['breaker_reason'] is None else ' ' + str(told['breaker_reason'])}"
    )


async def _adopt(
    database: Database,
    settings: OperatorVenueSettings,
    order: OrderId,
    account: str | None,
    person: Person,
    *,
    book: bool,
) -> Mapping[str, Any] | str:
    """Return what adopting did or would do, or in words why it cannot be."""
    missing = await database.retry_read(partial(queries.accounts_missing, order=order))
    whose = [AccountId(account)] if account else missing
    if len(whose) != 1:
        return f"{len(whose)} accounts miss an order {order}: name one with --account"
    access = settings.account_access.get(whose[0])
    if access is None:
        return f"ACCOUNT_CREDENTIALS names no account {whose[0]}: its order cannot be read"
    try:
        async with (
            asyncio.timeout(ANSWERED_WITHIN_S),
            AccountReading(
                settings.venue_urls, access.credentials, SystemClock(), signature_type=access.signature_type
            ) as reading,
        ):
            seen = await _see(database, reading, order)
    except (VenueProblem, TimeoutError) as problem:
        return f"the venue could not be read: {problem or 'no answer in time'}"
    if isinstance(seen, str):
        return seen
    shown, trades, window = seen
    fits = found.adoptable(shown, trades, window)
    if isinstance(fits, NotYet):
        return f"{order} cannot be adopted: {fits.why}"
    return await actions.adopt(
        database,
        whose[0],
        order=fits.fields,
        event=fits.event,
        trades=trades,
        person=person,
        dry_run=not book,
    )


async def _see(
    database: Database, reading: AccountReading, order: OrderId
) -> tuple[OrderReading, tuple[VenueTrade, ...], queries.TradedWindow] | str:
    shown = await reading.order(order)
    if shown is None:
        return f"the venue shows no order {order} of this account"

    async def read(tx: Tx) -> queries.TradedWindow | None:
        return await queries.window_of(tx, shown.condition_id)

    window = await database.retry_read(read)
    if window is None:
        return f"the Book does not know the market {shown.condition_id}: let the feed collector discover it"
    trades = await reading.trades(shown.condition_id, window.fee)
    return shown, tuple(trade for trade in trades if trade.order_id.lower() == order.lower()), window
