"""What ends a lead ends only the lead, unless it is not the database's doing."""

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, Self

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from services.execution.loops import lead as leading
from services.execution.loops.desk import RecordingFailed
from services.execution.loops.lead import Leadership, lead
from shared.db.engine import CommitUnknown
from shared.db.lock import LockLost
from shared.runtime.clock import SystemClock
from shared.runtime.pulse import LoopPulse


def refused(kind: type[psycopg.Error]) -> DBAPIError:
    return DBAPIError("SELECT", {}, kind("no"), hide_parameters=True)


class Session:
    """A lock that was won; closed, it is given up."""

    epoch = 7

    def __init__(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False


class Standby:
    """Wins the lock once; asked again, it stands by, and the process is told to end."""

    def __init__(self, pulse: LoopPulse) -> None:
        self.session = Session()
        self.asked = 0
        self._pulse = pulse

    def __call__(self) -> Self:
        return self

    async def try_acquire(self) -> Session | None:
        self.asked += 1
        if self.asked == 1:
            return self.session
        self._pulse.stopping.set()
        return None

    async def close(self) -> None:
        return


STAGES = ("_listen", "_check_orphans", "_run_loops")


@pytest.fixture
def pulse() -> LoopPulse:
    return LoopPulse("lead", SystemClock(), 15.0)


@pytest.fixture
def standby(pulse: LoopPulse) -> Standby:
    return Standby(pulse)


def ending(monkeypatch: pytest.MonkeyPatch, how: BaseException, *, at: str = "_run_loops") -> None:
    async def end(*_: object) -> None:
        raise how

    async def fine(*_: object) -> None:
        return

    for name in STAGES:
        monkeypatch.setattr(leading, name, end if name == at else fine)


def lead_of(standby: Standby, pulse: LoopPulse) -> Any:
    nobody: Any = None
    return lead(nobody, Leadership(), standby, nobody, pulse)  # type: ignore[arg-type]


LOST = LockLost("the session ended")
CUT = refused(psycopg.errors.AdminShutdown)


@pytest.mark.parametrize(
    "how",
    [
        ExceptionGroup("loops", [LOST]),
        ExceptionGroup("loops", [LOST, ExceptionGroup("working", [CUT, CommitUnknown("lost")])]),
        ExceptionGroup("loops", [ExceptionGroup("working", [refused(psycopg.errors.LockNotAvailable)])]),
        ConnectionResetError(),
    ],
    ids=["the lock", "the lock and connections", "a lock waited for too long", "a connection"],
)
@pytest.mark.parametrize("at", STAGES)
async def test_who_lost_the_database_or_the_lock_gives_the_lead_up_and_stands_by(
    monkeypatch: pytest.MonkeyPatch, standby: Standby, pulse: LoopPulse, how: Exception, at: str
) -> None:
    ending(monkeypatch, how, at=at)
    await lead_of(standby, pulse)
    assert standby.asked == 2
    assert not standby.session.is_open


@pytest.mark.parametrize(
    "how",
    [
        RecordingFailed("0x1"),
        ValueError("a bug"),
        refused(psycopg.errors.UniqueViolation),
        asyncio.CancelledError(),
    ],
    ids=["an answer that is not recorded", "a bug", "a refusal of the Book", "the end of the process"],
)
async def test_anything_else_ends_the_process_even_beside_a_lost_lock(
    monkeypatch: pytest.MonkeyPatch, standby: Standby, pulse: LoopPulse, how: BaseException
) -> None:
    both = ExceptionGroup("loops", [LOST, CUT, how]) if isinstance(how, Exception) else how
    ending(monkeypatch, both)
    with pytest.raises(type(both)):
        await lead_of(standby, pulse)
    assert standby.asked == 1
    assert not standby.session.is_open, "the lock is free for the successor"


async def test_a_loop_whose_cancellation_was_forgotten_ends_with_its_lead(
    monkeypatch: pytest.MonkeyPatch, pulse: LoopPulse
) -> None:
    """As asyncio's wait_for forgets it: the wait ends well, and the loop begins its next turn."""
    working = asyncio.Event()
    turns = 0

    async def wait(*_: object) -> None:
        await asyncio.Event().wait()

    async def forgetful(_: object, lead_pulse: LoopPulse) -> None:
        nonlocal turns
        while not lead_pulse.stopping.is_set():
            turns += 1
            assert turns == 1, "it went on without its lead"
            working.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    async def lose(_: object) -> None:
        await working.wait()
        raise LOST

    for name in (
        "read_markets",
        "read_balances",
        "read_clock",
        "keep_warm",
        "compare_dry_runs",
        "keep_alive",
    ):
        monkeypatch.setattr(leading, name, wait)
    for name in ("enter", "leave", "redeem", "cancel"):
        monkeypatch.setattr(leading, name, wait)
    monkeypatch.setattr(leading, "confirm", forgetful)
    desk: Any = SimpleNamespace(executors=SimpleNamespace(live_accounts=tuple))
    session: Any = SimpleNamespace(hold=lose)
    halting: Any = SimpleNamespace(watch=wait)
    with pytest.raises(ExceptionGroup) as ended:
        await leading._run_loops(desk, session, halting, pulse)
    assert ended.value.exceptions == (LOST,)
    assert turns == 1
    assert not pulse.stopping.is_set(), "the process goes on"
