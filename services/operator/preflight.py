"""``preflight``: prove before LIVE may start; execution makes the same checks when it does (E22)."""

from dataclasses import replace
from functools import partial
from typing import Annotated

import typer

from services.operator.actions import Person
from services.operator.config import OperatorVenueSettings
from services.operator.console import in_book
from services.operator.orders.smallest import prove_by_order
from services.operator.reports import report
from shared.db.engine import Database
from shared.db.footing import database_footing
from shared.db.queries import preflight as book
from shared.domain.ids import AccountId
from shared.domain.preflight import Finding, Preflight, examine, failed
from shared.runtime.clock import SystemClock
from shared.runtime.settings import load_settings
from shared.strategies.canary import Canary
from shared.venue.standing import account_standing, venue_standing

CANARY = Canary.declaration.strategy_id


SMALLEST_WITHIN_S = 1200.0
"""A window of a quarter of an hour, and what is left of the one before."""


def preflight(
    smallest_order: Annotated[
        str | None,
        typer.Option(
            metavar="ACCOUNT",
            help="when all is well, let the canary place one smallest real order, and read it back",
        ),
    ] = None,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="who wants the order")] = "",
    strategy: Annotated[str, typer.Option(help="whose next order it is")] = CANARY,
) -> None:
    """Check all that real money needs: wallets, credentials, allowances, region, clocks, database."""
    settings = load_settings(OperatorVenueSettings)
    if smallest_order is not None and not by.strip():
        raise typer.BadParameter("a real order needs a name: --by")
    waived = frozenset(word.strip() for word in settings.preflight_waived.split(",") if word.strip())
    findings = list(in_book(partial(_look, settings=settings)))
    if smallest_order is not None and not failed(findings, waived=waived):
        prove = partial(
            prove_by_order,
            settings=settings,
            account=AccountId(smallest_order),
            person=Person(by.strip(), "preflight"),
            strategy=strategy,
            within_s=SMALLEST_WITHIN_S,
        )
        findings.append(in_book(prove, within_s=SMALLEST_WITHIN_S + 60))
    report([_waived(each) if _name(each) in waived else each for each in findings])


def _name(finding: Finding) -> str:
    return finding.check.split(" ")[0]


def _waived(finding: Finding) -> Finding:
    return finding if finding.ok else replace(finding, ok=True, found=f"WAIVED: {finding.found}")


async def _look(database: Database, settings: OperatorVenueSettings) -> tuple[Finding, ...]:
    clock = SystemClock()
    token = await database.retry_read(book.any_token)
    accounts = [
        await account_standing(
            settings.venue_urls,
            clock,
            account,
            access,
            token=token,
            position_cap_usdc=await database.retry_read(partial(book.position_cap_usdc, account=account)),
        )
        for account, access in settings.account_access.items()
    ]
    footing = await database_footing(settings.database_url, clock)
    venue = await venue_standing(settings.venue_urls, clock)
    return examine(Preflight(footing, venue, accounts, await database.retry_read(book.measured_clocks)))
