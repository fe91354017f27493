"""The engine on a real Book, as its own role: one fresh read, one signal, once (S1, S2, S4, R12, T5)."""

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from services.signal_engine import actions
from services.signal_engine.decide import Instance, build_view, make_signal
from services.signal_engine.loops import Engine
from shared.bus.channels import MarketMoved
from shared.bus.listen import Listener
from shared.db.engine import Database
from shared.db.queries.rows import read_risk
from shared.domain.ids import AccountId, StrategyId
from shared.domain.modes import Mode
from shared.domain.signals import RiskParameters, Signal
from shared.domain.windows import Side
from shared.runtime.clock import SystemClock
from shared.strategies.base import StrategyDeclaration, WindowView, Wish
from shared.strategies.loader import LoadedStrategy, load
from tests.factories import DOWN_TOKEN, UP_TOKEN, Desk

pytestmark = pytest.mark.integration
CLOCK = SystemClock()
CANARY = StrategyId("always-trade-canary")


class Eager:
    """Buys UP whenever it is asked; raises when told to."""

    declaration = StrategyDeclaration(
        strategy_id=StrategyId("eager"),
        version="1",
        hypothesis="It only has to be asked.",
        entry_from=Decimal(0),
        entry_until=Decimal(1),
        risk=RiskParameters(stop_loss=None, max_slippage=Decimal("0.01")),
    )
    broken = False

    def __init__(self) -> None:
        self.seen: list[WindowView] = []

    def evaluate(self, view: WindowView) -> Wish | None:
        self.seen.append(view)
        if self.broken:
            raise ZeroDivisionError("a strategy's own bug")
        book = view.up_book
        if book is None or book.best_ask is None:
            return None
        return Wish(Side.UP, book.best_ask, Decimal(2), Decimal("0.6"), {"ask": str(book.best_ask)})


@pytest_asyncio.fixture
async def database(db) -> Database:
    return await db(role="signal_engine")


class Stand:
    """A desk, a market in it, and engines that look at it."""

    def __init__(self, desk: Desk, database: Database, url: str) -> None:
        self.desk = desk
        self.database = database
        self.url = url
        self.eager = Eager()
        self.feed()
        self.window = desk.window()
        self.book(UP_TOKEN, ask="0.42", bid="0.40")
        self.book(DOWN_TOKEN, ask="0.60", bid="0.58")

    async def engine(self, *more: Any, ceiling: Mode = Mode.LIVE) -> Engine:
        strategies = {each.declaration.strategy_id: each for each in (self.eager, *more)}
        instances: list[Instance] = [
            await actions.register(
                self.database, AccountId(self.desk.account), LoadedStrategy(each, "module", "hash")
            )
            for each in strategies.values()
        ]
        listener = Listener(self.url, application_name="test", clock=CLOCK)
        return Engine(
            database=self.database,
            wakeup=listener.subscribe([MarketMoved.channel]),
            clock=CLOCK,
            instances=instances,
            strategies=strategies,
            ceiling=ceiling,
            instance="test",
            refused={},
        )

    def feed(self, name: str = "binance_spot", *, age_s: float = 0.0) -> None:
        self.desk.do(
            "feed_collector",
            "INSERT INTO feed_status (feed, symbol, last_received_at) VALUES (%s, 'BTC', clock_timestamp() - %s)"
            " ON CONFLICT (feed, symbol) DO UPDATE SET last_received_at = excluded.last_received_at",
            name,
            timedelta(seconds=age_s),
        )

    def book(self, token: str, *, ask: str, bid: str) -> None:
        self.desk.do(
            "feed_collector",
            "INSERT INTO books_now (token_id, window_id, bids, asks, source_at, received_at, snapshot_at, continuous)"
            " VALUES (%s, %s, jsonb_build_array(jsonb_build_array(%s::text, '10')),"
            " jsonb_build_array(jsonb_build_array(%s::text, '10')), now(), now(), now(), true)",
            token,
            self.window,
            bid,
            ask,
        )

    def signals(self) -> list[dict[str, Any]]:
        return self.desk.all("SELECT * FROM signals ORDER BY ordinal")

    def decide(self, state: str, refusal: str | None = None, *, ago_s: float = 0.0) -> None:
        """Decide the newest signal as execution would."""
        self.desk.owner.execute(
            "UPDATE signals SET state = %s, refusal = %s, decided_at = clock_timestamp() - %s WHERE state = 'NEW'",
            [state, refusal, timedelta(seconds=ago_s)],
        )


@pytest.fixture
def stand(desk: Desk, database: Database, database_url: str) -> Stand:
    return Stand(desk, database, database_url)


