"""A loop outlives its database and nothing else."""

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.db import patience
from shared.db.engine import CommitUnknown
from shared.db.patience import endure, is_passing
from shared.runtime.clock import SystemClock
from shared.runtime.pulse import LoopPulse


def refused(kind):
    return DBAPIError("SELECT", {}, kind("no"), hide_parameters=True)


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (refused(psycopg.errors.QueryCanceled), True),
        (refused(psycopg.errors.LockNotAvailable), True),
        (refused(psycopg.errors.AdminShutdown), True),
        (refused(psycopg.OperationalError), True),
        (CommitUnknown("lost"), True),
        (PoolTimeoutError("full"), True),
        (ConnectionResetError(), True),
        (refused(psycopg.errors.UniqueViolation), False),
        (refused(psycopg.errors.UndefinedColumn), False),
        (ValueError("a bug"), False),
    ],
)
def test_what_may_be_over_the_next_time_is_passing(error, passing):
    assert is_passing(error) is passing


async def test_a_turn_is_repeated_while_the_database_is_away_and_a_bug_ends_the_loop(monkeypatch):
    monkeypatch.setattr(patience, "FIRST_S", 0.001)
    pulse = LoopPulse("loop", SystemClock(), 15.0)
    left = [refused(psycopg.errors.AdminShutdown), None, CommitUnknown("lost"), None, ValueError("a bug")]
    turns = 0

    async def turn():
        nonlocal turns
        turns += 1
        error = left.pop(0)
        if error is not None:
            raise error

    with pytest.raises(ValueError, match="a bug"):
        await endure(pulse, turn)
    assert turns == 5


async def test_a_loop_ends_when_the_process_is_asked_to():
    pulse = LoopPulse("loop", SystemClock(), 15.0)

    async def turn():
        pulse.stopping.set()

    await endure(pulse, turn)
    assert pulse.turns == 1
