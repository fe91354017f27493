"""The lock session's own line: it hears between statements and within them, asks quickly, and ends with its session."""

import asyncio
import contextlib
from types import SimpleNamespace

import psycopg
import pytest

from services.execution.loops.lead import _listen
from shared.bus.channels import ExitRequested, GateChanged
from shared.bus.listen import Switchboard, Woken
from shared.db.lock import EXECUTOR_LOCK_KEY, LockLost, LockSession
from shared.domain.ids import AccountId, PositionId
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


def pid(session):
    return session._connection.info.backend_pid


def watched(line):
    return line._socket in asyncio.get_running_loop()._selector.get_map()


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
    administrator.execute("SELECT pg_terminate_backend(%s, 5000)", [pid(session)])
    for _ in ("its last words", "its end"):
        session._line._read()  # what the loop calls once the socket has something to read
    assert not watched(session._line)
    with pytest.raises(LockLost):
        await session.ping()


async def test_a_question_nobody_would_read_the_answer_of_is_a_loss(session):
    session._line.rest()
    with pytest.raises(LockLost):
        async with asyncio.timeout(WITHIN_S):
            await session.ask("SELECT 'never'")


async def test_closed_it_leaves_the_socket_alone(session, heard, say):
    line = session._line
    await session.close()
    assert not watched(line)
    say("late")
    assert heard.all == []


async def test_a_question_has_texts_and_one_text_for_its_answer(session):
    statement = "SELECT ($1::numeric + $2::numeric)::text || coalesce($3, ' and nothing')"
    assert await session.ask(statement, "1.10", "2", None) == "3.10 and nothing"
    assert await session.ask(statement, "1", "2", "!") == "3!"
    assert await session.ask("SELECT NULL::text") is None
    assert await session.ask("SELECT 'x' WHERE false") is None
    assert await session.call("SELECT 1 AS one", None) == {"one": 1}


async def test_a_long_question_and_a_long_answer_arrive_whole(session):
    text = "".join(chr(0x20AC + number % 50) for number in range(3_000_000))
    assert await session.ask("SELECT reverse($1)", text) == text[::-1]


async def test_a_question_renews_the_lease_and_so_does_a_refusal(session):
    for statement in ("SELECT 1::text", "SELECT (1 / 0)::text"):
        before = session.deadline
        with contextlib.suppress(psycopg.errors.DivisionByZero):
            await session.ask(statement)
        assert session.deadline > before


async def test_a_refused_question_says_why_and_the_next_is_answered(session):
    with pytest.raises(psycopg.errors.DivisionByZero, match="division by zero"):
        await session.ask("SELECT (1 / $1::int)::text", "0")
    with pytest.raises(psycopg.errors.UndefinedColumn):
        await session.ask("SELECT nothing_of_that_name")
    assert await session.ask("SELECT 'on'") == "on"


async def test_a_question_the_server_stops_is_a_refusal_not_a_loss(session):
    with pytest.raises(psycopg.errors.QueryCanceled):
        await session.ask("SELECT pg_sleep(3)::text")
    await session.ping()


async def test_a_question_cancelled_half_way_ends_the_session(session):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await session.ask("SELECT pg_sleep(0.9)::text")
    with pytest.raises(LockLost):
        await session.ping()


async def test_a_question_whose_session_is_ended_is_a_loss(session, administrator):
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(lost(session.ask("SELECT pg_sleep(0.9)::text")))
        group.create_task(
            asyncio.to_thread(administrator.execute, "SELECT pg_terminate_backend(%s)", [pid(session)])
        )
    assert asked.result()


async def lost(asking):
    try:
        await asking
    except LockLost:
        return True
    return False


async def test_it_hears_what_arrives_while_a_question_is_asked(session, heard, say):
    async with asyncio.TaskGroup() as group:
        group.create_task(session.ask("SELECT pg_notify('signal_created', 'own')::text FROM pg_sleep(0.2)"))
        group.create_task(asyncio.to_thread(say, "one"))
    await heard.until("one", "own")


async def test_questions_take_turns_with_statements(session):
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(session.ask("SELECT $1", str(number))) for number in range(20)]
        called = [
            group.create_task(session.call("SELECT %s::int AS number", [number])) for number in range(20)
        ]
    assert [each.result() for each in asked] == [str(number) for number in range(20)]
    assert [each.result() for each in called] == [{"number": number} for number in range(20)]


async def test_a_lead_wakes_its_loops_by_what_its_session_hears(session, say):
    switchboard = Switchboard()
    exits, entries = switchboard.subscribe({"exit_requested"}), switchboard.subscribe({"gate_changed"})
    for wakeup in (exits, entries):
        await wakeup.wait(timeout_s=WITHIN_S)
    await _listen(SimpleNamespace(switchboard=switchboard), session)
    for wakeup in (exits, entries):
        assert (await wakeup.wait(timeout_s=WITHIN_S)).everything, "what was said before is in the tables"
    say("pos-1", channel="exit_requested")
    say("acc/PAPER", channel="gate_changed")
    say("acc/PAPER", channel="order_changed")
    async with asyncio.timeout(WITHIN_S):
        woken = await exits.wait(timeout_s=3600)
        assert woken == Woken(frozenset({ExitRequested(PositionId("pos-1"))}), everything=False)
        assert (await entries.wait(timeout_s=3600)).messages == {GateChanged(AccountId("acc"), "PAPER")}
