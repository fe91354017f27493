"""A session that works also hears: between its statements, within them, and no longer than it lives."""

import asyncio

import psycopg
import pytest

from shared.db.lock import EXECUTOR_LOCK_KEY, LockLost, LockSession
from shared.runtime.clock import SystemClock

WITHIN_S = 5


class Payloads:
    """What was heard, in order, and a way to wait for the next."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._more = asyncio.Event()

    def add(self, payload: str) -> None:
        self.all.append(payload)
        self._more.set()

    async def until(self, *wanted: str) -> None:
        async with asyncio.timeout(WITHIN_S):
            while self.all != list(wanted):
                self._more.clear()
                await self._more.wait()


@pytest.fixture
def heard():
    return Payloads()


@pytest.fixture
async def session(role_url, heard):
    made = await LockSession.try_acquire(
        role_url("execution"), key=EXECUTOR_LOCK_KEY, clock=SystemClock(), instance="ear"
    )
    await made.hear("signal_created", heard.add)
    yield made
    await made.close()


def watched(ear):
    return ear._socket in asyncio.get_running_loop()._selector.get_map()


@pytest.fixture
def say(database_url):
    with psycopg.connect(database_url, autocommit=True) as somebody:
        yield lambda payload, channel="signal_created": somebody.execute(
            "SELECT pg_notify(%s, %s)", [channel, payload]
        )


@pytest.mark.usefixtures("session")
async def test_it_hears_while_nothing_runs(heard, say):
    say("one")
    await heard.until("one")
    say("two")
    await heard.until("one", "two")


async def test_it_hears_what_arrives_while_a_statement_runs(session, heard, say):
    said = "SELECT pg_notify('signal_created', 'own') FROM pg_sleep(0.2)"
    async with asyncio.TaskGroup() as group:
        group.create_task(session.call(said, None))
        group.create_task(asyncio.to_thread(say, "one"))
    await heard.until("one", "own")


@pytest.mark.usefixtures("session")
async def test_it_hears_nothing_else(heard, say):
    say("other", channel="order_changed")
    say("one")
    await heard.until("one")


async def test_it_hears_on_after_a_refusal_of_the_database(session, heard, say):
    with pytest.raises(psycopg.errors.DivisionByZero):
        await session.call("SELECT 1 / 0 AS never", None)
    say("one")
    await heard.until("one")


async def test_a_session_that_breaks_unheard_is_found_lost_by_its_next_statement(session, administrator):
    administrator.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'lock_ear'"
    )
    for _ in ("its last words", "its end"):
        session._ear._read()  # what the loop calls once the socket has something to read
    assert not watched(session._ear)
    with pytest.raises(LockLost):
        await session.ping()


async def test_closed_it_leaves_the_socket_alone(session, heard, say):
    ear = session._ear
    await session.close()
    assert not watched(ear)
    say("late")
    assert heard.all == []
