"""The loop of entries on a real Book: whatever wakes it, each signal is decided once (E1, P1)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY
from psycopg.types.json import Jsonb

from services.execution.executors import Executors
from services.execution.loops import entries
from services.execution.loops.desk import Desk as Trading
from services.execution.loops.desk import Wakeups
from services.execution.loops.entries import AT_ONCE_MAX, enter
from shared.bus.channels import GateChanged
from shared.bus.listen import Switchboard, Wakeup
from shared.db.lock import EXECUTOR_LOCK_KEY, LockSession
from shared.domain.ids import AccountId, SignalId
from shared.domain.modes import Mode
from shared.runtime.pulse import LoopPulse
from shared.venue.reading import PublicReading
from tests.conftest import Connect
from tests.factories import CLOCK, DOWN_TOKEN, UP_TOKEN, Desk

pytestmark = pytest.mark.integration
WITHIN_S = 30.0
V2_TOKEN = "663574927012476832975694178961957910328055987427402067619466963999000625152"


@asynccontextmanager
async def entering(
    desk: Desk, db: Connect, *, reconciled: bool = True, afterwards: Callable[[], None] = lambda: None
) -> AsyncIterator[Wakeup]:
    """Run the loop as the leader in PAPER; yields what wakes it. ``afterwards`` comes when it is over and the lead is not."""
    desk.do("execution", "SELECT pg_advisory_unlock_all()")
    session = await LockSession.try_acquire(
        desk.role_url("onebook_execution"), key=EXECUTOR_LOCK_KEY, clock=CLOCK, instance="entries"
    )
    assert session is not None
    if reconciled:
        assert desk.do("reconciler", "SELECT mark_reconciled(%s, '{}')", session.epoch)
    channels = frozenset({"gate_changed"})
    others = {name: Wakeup(channels) for name in Wakeups.__dataclass_fields__}
    trading = Trading(
        database=await db(role="execution"),
        clock=CLOCK,
        reading=cast("PublicReading", None),  # entries read the Book alone
        executors=Executors(Mode.PAPER, {}),
        switchboard=Switchboard(),
        wakeups=Wakeups(**others),
        ceiling=Mode.PAPER,
        instance="entries",
    )
    pulse = LoopPulse("entries", CLOCK, stale_after_s=15)
    async with asyncio.TaskGroup() as group:
        group.create_task(session.hold(pulse), name="hold")
        loop = group.create_task(enter(trading, session, pulse))
        try:
            yield others["entries"]
        finally:
            pulse.stopping.set()
            others["entries"].add_everything()
            await loop
            afterwards()
            await session.ping()
            for task in asyncio.all_tasks():
                if task.get_name() == "hold":
                    task.cancel()
    await session.close()


def market(desk: Desk, up_token: str = UP_TOKEN) -> str:
    """A window whose market, books and feeds are as fresh as the gate asks for."""
    window = desk.window(closes_in_s=120, up_token=up_token)
    now = CLOCK.now()
    desk.do(
        "execution",
        "INSERT INTO market_facts (window_id, read_at, accepting, tick, min_size, fee_rate, fee_exponent, fee_taker_only,"
        " neg_risk, version, up_token, down_token)"
        " VALUES (%s, clock_timestamp(), true, 0.01, 5, 0.07, 1, true, false, 'v1', %s, %s)",
        window,
        up_token,
        DOWN_TOKEN,
    )
    desk.do(
        "feed_collector",
        "INSERT INTO books_now (token_id, window_id, bids, asks, source_at, received_at, snapshot_at, continuous)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, true) ON CONFLICT (token_id) DO NOTHING",
        up_token,
        window,
        Jsonb([["0.48", "1000"]]),
        Jsonb([["0.50", "1000"]]),
        now,
        now,
        now,
    )
    for feed in ("binance_spot", "polymarket"):
        desk.do(
            "feed_collector",
            "INSERT INTO feed_status (feed, symbol, last_received_at) VALUES (%s, 'BTC', clock_timestamp())"
            " ON CONFLICT (feed, symbol) DO UPDATE SET last_received_at = clock_timestamp()",
            feed,
        )
    desk.do(
        "execution",
        "INSERT INTO venue_clock (source, offset_ms, measured_at) VALUES ('clob', 0, clock_timestamp())"
        " ON CONFLICT DO NOTHING",
    )
    return window


def signal(desk: Desk, window: str, **fields: object) -> str:
    risk = {"max_position_usdc": "5", "max_slippage": "0.02", "stop_loss": None, "take_profit": None}
    return desk.signal(window, risk=Jsonb(risk), amount_usdc=Decimal(2), **fields)


def name(desk: Desk, signal_id: str) -> None:
    """Notify of a signal, as whoever commits one does."""
    desk.do("signal_engine", "SELECT pg_notify('signal_created', %s)", signal_id)


async def until(what: str, look: Callable[[], Any]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not look():
            await asyncio.to_thread(lambda: None)  # the loop under test runs in between
    assert look(), what


def states(desk: Desk) -> dict[str, str]:
    return {row["signal_id"]: row["state"] for row in desk.all("SELECT signal_id, state FROM signals")}


async def test_a_named_signal_becomes_one_order_however_often_it_is_named(desk: Desk, db: Connect) -> None:
    async with entering(desk, db):
        made = signal(desk, market(desk))
        for _ in range(20):
            name(desk, made)
        await until("it is ordered", lambda: states(desk)[made] == "ORDERED")
        name(desk, made)
        later = signal(desk, desk.window(closes_in_s=120))
        name(desk, later)
        await until("the next is decided", lambda: states(desk)[later] != "NEW")
    assert desk.one("SELECT count(*) AS n FROM orders")["n"] == 1
    checks = desk.one("SELECT verdict FROM signals WHERE signal_id = %s", made)["verdict"]["checks"]
    assert all(check["passed"] for check in checks)


async def test_a_signal_is_heard_on_the_session_that_claims_it(
    desk: Desk, db: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "POLL_S", 3600)
    async with entering(desk, db):
        first = signal(desk, desk.window())
        name(desk, first)
        await until("the loop has begun, and looked at everything", lambda: states(desk)[first] != "NEW")
        made = signal(desk, market(desk))
        name(desk, made)
        await until("it is ordered", lambda: states(desk)[made] == "ORDERED")


async def test_an_order_that_cannot_be_prepared_is_refused_and_counted(desk: Desk, db: Connect) -> None:
    """A market says one protocol and its asset id another: no exchange is the right one to sign for."""
    counted = ("execution_signals_total", {"result": "MARKET_UNSUPPORTED"})
    before = REGISTRY.get_sample_value(*counted) or 0
    async with entering(desk, db):
        made = signal(desk, market(desk, up_token=V2_TOKEN), token_id=V2_TOKEN)
        name(desk, made)
        await until("it is refused", lambda: states(desk)[made] == "REFUSED")
        await until("it is counted", lambda: REGISTRY.get_sample_value(*counted) == before + 1)
    found = desk.one("SELECT refusal, verdict FROM signals WHERE signal_id = %s", made)
    assert found["refusal"] == "MARKET_UNSUPPORTED"
    assert all(check["passed"] for check in found["verdict"]["checks"])
    assert V2_TOKEN in found["verdict"]["prepare"]


async def test_a_word_that_names_no_signal_is_passed_over(desk: Desk, db: Connect) -> None:
    async with entering(desk, db):
        name(desk, "nobody")
        made = signal(desk, market(desk))
        name(desk, made)
        await until("the real one is ordered", lambda: states(desk)[made] == "ORDERED")


async def test_a_signal_nobody_names_is_found_by_the_poll(desk: Desk, db: Connect) -> None:
    async with entering(desk, db):
        first = signal(desk, desk.window())
        name(desk, first)
        await until("the loop has begun, and looked at everything", lambda: states(desk)[first] != "NEW")
        made = signal(desk, market(desk))
        await until("the poll found it", lambda: states(desk)[made] != "NEW")


async def test_once_the_loop_is_over_nobody_begins_on_what_is_heard(desk: Desk, db: Connect) -> None:
    made: list[str] = []

    def afterwards() -> None:
        made.append(signal(desk, market(desk)))
        name(desk, made[0])

    async with entering(desk, db, afterwards=afterwards):
        pass
    assert states(desk) == {made[0]: "NEW"}


async def test_more_signals_than_are_worked_on_at_once_are_all_decided(desk: Desk, db: Connect) -> None:
    async with entering(desk, db):
        window = market(desk)
        made = [signal(desk, window, ordinal=number) for number in range(3 * AT_ONCE_MAX)]
        for each in made:
            name(desk, each)
        await until("all are decided", lambda: "NEW" not in states(desk).values())
    # A second one only after the first was provably not sent: a machine that is late lets a send's deadline pass.
    orders = desk.all("SELECT state FROM orders ORDER BY claimed_at")
    assert 1 <= len(orders) <= 2
    assert [order["state"] for order in orders[:-1]] == ["NOT_SENT"] * (len(orders) - 1)


async def test_before_the_comparison_a_signal_waits_and_afterwards_it_is_decided(
    desk: Desk, db: Connect
) -> None:
    async with entering(desk, db, reconciled=False) as wakeup:
        made = signal(desk, market(desk))
        name(desk, made)
        epoch = desk.one("SELECT max(epoch) AS epoch FROM executor_epochs")["epoch"]
        assert states(desk)[made] == "NEW"
        assert desk.do("reconciler", "SELECT mark_reconciled(%s, '{}')", epoch)
        wakeup.add(GateChanged(AccountId("*"), "*"))
        await until("it is ordered", lambda: states(desk)[made] == "ORDERED")


@pytest.mark.parametrize(
    ("column", "written", "why"),
    [
        ("risk", {"a_rule_of_tomorrow": "0.1"}, "a_rule_of_tomorrow"),
        ("risk", {"stop_loss": "half"}, "half"),
        ("risk", {"stop_loss": "NaN"}, "NaN"),
        ("risk", ["0.1"], "$.risk"),
        ("evidence", "none", "$.evidence"),
    ],
)
async def test_a_signal_nobody_can_read_is_refused_and_the_next_is_ordered(
    desk: Desk, db: Connect, column: str, written: object, why: str
) -> None:
    """A newer engine's word, or a broken one's: it must not end whoever else has positions to look after (P3)."""
    odd = desk.signal(market(desk), **{"amount_usdc": Decimal(2), column: Jsonb(written)})
    async with entering(desk, db):
        name(desk, odd)
        await until("it is refused", lambda: states(desk)[odd] == "REFUSED")
        good = signal(desk, market(desk))
        name(desk, good)
        await until("the next is ordered", lambda: states(desk)[good] == "ORDERED")
    row = desk.one("SELECT refusal, verdict FROM signals WHERE signal_id = %s", odd)
    assert row["refusal"] == "FACTS_UNREADABLE"
    assert why in row["verdict"]["unreadable"]


async def test_where_one_fails_nobody_begins_on_what_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """The group that ran it takes no more, and says so by an exception that whoever hears must not raise."""

    async def fail(*_: object) -> bool:
        raise RuntimeError("no decision is made so")

    monkeypatch.setattr(entries, "_decide", fail)
    under = entries._Under({SignalId("first")})
    nothing = cast("Any", None)
    with pytest.raises(RuntimeError):
        await entries._work_on(nothing, nothing, SignalId("first"), under)
    assert under.ended
    assert not under.way
