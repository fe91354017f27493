"""The gate's one read: each fact it brings, against rows written as their owners write them (E10)."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

import msgspec
import psycopg
import pytest
import pytest_asyncio
from psycopg.types.json import Jsonb

from shared.db.lock import EXECUTOR_LOCK_KEY, LockSession
from shared.db.queries.gate import gate_read, warm_up
from shared.db.queries.gate_facts import FACTS, GATE_READ, read_facts
from shared.domain.breaker import BreakerState, KillSwitch
from shared.domain.facts import HistoryFacts
from shared.domain.ids import SignalId
from shared.domain.modes import Mode
from shared.domain.readings import GateRead
from shared.domain.signals import SignalState
from tests.factories import CLOCK, DOWN_TOKEN, UP_TOKEN, Desk
from tests.integration.gate_rows import book, heard, market, venue_clock

pytestmark = pytest.mark.integration


@pytest_asyncio.fixture
async def session(desk: Desk) -> AsyncIterator[LockSession]:
    """The lock session, its epoch compared."""
    desk.do("execution", "SELECT pg_advisory_unlock_all()")
    url = desk.role_url("onebook_execution")
    made = await LockSession.try_acquire(url, key=EXECUTOR_LOCK_KEY, clock=CLOCK, instance="reader")
    assert made is not None
    assert desk.do("reconciler", "SELECT mark_reconciled(%s, '{}')", made.epoch)
    yield made
    await made.close()


async def read(session: LockSession, signal: str) -> GateRead:
    found = await gate_read(session, SignalId(signal))
    assert found is not None
    return found


async def test_an_untouched_account_reads_as_it_was_opened(desk: Desk, session: LockSession) -> None:
    window = desk.window(strike=Decimal("64000.5"))
    signal = desk.signal(window, evidence=Jsonb({"edge": "0.1"}), amount_usdc=Decimal("2.5"))
    facts = await read(session, signal)
    row = desk.one("SELECT * FROM signals WHERE signal_id = %s", signal)
    said = facts.signal
    assert (said.signal_id, said.account_id, said.strategy_id) == (signal, desk.account, "canary")
    assert (said.window_id, said.instrument, said.side, said.token_id) == (window, "BTC", "UP", UP_TOKEN)
    assert (said.price, said.amount_usdc, said.confidence) == (Decimal("0.5"), Decimal("2.5"), Decimal("0.6"))
    assert (said.made_at, said.expires_at, facts.created_at) == (
        row["made_at"], row["expires_at"], row["created_at"],
    )  # fmt: skip
    assert said.risk.max_slippage == Decimal("0.02")
    assert said.evidence == {"edge": "0.1"}
    assert said.mode is Mode.PAPER
    assert facts.signal_state is SignalState.NEW
    assert (facts.window.window_id, facts.window.state, facts.window.strike) == (
        window, "OPEN", Decimal("64000.5"),
    )  # fmt: skip
    assert facts.guard.leader
    assert facts.guard.reconciled
    assert facts.guard.breaker is BreakerState.CLOSED
    assert facts.guard.kill_switch is KillSwitch.OFF
    assert facts.guard.halted is False
    assert facts.mode_control is Mode.LIVE
    assert facts.controls is not None
    assert facts.controls.allowed_strategies == frozenset("*")
    assert facts.history == HistoryFacts(None, None, None)
    assert facts.counters is not None
    assert not any((facts.counters.entered, facts.counters.window_blocked, facts.counters.position_exists))
    assert facts.counters.window_orders == facts.counters.open_positions == facts.counters.exposure_usdc == 0
    assert facts.counters.free_capital_usdc == facts.cash_usdc == 100
    assert facts.losses is not None
    assert (facts.losses.session_pnl_usdc, facts.losses.daily_pnl_usdc, facts.losses.day_start_usdc) == (
        0, 0, 100,
    )  # fmt: skip
    assert (facts.book, facts.book_facts, facts.market, facts.venue_balance) == (None, None, None, None)
    assert (facts.venue_offset, facts.primary_feed_at) == (None, None)
    assert facts.deadman.resting is False
    assert set(facts.heartbeats) == {"feed_collector", "risk_monitor", "reconciler"}
    assert abs(facts.now - CLOCK.now()) < timedelta(seconds=10)


async def test_the_feeds_the_clock_and_the_book_are_those_of_the_signal(
    desk: Desk, session: LockSession
) -> None:
    signal = desk.signal(desk.window())
    book(desk)
    book(desk, DOWN_TOKEN, asks=Jsonb([["0.9", "1"]]))
    of_books, primary = heard(desk, "polymarket", "*"), heard(desk, "binance_spot", "BTC")
    heard(desk, "binance_spot", "ETH")
    venue_clock(desk)
    facts = await read(session, signal)
    assert facts.book is not None
    assert facts.book_facts is not None
    assert [(level.price, level.size) for level in facts.book.asks] == [
        (Decimal("0.50"), 20), (Decimal("0.51"), 30),
    ]  # fmt: skip
    assert facts.book_facts.best_ask == Decimal("0.50")
    assert facts.book_facts.continuous
    assert facts.book_facts.received_at == of_books
    assert facts.primary_feed_at == primary
    assert facts.venue_offset == timedelta(microseconds=-12_500)


async def test_the_market_and_the_balance_are_what_execution_last_read(
    desk: Desk, session: LockSession
) -> None:
    window = desk.window()
    signal = desk.signal(window)
    read_at = market(desk, window)
    desk.do(
        "execution",
        "INSERT INTO venue_balances (account_id, mode, asset, balance, read_at)"
        " VALUES (%s, %s, 'USDC', 12.34, clock_timestamp())",
        desk.account,
        desk.mode,
    )
    facts = await read(session, signal)
    assert facts.market is not None
    assert facts.market.read_at == read_at
    assert (facts.market.tick, facts.market.min_size, facts.market.accepting) == (Decimal("0.001"), 7, True)
    assert (facts.market.fee.rate, facts.market.version) == (Decimal("0.07"), "v1")
    assert (facts.market.up_token, facts.market.down_token) == (UP_TOKEN, DOWN_TOKEN)
    assert facts.venue_balance is not None
    assert facts.venue_balance.amount_usdc == Decimal("12.34")


async def enter(desk: Desk, session: LockSession, window: str) -> tuple[str, str]:
    """Claim an entry on the lock session; returns its signal and its order's id."""
    signal = desk.signal(window)
    order = desk.order(signal)
    row = await session.call(
        "SELECT refused FROM claim_entry(%s, %s, %s, 'body', '{}')", (session.epoch, signal, Jsonb(order))
    )
    assert row["refused"] is None
    return signal, str(order["order_id"])


