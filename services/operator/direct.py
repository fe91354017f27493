"""``emergency --direct``: cancel everything at the venue without the Book, and read back that nothing rests (R6)."""

import asyncio
import sys
from dataclasses import dataclass

from services.operator.config import DirectSettings
from services.operator.console import fail, say
from shared.domain.ids import AccountId
from shared.domain.outcomes import KnownFailure, Outcome, Success, Unknown
from shared.observability.logs import configure_logs
from shared.observability.redaction import redact
from shared.runtime.clock import SystemClock
from shared.runtime.settings import load_settings
from shared.venue.account_reading import AccountReading
from shared.venue.accounts import Cancellation
from shared.venue.cancelling import Cancelling
from shared.venue.refusals import VenueProblem
from shared.venue.settings import AccountAccess
from shared.venue.urls import VenueUrls

TRIES = 8
PAUSE_S = 1.0
"""Between two tries: an order the venue holds back for a moment rests, and can be cancelled, only after it."""
WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Swept:
    """What became of one account's resting orders."""

    account_id: AccountId
    cancelled: int
    confirmed: bool
    """The venue was read back twice, a pause apart, and nothing rested."""
    problem: str = ""


def cancel_everything(accounts: list[str]) -> None:
    """Cancel all resting orders of these accounts (none named: of all credentials given); status 1 unless confirmed."""
    settings = load_settings(DirectSettings)
    redact(*settings.secrets())
    configure_logs("operator", level="ERROR", stream=sys.stderr)
    access = settings.account_access
    unknown = [name for name in accounts if AccountId(name) not in access]
    if unknown or not access:
        fail(f"ACCOUNT_CREDENTIALS names no account {', '.join(unknown) or 'at all'}")
    wanted = {name: each for name, each in access.items() if not accounts or name in accounts}
    swept = asyncio.run(_sweep_all(settings.venue_urls, wanted))
    for each in swept:
        state = "nothing rests any more" if each.confirmed else f"NOT CONFIRMED: {each.problem}"
        say(f"{each.account_id}: {each.cancelled} orders cancelled at the venue, {state}")
    say("the Book was not asked: throw `emergency` there as soon as it answers, or entries may begin again")
    if not all(each.confirmed for each in swept):
        fail("do it again, or cancel in the venue's own page")


async def _sweep_all(urls: VenueUrls, access: dict[AccountId, AccountAccess]) -> list[Swept]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_sweep(urls, account, each)) for account, each in access.items()]
    return [task.result() for task in tasks]


async def _sweep(urls: VenueUrls, account: AccountId, access: AccountAccess) -> Swept:
    """Cancel all and read back, until twice in a row nothing rests; cancelling again harms nobody."""
    clock = SystemClock()
    cancelled, clean, problem = set[str](), 0, "it was not tried"
    try:
        async with (
            asyncio.timeout(WITHIN_S),
            Cancelling(urls, access.credentials, clock) as cancelling,
            AccountReading(urls, access.credentials, clock, signature_type=access.signature_type) as reading,
        ):
            for _ in range(TRIES):
                problem = _learn(await cancelling.cancel_all(), cancelled)
                try:
                    resting = await reading.open_orders()
                except VenueProblem as unread:
                    clean, problem = 0, f"open orders could not be read: {unread}"
                else:
                    clean = 0 if resting else clean + 1
                    problem = f"{len(resting)} still rest" if resting else problem
                if clean > 1:
                    return Swept(account, len(cancelled), confirmed=True)
                await asyncio.sleep(PAUSE_S)
    except TimeoutError:
        problem = f"no end within {WITHIN_S:g} s; {problem}"
    return Swept(account, len(cancelled), confirmed=False, problem=problem)


def _learn(outcome: Outcome[Cancellation], cancelled: set[str]) -> str:
    """Note what was cancelled; returns what went wrong, if anything."""
    match outcome:
        case Success(value=cancellation):
            cancelled.update(cancellation.cancelled)
            return ""
        case KnownFailure(reason=reason):
            return f"the venue refused: {reason}"
        case Unknown(reason=reason):
            return f"the answer was lost: {reason}"
