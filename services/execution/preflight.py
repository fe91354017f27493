"""Before real money: the checks of `operator preflight`, made by the process that would trade (E22).

A process that failed them does not start, unless real money is open already: then somebody must sell, cancel and settle
it, so the process starts with the breaker of every account open and does nothing else.
"""

from collections.abc import Mapping

from services.execution import actions
from services.execution.config import ExecutionSettings
from services.execution.executors import Executors
from shared.db.engine import Database
from shared.db.footing import database_footing
from shared.domain.breaker import TripReason
from shared.domain.ids import AccountId
from shared.domain.modes import Mode
from shared.domain.preflight import Finding, Preflight, examine, failed
from shared.observability.logs import get_logger
from shared.runtime.clock import Clock
from shared.runtime.service import StartRefused
from shared.venue.settings import AccountAccess
from shared.venue.standing import account_standing, venue_standing

log = get_logger()


async def require_preflight(
    settings: ExecutionSettings, database: Database, executors: Executors, clock: Clock
) -> None:
    """Return when LIVE may start, or must for what is open.

    Raises:
        StartRefused: it may not; the message names each failed check and what to do.
    """
    if settings.trading_mode is not Mode.LIVE:
        return
    waived = frozenset(word.strip() for word in settings.preflight_waived.split(",") if word.strip())
    findings = await _look(settings, database, executors, clock)
    wrong = failed(findings, waived=waived)
    for finding in findings:
        if not finding.ok and finding not in wrong:
            log.warning("preflight_waived", check=finding.check, found=finding.found)
    if not wrong:
        return
    if Mode.LIVE not in await actions.open_modes(database):
        hint = "; what a person has checked by hand is let pass by its first word in PREFLIGHT_WAIVED"
        raise StartRefused("LIVE may not start: " + "; ".join(_told(finding) for finding in wrong) + hint)
    log.critical("preflight_failed", failed=[_told(finding) for finding in wrong])
    for account in executors.live_accounts():
        context = {"preflight": [finding.check for finding in wrong]}
        await actions.trip(database, account, Mode.LIVE, TripReason.VENUE_REFUSES, context)


def _told(finding: Finding) -> str:
    return f"{finding.check}: {finding.found} ({finding.advice})"


async def _look(
    settings: ExecutionSettings, database: Database, executors: Executors, clock: Clock
) -> tuple[Finding, ...]:
    accounts = []
    token, caps, clocks = await actions.preflight_facts(database, executors.live_accounts())
    for account, access in _access(settings, executors).items():
        accounts.append(
            await account_standing(
                settings.venue_urls,
                clock,
                account,
                access,
                token=token,
                position_cap_usdc=caps[account],
            )
        )
    return examine(
        Preflight(
            database=await database_footing(settings.database_url, clock),
            venue=await venue_standing(settings.venue_urls, clock),
            accounts=accounts,
            clocks=clocks,
        )
    )


def _access(settings: ExecutionSettings, executors: Executors) -> Mapping[AccountId, AccountAccess]:
    """Return what reading each live account needs, from what it logged in with."""
    found = {}
    for account, signing in settings.signing_accounts.items():
        live = executors.live(account)
        if live is not None:
            found[account] = AccountAccess(live.login, signing.wallet, signing.signature_type)
    return found