async def test_what_was_entered_held_and_lost_is_counted(desk: Desk, session: LockSession) -> None:
    window = desk.window()
    before = await read(session, desk.signal(window, ordinal=9))
    _, order = await enter(desk, session, window)
    same = await read(session, desk.signal(window, ordinal=1))
    claimed = desk.one("SELECT * FROM orders WHERE order_id = %s", order)
    assert before.counters is not None
    assert before.counters.entered is False
    assert same.counters is not None
    assert same.counters.entered
    assert same.counters.position_exists
    assert (same.counters.window_orders, same.counters.open_positions) == (1, 1)
    assert same.counters.exposure_usdc == same.counters.instrument_usdc == Decimal("2.14")
    assert same.counters.held_usdc == same.counters.deployed_usdc == Decimal("2.14")
    assert same.counters.free_capital_usdc == same.cash_usdc == Decimal("97.86")
    assert same.history.last_entry_at == claimed["claimed_at"]
    assert same.history.last_opposite_entry_at is None
    desk.record(order, "MATCHED", shares="4", usdc="2", fee_usdc="0.05", trade_ids=["t1"])
    desk.trade(order, "t1", shares="4", usdc="2")
    book(desk, bids=Jsonb([["0.40", "10"]]))
    elsewhere = await read(session, desk.signal(desk.window(), side="DOWN"))
    assert elsewhere.counters is not None
    assert elsewhere.counters.entered is elsewhere.counters.position_exists is False
    assert (elsewhere.counters.window_orders, elsewhere.counters.held_usdc) == (0, 0)
    assert elsewhere.counters.open_positions == 1
    fills = desk.one("SELECT max(recorded_at) AS at FROM fills")
    positions = desk.one("SELECT max(opened_at) AS at FROM positions")
    assert elsewhere.history.last_opposite_entry_at == positions["at"]
    assert elsewhere.history.last_trade_at == fills["at"]
    assert elsewhere.losses is not None
    # 4 shares at a bid of 0.40 that cost 2, and a fee of 0.05 that is gone: unrealised -0.4, realised -0.05.
    assert elsewhere.losses.session_pnl_usdc == elsewhere.losses.daily_pnl_usdc == Decimal("-0.45")
    assert elsewhere.losses.day_start_usdc == 100


