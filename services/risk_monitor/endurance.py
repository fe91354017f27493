"""A loop outlives its database: it waits, longer each time, and looks again (B3)."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from shared.db.engine import CommitUnknown, is_connection_error
from shared.observability.logs import get_logger
from shared.runtime.backoff import backoff
from shared.runtime.pulse import LoopPulse

_FIRST_S = 0.1
_CAP_S = 3.0
_PASSING_STATES = frozenset({"40001", "40P01", "55P03", "57014"})
"""Serialisation, deadlock, lock and statement time-outs: the server let go of us, the next turn tries again."""
log = get_logger()


def is_passing(error: BaseException) -> bool:
    """Return whether the database failed us for the moment, so that looking again is right.

    Every turn begins by reading the rows, so a commit whose answer was lost is found there.
    """
    if isinstance(error, CommitUnknown) or is_connection_error(error):
        return True
    return getattr(getattr(error, "orig", None), "sqlstate", None) in _PASSING_STATES


class Endurance:
    """The patience of one loop."""

    def __init__(self, pulse: LoopPulse) -> None:
        self._pulse = pulse
        self._chance = random.Random(pulse.name)  # noqa: S311 jitter is no secret
        self._pauses = backoff(self._chance, first_s=_FIRST_S, cap_s=_CAP_S)

    async def turn(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do one turn; False, after a pause, when the database failed for the moment. Anything else raises."""
        try:
            with self._pulse.working():
                await work()
        except Exception as error:
            if not is_passing(error):
                raise
            log.warning("database_failed", loop=self._pulse.name, reason=type(error).__name__)
            await asyncio.sleep(next(self._pauses))
            return False
        self._pauses = backoff(self._chance, first_s=_FIRST_S, cap_s=_CAP_S)
        return True