@pytest.fixture
def heard(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("LISTEN signal_created")
        yield connection


def told(connection: psycopg.Connection) -> list[str]:
    """The signals announced so far: notifications come in the order of their commits, so our own comes last."""
    connection.execute("SELECT pg_notify('signal_created', 'end')")
    found = itertools.takewhile(lambda note: note.payload != "end", connection.notifies(timeout=10))
    return [note.payload for note in found]


async def test_a_wish_becomes_one_signal_with_all_its_evidence_and_wakes_the_executor(stand: Stand, heard):
    engine = await stand.engine()
    assert await engine.look_and_ask() == 1
    assert await engine.look_and_ask() == 0
    (signal,) = stand.signals()
    assert (signal["state"], signal["mode"], signal["side"], signal["token_id"]) == (
        "NEW",
        "LIVE",
        "UP",
        UP_TOKEN,
    )
    assert (signal["price"], signal["amount_usdc"], signal["confidence"]) == (
        Decimal("0.42"),
        Decimal(2),
        Decimal("0.6"),
    )
    assert signal["expires_at"] - signal["made_at"] == timedelta(seconds=5)
    assert signal["evidence"]["decision"] == {"ask": "0.42"}
    assert signal["evidence"]["view"]["down_book"]["asks"] == [["0.60", "10"]]
    assert read_risk(signal["risk"]) == Eager.declaration.risk
    assert told(heard) == [signal["signal_id"]]


async def test_two_engines_at_once_make_one_signal(stand: Stand):
    """The id is a function of what it names: the second finds it there (T5)."""
    engines = [await stand.engine() for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        looks = [group.create_task(engine.look_and_ask()) for engine in engines * 3]
    assert sum(look.result() for look in looks) == 1
    assert len(stand.signals()) == 1


async def signal_of(stand: Stand, engine: Engine, *, ordinal: int) -> Signal:
    """What an engine would write that knows nothing of the signals made since it looked."""
    sight = await actions.look(stand.database, engine.instances, Mode.LIVE)
    assert sight.situation is not None
    assert sight.market is not None
    question = replace(sight.asked[0], ordinal=ordinal)
    view = build_view(sight.situation, sight.market, question.window)
    wish = stand.eager.evaluate(view)
    assert wish is not None
    made = make_signal(question, wish, view, sight.situation.now)
    assert made is not None
    return made


async def test_an_undecided_signal_bars_the_next_whatever_its_number(stand: Stand):
    engine = await stand.engine()
    late = await signal_of(stand, engine, ordinal=1)
    await engine.look_and_ask()
    assert not await actions.make(stand.database, late, ordinal=1)
    assert len(stand.signals()) == 1


async def test_an_engine_that_looked_earlier_does_not_repeat_a_signal_decided_since(stand: Stand, heard):
    engine = await stand.engine()
    late = await signal_of(stand, engine, ordinal=0)
    await engine.look_and_ask()
    stand.decide("REFUSED", "PRICE_MOVED")
    assert not await actions.make(stand.database, late, ordinal=0)
    assert [signal["state"] for signal in stand.signals()] == ["REFUSED"]
    assert len(told(heard)) == 1


async def test_a_passing_refusal_is_tried_again_once_after_two_seconds(stand: Stand):
    engine = await stand.engine()
    await engine.look_and_ask()
    stand.decide("REFUSED", "PRICE_MOVED")
    assert await engine.look_and_ask() == 0
    stand.desk.owner.execute("UPDATE signals SET decided_at = decided_at - interval '2 seconds'")
    assert await engine.look_and_ask() == 1
    stand.decide("REFUSED", "PRICE_MOVED", ago_s=9)
    assert await engine.look_and_ask() == 0
    assert [signal["ordinal"] for signal in stand.signals()] == [0, 1]


@pytest.mark.parametrize(("state", "refusal"), [("ORDERED", None), ("REFUSED", "STRATEGY_NOT_ALLOWED")])
async def test_an_order_or_a_lasting_refusal_ends_the_window(stand: Stand, state, refusal):
    engine = await stand.engine()
    await engine.look_and_ask()
    stand.decide(state, refusal, ago_s=9)
    assert await engine.look_and_ask() == 0


async def test_a_stale_primary_feed_halts_signals_and_they_resume_by_themselves(stand: Stand):
    engine = await stand.engine()
    stand.feed(age_s=5.5)
    assert await engine.look_and_ask() == 0
    assert engine.stale == {"BTC"}
    stand.feed()
    assert await engine.look_and_ask() == 1
    assert engine.stale == frozenset()


async def test_the_engine_is_fit_only_with_a_live_feed_and_a_closed_breaker(stand: Stand):
    engine = await stand.engine()
    assert (await engine.check_primary()).ok
    assert (await engine.check_breaker()).ok
    stand.feed(age_s=31)
    stand.desk.do("risk_monitor", "SELECT trip_breaker(%s, 'LIVE', 'MANUAL_TRIP')", stand.desk.account)
    assert not (await engine.check_primary()).ok
    assert not (await engine.check_breaker()).ok


async def test_a_strategy_that_raises_is_reported_and_the_others_are_asked(stand: Stand):
    """One broken strategy silences nobody else (S1)."""
    stand.eager.broken = True
    canary = load([CANARY]).strategies[CANARY].strategy
    engine = await stand.engine(canary)
    stand.desk.owner.execute(
        "UPDATE windows SET opens_at = now() - interval '57 seconds', closes_at = now() + interval '3 seconds'"
    )
    for _ in range(3):
        await engine.look_and_ask()
    (signal,) = stand.signals()
    assert (signal["strategy_id"], signal["side"], signal["token_id"]) == (CANARY, "DOWN", DOWN_TOKEN)
    (alert,) = stand.desk.all("SELECT * FROM alerts WHERE kind = 'strategy_failed'")
    assert (alert["repeats"], alert["details"]["error"]) == (0, "ZeroDivisionError: a strategy's own bug")


async def test_the_view_holds_recent_prices_oldest_first_and_the_venues_time(stand: Stand):
    stand.desk.do("feed_collector", "SELECT ensure_partitions(1)")
    for source, price, ago_s in (
        ("chainlink", 3, 1),
        ("chainlink", 1, 3),
        ("chainlink", 2, 2),
        ("chainlink", 9, 600),
        ("chainlink_twap", 5, 1),
        ("binance_spot", 6, 1),
        ("binance_spot", 7, 0.5),
    ):
        stand.desk.do(
            "feed_collector",
            "INSERT INTO price_ticks (timestamp, symbol, source, price, source_timestamp)"
            " SELECT at, 'BTC', %s, %s, at FROM (SELECT clock_timestamp() - %s AS at) AS moment",
            source,
            price,
            timedelta(seconds=ago_s),
        )
    stand.desk.do(
        "execution", "INSERT INTO venue_clock (source, offset_ms, measured_at) VALUES ('clob', 2000, now())"
    )
    before = CLOCK.now()
    await (await stand.engine()).look_and_ask()
    (view,) = stand.eager.seen
    assert [point.price for point in view.oracle_samples] == [1, 2, 3]
    assert (view.oracle.price, view.oracle_average.price, view.fast.price) == (3, 5, 7)
    assert timedelta(seconds=1.5) < view.now - before < timedelta(seconds=30)


async def test_controls_and_an_operators_switch_are_read_anew_each_time(stand: Stand):
    engine = await stand.engine()
    stand.desk.owner.execute("UPDATE strategy_instances SET enabled = false WHERE strategy_id = 'eager'")
    assert await engine.look_and_ask() == 0
    stand.desk.owner.execute("UPDATE strategy_instances SET enabled = true")
    stand.desk.control("trading_mode", "PAPER")
    stand.desk.control("signal_lifetime_s", "1.5")
    assert await engine.look_and_ask() == 1
    (signal,) = stand.signals()
    assert (signal["mode"], signal["expires_at"] - signal["made_at"]) == ("PAPER", timedelta(seconds=1.5))


async def test_controls_nobody_can_read_make_no_signals(stand: Stand):
    engine = await stand.engine()
    stand.desk.control("allowed_strategies", "eager")
    stand.desk.owner.execute("UPDATE runtime_controls SET value = '*,eager' WHERE key = 'allowed_strategies'")
    assert await engine.look_and_ask() == 0


async def test_registering_again_leaves_what_an_operator_decided(stand: Stand):
    await stand.engine()
    stand.desk.owner.execute("UPDATE strategy_instances SET enabled = false, enabled_by = 'ops'")
    await stand.engine()
    row = stand.desk.one(
        "SELECT enabled, enabled_by, parameters FROM strategy_instances WHERE strategy_id = 'eager'"
    )
    assert (row["enabled"], row["enabled_by"], row["parameters"]) == (False, "ops", {})


async def test_an_account_nobody_opened_is_named(stand: Stand):
    assert await actions.missing_accounts(stand.database, [AccountId("nobody"), AccountId("desk")]) == [
        "nobody"
    ]


async def test_nothing_is_asked_while_no_window_is_open(stand: Stand):
    stand.desk.owner.execute("UPDATE windows SET closes_at = now()")
    engine = await stand.engine()
    assert await engine.look_and_ask() == 0
    assert stand.eager.seen == []


async def test_the_engine_beats(stand: Stand):
    await actions.beat(stand.database, instance="one", healthy=True, details={"stale": []})
    assert stand.desk.one("SELECT healthy FROM heartbeats WHERE service = 'signal_engine'")["healthy"]