async def test_every_fact_is_what_psycopg_would_load(desk: Desk, session: LockSession) -> None:
    """The facts come as one JSON text; no digit, no microsecond and no type may get lost on that way."""
    window = desk.window(strike=Decimal("64000.120000000000000001"))
    _, order = await enter(desk, session, window)
    desk.record(order, "MATCHED", shares="4", usdc="2", fee_usdc="0.05", trade_ids=["t1"])
    desk.trade(order, "t1", shares="4", usdc="2")
    book(desk, DOWN_TOKEN)
    heard(desk, "polymarket", "*")
    heard(desk, "binance_spot", "BTC")
    venue_clock(desk)
    desk.do(
        "execution",
        "INSERT INTO venue_balances (account_id, mode, asset, balance, read_at)"
        " VALUES (%s, %s, 'USDC', 1000000000.000001, clock_timestamp())",
        desk.account,
        desk.mode,
    )
    market(desk, window)
    signal = desk.signal(window, side="DOWN", ordinal=1)
    wanted = dict(await session.call(FACTS.replace("$1", "%s").encode(), [signal]))
    text = await session.ask(GATE_READ, signal)
    assert text is not None
    found = msgspec.structs.asdict(read_facts(text))
    for facts in (wanted, found):
        assert facts.pop("now") is not None
    # What the Book keeps as JSON psycopg hands on as it is; ours has the types of its contents.
    wanted["heartbeats"] = {name: datetime.fromisoformat(at) for name, at in wanted["heartbeats"].items()}
    for side in ("bids", "asks"):
        wanted[side] = [(Decimal(price), Decimal(size)) for price, size in wanted[side]]
    never = {"deadman_at", "strategy_stop"}
    assert {name for name, value in wanted.items() if value is None} == never
    assert found == wanted
    # The type of a zero is not seen by ==: an int is no amount.
    assert {name: str if isinstance(value, StrEnum) else type(value) for name, value in found.items()} == {
        name: type(value) for name, value in wanted.items()
    }


async def test_a_stop_is_read_of_its_strategy_while_its_session_or_day_runs(
    desk: Desk, session: LockSession
) -> None:
    """What the claim refuses under its lock, the gate names before it, with the limit that was lost (R8)."""

    async def stop_read() -> Decimal | None:
        losses = (await read(session, desk.signal(desk.window()))).losses
        assert losses is not None
        return losses.strategy_stop_usdc

    async def refused() -> str | None:
        signal = desk.signal(desk.window())
        order = Jsonb(desk.order(signal))
        row = await session.call(
            "SELECT refused FROM claim_entry(%s, %s, %s, 'body', '{}')", (session.epoch, signal, order)
        )
        found: str | None = row["refused"]
        return found

    def stop(scope: str, pnl: int) -> None:
        ask = "SELECT stop_strategy(%s, %s, 'canary', %s, %s)"
        assert desk.do("risk_monitor", ask, desk.account, desk.mode, scope, pnl)

    assert await stop_read() is None
    desk.do("operator", "SELECT open_session(%s, %s, 'alice')", desk.account, desk.mode)
    stop("SESSION", -10)
    assert await stop_read() == 10
    assert await refused() == "STRATEGY_STOPPED"
    desk.control("max_strategy_loss", "12")
    stop("DAY", -12)
    assert await stop_read() == 12, "the highest limit it lost is the one a person must raise"
    desk.owner.execute("UPDATE strategy_stops SET day = day - 1 WHERE day IS NOT NULL")
    assert await stop_read() == 10, "yesterday's is over"
    desk.do("operator", "SELECT open_session(%s, %s, 'alice')", desk.account, desk.mode)
    assert await stop_read() is None, "so is that of a session that was closed"
    assert await refused() is None
    stop("SESSION", -12)
    desk.owner.execute("UPDATE sessions SET opened_by = 'day', day = day - 1 WHERE closed_at IS NULL")
    assert await stop_read() is None, "and that of a day's own session"
    desk.owner.execute("UPDATE sessions SET day = day + 1 WHERE closed_at IS NULL")
    assert await stop_read() == 12
    for column, value in (("strategy_id", "other"), ("mode", "DRY_RUN")):
        desk.owner.execute(f"UPDATE strategy_stops SET {column} = %s", [value])
        assert await stop_read() is None, "another's is none of ours"


