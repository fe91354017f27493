"""``preflight``: prove before LIVE may start; execution makes the same checks when it does (E22)."""

from functools import partial

from services.operator.config import OperatorVenueSettings
from services.operator.console import in_book
from services.operator.reports import report
from shared.db.engine import Database
from shared.db.footing import database_footing
from shared.db.queries import preflight as book
from shared.domain.preflight import Finding, Preflight, examine
from shared.runtime.clock import SystemClock
from shared.runtime.settings import load_settings
from shared.venue.standing import account_standing, venue_standing


def preflight() -> None:
    """Check all that real money needs: wallets, credentials, allowances, region, clocks, database."""
    settings = load_settings(OperatorVenueSettings)

    async def look(database: Database) -> tuple[Finding, ...]:
        clock = SystemClock()
        token = await database.retry_read(book.any_token)
        accounts = []
        for account, access in settings.account_access.items():
            accounts.append(
                await account_standing(
                    settings.venue_urls,
                    clock,
                    account,
                    access,
                    token=token,
                    position_cap_usdc=await database.retry_read(
                        partial(book.position_cap_usdc, account=account)
                    ),
                )
            )
        footing = await database_footing(settings.database_url, clock)
        return examine(Preflight(footing, await venue_standing(settings.venue_urls, clock), accounts))

    report(list(in_book(look)))
