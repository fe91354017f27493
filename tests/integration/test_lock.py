"""The lock session against a real server: one holder, fenced by its epoch, evicted when silent (D7)."""

import asyncio
from dataclasses import dataclass

import psycopg
import pytest
from sqlalchemy import text

from shared.db.engine import LIMITS_WITH_STANDBY, CommitUnknown, Database
from shared.db.lock import EXECUTOR_LOCK_KEY, LEASE_S, SEND_WITHIN_S, LockCandidate, LockLost, LockSession
from shared.runtime.clock import SystemClock
from shared.runtime.pulse import LoopPulse


@dataclass
class SteppedBoot(SystemClock):
    """The system's clock, its boot time moved forward by the test."""

    ahead_s: float = 0.0

    def boottime(self):
        return super().boottime() + self.ahead_s


@pytest.fixture
def clock():
    return SteppedBoot()


@pytest.fixture
def acquire(role_url, clock):
    url = role_url("execution")

    async def try_acquire(instance="one"):
        return await LockSession.try_acquire(url, key=EXECUTOR_LOCK_KEY, clock=clock, instance=instance)

    return try_acquire


async def test_the_key_is_the_one_the_book_asks_for(db):
    database = await db()
    assert (
        await database.retry_read(lambda tx: tx.scalar(text("SELECT executor_lock_key()")))
        == EXECUTOR_LOCK_KEY
    )


async def test_of_two_candidates_one_holds_the_lock(acquire):
    first, second = await acquire("one"), await acquire("two")
    assert first is not None
    assert second is None
    await first.close()


async def test_a_holder_that_ends_is_followed_with_the_next_epoch(acquire):
    first = await acquire("one")
    await first.close()
    second = await acquire("two")
    assert second.epoch == first.epoch + 1
    await second.close()


async def test_a_killed_holder_is_followed_and_learns_that_it_is_none(acquire, administrator):
    first = await acquire("one")
    administrator.execute("SELECT pg_terminate_backend(%s, 5000)", [first._connection.info.backend_pid])
    second = await acquire("two")
    assert second.epoch == first.epoch + 1
    with pytest.raises(LockLost):
        await first.call("SELECT 1 AS one", None)
    assert not first.may_send(first.deadline)
    await second.close()


async def test_a_silent_holder_is_evicted_by_the_server(acquire, role_url, clock):
    silent = await acquire("silent")
    candidate = LockCandidate(role_url("execution"), key=EXECUTOR_LOCK_KEY, clock=clock, instance="next")
    successor = None
    async with asyncio.timeout(10):
        while successor is None:
            successor = await candidate.try_acquire()
    assert successor.epoch == silent.epoch + 1
    with pytest.raises(LockLost):
        await silent.ping()
    await successor.close()


async def test_what_a_silent_holder_left_open_does_not_keep_its_successor_waiting(
    desk, acquire, role_url, clock
):
    """Frozen between a statement and its COMMIT, the holder's pool keeps an account's row; the next epoch needs it."""
    desk.do("execution", "SELECT pg_advisory_unlock_all()")
    silent = await acquire("silent")
    frozen = await Database.connect(
        role_url("execution"), application_name="frozen", limits=LIMITS_WITH_STANDBY
    )
    candidate = LockCandidate(role_url("execution"), key=EXECUTOR_LOCK_KEY, clock=clock, instance="next")
    successor = None
    with pytest.raises(CommitUnknown):
        async with frozen.begin() as tx:
            await tx.execute(text("SELECT trip_breaker('desk', 'PAPER', 'MANUAL_TRIP', '{}')"))
            async with asyncio.timeout(
                4
            ):  # the pool of a process without a standby may hold it for five seconds
                while successor is None:
                    try:
                        successor = await candidate.try_acquire()
                    except LockLost:
                        continue
    assert successor.epoch == silent.epoch + 1
    await silent.close()
    await successor.close()
    await frozen.close()


async def test_a_holder_that_pings_keeps_the_lock_longer_than_the_server_waits(acquire, role_url, clock):
    holder = await acquire("holder")
    pulse = LoopPulse("hold", clock, stale_after_s=15)
    candidate = LockCandidate(role_url("execution"), key=EXECUTOR_LOCK_KEY, clock=clock, instance="next")
    async with asyncio.TaskGroup() as group:
        holding = group.create_task(holder.hold(pulse))
        while pulse.turns < 8:  # seven intervals of 0.2 s: past the second the server would have waited
            assert await candidate.try_acquire() is None
        assert holder.may_send(clock.boottime())
        holding.cancel()
    await candidate.close()
    await holder.close()


async def test_a_send_may_begin_shortly_after_its_commit_and_no_later(acquire, clock):
    session = await acquire()
    committed_at = clock.boottime()
    await session.call("SELECT 1 AS one", None)
    assert session.may_send(committed_at)
    assert not session.may_send(committed_at - SEND_WITHIN_S - 0.001)
    await session.close()


async def test_no_send_begins_after_the_lease(acquire, clock):
    session = await acquire()
    await session.ping()
    clock.ahead_s = LEASE_S
    assert not session.may_send(clock.boottime())
    await session.ping()
    assert session.may_send(clock.boottime())
    await session.close()


async def test_a_call_returns_its_row_by_name_and_renews_the_lease(acquire):
    session = await acquire()
    before = session.deadline
    assert await session.call("SELECT %(a)s::int AS a, 'x' AS b", {"a": 3}) == {"a": 3, "b": "x"}
    assert session.deadline > before
    await session.close()


async def test_a_refusal_of_the_database_leaves_the_session_alive(acquire, clock):
    session = await acquire()
    with pytest.raises(psycopg.errors.DivisionByZero):
        await session.call("SELECT 1 / 0 AS never", None)
    assert session.may_send(clock.boottime())
    assert await session.call("SELECT 1 AS one", None) == {"one": 1}
    await session.close()


async def test_a_statement_the_server_stops_is_a_refusal_not_a_loss(acquire):
    session = await acquire()
    with pytest.raises(psycopg.errors.QueryCanceled):
        await session.call("SELECT pg_sleep(3)", None)
    await session.ping()
    await session.close()


async def test_a_call_cancelled_half_way_ends_the_session(acquire):
    session = await acquire()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await session.call("SELECT pg_sleep(0.9)", None)
    with pytest.raises(LockLost):
        await session.ping()


async def test_an_unreachable_server_is_no_lock(clock):
    with pytest.raises(LockLost):
        await LockSession.try_acquire(
            "postgresql://u@127.0.0.1:1/d", key=EXECUTOR_LOCK_KEY, clock=clock, instance="one"
        )