async def test_an_unknown_order_blocks_its_window_alone(desk: Desk, session: LockSession) -> None:
    window = desk.window()
    _, order = await enter(desk, session, window)
    desk.record(order, "LOST", reason="TIMEOUT")
    here = await read(session, desk.signal(window, ordinal=1))
    elsewhere = await read(session, desk.signal(desk.window()))
    assert here.counters is not None
    assert elsewhere.counters is not None
    assert (here.counters.window_blocked, elsewhere.counters.window_blocked) == (True, False)
    assert here.guard.breaker is elsewhere.guard.breaker is BreakerState.OPEN


async def test_what_rests_must_be_fed(desk: Desk, session: LockSession) -> None:
    _, order = await enter(desk, session, desk.window())
    desk.record(order, "RESTS")
    beaten_at = desk.do(
        "execution",
        "INSERT INTO venue_heartbeats (account_id, beaten_at, armed) VALUES (%s, clock_timestamp(), true)"
        " RETURNING beaten_at",
        desk.account,
    )
    facts = await read(session, desk.signal(desk.window()))
    assert facts.deadman.resting
    assert facts.deadman.beaten_at == beaten_at


async def test_what_stops_trading_is_read(desk: Desk, session: LockSession) -> None:
    signal = desk.signal(desk.window())
    desk.control("kill_switch", "FLATTEN")
    desk.control("trading_mode", "PAPER")
    desk.owner.execute("UPDATE trading_gate SET halted = true")
    facts = await read(session, signal)
    assert facts.guard.kill_switch is KillSwitch.FLATTEN
    assert facts.guard.halted
    assert facts.mode_control is Mode.PAPER


async def test_an_epoch_after_ours_and_a_comparison_not_made_are_seen(
    desk: Desk, session: LockSession
) -> None:
    signal = desk.signal(desk.window())
    desk.owner.execute(
        "INSERT INTO executor_epochs (epoch, instance, backend_pid) VALUES (%s, 'other', 1)",
        [session.epoch + 1],
    )
    facts = await read(session, signal)
    assert facts.guard.leader is False
    assert facts.guard.reconciled is False


async def test_controls_that_cannot_be_read_are_none(desk: Desk, session: LockSession) -> None:
    signal = desk.signal(desk.window())
    desk.owner.execute("UPDATE runtime_controls SET value = 'much' WHERE key = 'allowed_strategies'")
    desk.owner.execute(
        "INSERT INTO runtime_controls (account_id, key, value, set_by, reason) VALUES (%s, 'cooldown_s', 'much', 'x', 'x')",
        [desk.account],
    )
    assert (await read(session, signal)).controls is None


async def test_a_signal_that_is_not_there_has_no_facts(session: LockSession) -> None:
    assert await gate_read(session, SignalId("nobody")) is None


async def test_a_book_that_cannot_be_read_in_time_decides_nothing(desk: Desk, session: LockSession) -> None:
    """Unreadable is closed, and the session lives on: the signal stays NEW for the next look (P3)."""
    signal = desk.signal(desk.window())
    with psycopg.connect(desk.owner_url) as other:
        other.execute("LOCK TABLE trading_gate IN ACCESS EXCLUSIVE MODE")
        assert await gate_read(session, SignalId(signal)) is None
    assert (await read(session, signal)).signal_state is SignalState.NEW


async def test_a_column_a_migration_adds_does_not_end_a_session_that_has_planned_its_read(
    desk: Desk, session: LockSession
) -> None:
    """The new schema is there before the old process is gone (B6)."""
    signal = desk.signal(desk.window())
    await read(session, signal)
    for table in ("signals", "windows", "trading_gate", "books_now"):
        desk.owner.execute(f"ALTER TABLE {table} ADD COLUMN later integer")
    assert (await read(session, signal)).signal.signal_id == signal


def rows_of_every_table(desk: Desk) -> dict[str, int]:
    tables = desk.all(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    names = [row["relname"] for row in tables]
    return {name: desk.one(f'SELECT count(*) AS n FROM "{name}"')["n"] for name in names}


async def test_warming_up_claims_an_order_of_nobody_and_leaves_nothing(
    desk: Desk, session: LockSession
) -> None:
    before = rows_of_every_table(desk)
    with psycopg.connect(desk.owner_url, autocommit=True) as listening:
        for channel in ("order_changed", "gate_changed"):
            listening.execute(f"LISTEN {channel}")
        assert await warm_up(session) is None, "the claim went all the way, and was undone"
        assert list(listening.notifies(timeout=0)) == []
    assert rows_of_every_table(desk) == before
    desk.assert_books_agree()
    await enter(desk, session, desk.window())


async def test_only_execution_warms_up(desk: Desk) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        desk.do("signal_engine", "SELECT warm_claims()")
