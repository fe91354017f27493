"""A loop that outlives its database: what failed is tried again, later and later, until the server is back (B3)."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.db.engine import CommitUnknown, is_connection_error
from shared.observability.logs import get_logger
from shared.runtime.backoff import backoff
from shared.runtime.pulse import LoopPulse

FIRST_S = 0.1
CAP_S = 2.0
_STOPPED_BY_SERVER = frozenset({"57014", "55P03"})
"""A statement or the wait for a lock took too long; engine.py has logged which."""

log = get_logger()


def is_passing(error: BaseException) -> bool:
    """Return True when the database may answer the next time: no connection, no free one, too slow, COMMIT unknown.

    What was to be written may have been written; the caller's next turn reads or repeats, so only for work that may be
    done twice.
    """
    if isinstance(error, CommitUnknown | PoolTimeoutError) or is_connection_error(error):
        return True
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _STOPPED_BY_SERVER


async def endure(pulse: LoopPulse, turn: Callable[[], Awaitable[None]]) -> None:
    """Run ``turn`` again and again until the process stops; each turn does its own waiting, a few seconds at most.

    A turn that fails because the database does is repeated after a growing pause; any other failure ends the loop.
    """
    chance = random.Random(pulse.name)  # noqa: S311 jitter is no secret
    pauses = backoff(chance, first_s=FIRST_S, cap_s=CAP_S)
    lost = False
    while not pulse.stopping.is_set():
        pulse.tick()
        try:
            await turn()
        except Exception as error:
            if not is_passing(error):
                raise
            if not lost:
                log.warning("database_lost", loop=pulse.name, reason=type(error).__name__)
            lost = True
            await asyncio.sleep(next(pauses))
        else:
            if lost:
                log.info("database_back", loop=pulse.name)
                pauses = backoff(chance, first_s=FIRST_S, cap_s=CAP_S)
            lost = False


async def endure_every(pulse: LoopPulse, every_s: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do ``work``, and again ``every_s`` seconds after it is done, until the process stops; patient as ``endure``."""

    async def turn() -> None:
        with pulse.working():
            await work()
        await asyncio.sleep(every_s)

    await endure(pulse, turn)
