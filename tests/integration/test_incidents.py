"""What went wrong with real money before, replayed: 27 January, 1 February and 28 February 2026.

Also the critical tests and edge cases an earlier system was held to, where no other test has their name.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from shared.db.engine import Database
from shared.db.queries.scheduled_work import claim_once
from shared.domain.amounts import propose_entry
from shared.domain.windows import FeeSchedule
from tests.conftest import Connect
from tests.factories import CLOCK, DOWN_TOKEN, UP_TOKEN, Desk, order_hash
from tests.integration.test_risk_and_reconciler_processes import service
from tests.processes import Street, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]


def test_incident_28_feb_forty_nine_dollars_become_no_position_of_forty_nine_dollars(desk: Desk) -> None:
    """183 shares for 49 dollars went out at once: the strategy asked for it, and nothing below it had a cap."""
    greedy = {"max_position_usdc": "1000", "max_slippage": "0.02"}
    window = desk.window()
    signal = desk.signal(window, price="0.27", amount_usdc=49, risk=Jsonb(greedy))
    asked: dict[str, Any] = {"limit_price": "0.27", "maker_amount": "49", "taker_amount": "181.4814", "reserved_usdc": "52.43", "cap_usdc": "1000"}  # fmt: skip
    assert desk.claim(signal, **asked).refused == "POSITION_CAP"
    assert desk.one("SELECT count(*) AS n FROM orders") == {"n": 0}
    desk.control("max_position_usd", "5")
    for number in range(12):  # nor by many small ones
        desk.claim(desk.signal(window, ordinal=number + 1, amount_usdc=4, risk=Jsonb(greedy)))
    assert desk.one("SELECT sum(reserved_usdc) AS usdc FROM orders")["usdc"] <= 5
    assert desk.buckets()["RESERVED"] <= 5
    desk.assert_books_agree()


def test_incident_28_feb_the_running_executor_cuts_a_wish_to_the_cap(street: Street) -> None:
    street.open_market()
    with street.executing() as process:
        street.lead(process, after=street.desk.epoch)
        signal_id = street.say(amount_usdc=49, risk={"max_position_usdc": "1000", "max_slippage": "0.02"})
        order = street.order_of(signal_id)
        assert order["reserved_usdc"] <= 5
        position = street.position_of(signal_id, "MONITORING")
        assert position["bought_usdc"] + position["buy_fees_usdc"] <= 5
        assert order["cap_usdc"] == 5, "and the order says which cap it was"


@pytest.mark.parametrize("price", ["0.08", "0.21", "0.50", "0.93"])
def test_incident_28_feb_the_same_wish_is_the_same_dollars_whatever_the_instrument_costs(price: str) -> None:
    """XRP got six times the size of the others: sizes are dollars, and shares only follow from them."""
    made = propose_entry(
        signal_price=Decimal(price), wanted_usdc=Decimal(2), cap_usdc=Decimal(5), max_slippage=Decimal("0.02"),
        stop_loss=None, exit_slippage=Decimal("0.05"), tick=Decimal("0.01"),
        fee=FeeSchedule(rate=Decimal("0.07"), exponent=1, taker_only=True),
    )  # fmt: skip
    assert made is not None
    assert made.amount_usdc == 2
    assert made.reservation_usdc <= Decimal("2.14")


def test_incident_28_feb_six_entries_of_one_window_do_not_add_up(desk: Desk) -> None:
    window = desk.window(instrument="XRP")
    answers = [
        desk.claim(desk.signal(window, ordinal=ordinal, instrument="XRP")).refused for ordinal in range(6)
    ]
    assert answers == [None, *["ALREADY_ENTERED"] * 5]
    assert desk.one("SELECT exposure_usdc FROM instrument_exposure WHERE instrument = 'XRP'")["exposure_usdc"] == Decimal("2.14")  # fmt: skip


def test_incident_28_feb_a_window_that_has_not_opened_is_not_entered(street: Street) -> None:
    """The strategy fired on future windows: refused by the running executor, and by the claim behind it."""
    street.open_market()
    future = street.desk.window(opens_in_s=30, closes_in_s=90, up_token=street.window["up_token"], down_token=street.window["down_token"])  # fmt: skip
    with street.executing() as process:
        street.lead(process, after=street.desk.epoch)
        street.tick()
        signal_id = street.desk.signal(future, token_id=street.window["up_token"])
        street.desk.do("signal_engine", "SELECT pg_notify('signal_created', %s)", signal_id)
        row = until(
            "it is refused",
            lambda: street.desk.all(
                "SELECT * FROM signals WHERE signal_id = %s AND state = 'REFUSED'", signal_id
            ),
        )[0]
        assert row["refusal"] in {"FUTURE_WINDOW", "WINDOW_NOT_OPEN"}
        assert street.desk.all("SELECT 1 FROM orders") == []
    until(
        "the lock is free",
        lambda: street.desk.do("execution", "SELECT pg_try_advisory_lock(executor_lock_key())"),
    )
    street.desk.take_epoch()
    assert street.desk.claim(street.desk.signal(future, ordinal=1)).refused == "FUTURE_WINDOW"


@pytest.mark.parametrize("order_id", [None, "", "null", "0x", "0x" + "g" * 64])
def test_incident_28_feb_an_order_without_its_id_breaks_nothing_and_is_not_written(
    desk: Desk, order_id: str | None
) -> None:
    """A null id broke the tracking of a position that existed: here nothing exists before its id does."""
    before = desk.buckets()
    with pytest.raises(psycopg.errors.IntegrityError):
        desk.claim(desk.signal(desk.window()), order_id=order_id)
    assert desk.buckets() == before
    assert desk.one("SELECT (SELECT count(*) FROM positions) + (SELECT count(*) FROM orders) AS n") == {
        "n": 0
    }
    assert desk.one("SELECT state FROM signals") == {"state": "NEW"}


def test_incident_28_feb_a_price_from_the_wrong_field_bounds_nothing(desk: Desk) -> None:
    """The maximum price was read from another field: whatever the order says, the signal's own price bounds it."""
    signal: dict[str, Any] = {"price": "0.40", "evidence": Jsonb({"vwap": "0.97", "max_price": "0.99"})}
    wrong: dict[str, Any] = {"limit_price": "0.99", "maker_amount": "2", "taker_amount": "2.0202"}
    assert desk.claim(desk.signal(desk.window(), **signal), **wrong).refused == "PRICE_MOVED"
    # The limit is the right one, and the amounts imply another.
    hidden: dict[str, Any] = {"limit_price": "0.42", "maker_amount": "2", "taker_amount": "2.0202"}
    assert desk.claim(desk.signal(desk.window(), **signal), **hidden).refused == "PRICE_MOVED"


def test_incident_27_jan_the_other_side_of_a_market_that_is_held_is_not_bought(desk: Desk) -> None:
    window = desk.window()
    held = desk.hold(window)
    for strategy in ("other", "third"):
        desk.do(
            "signal_engine",
            "INSERT INTO strategy_instances (instance_id, account_id, strategy_id, code_hash, parameters, enabled_by)"
            " VALUES (%s, %s, %s, 'h', '{}', 't')",
            *(strategy, desk.account, strategy),
        )
        for side, token in (("DOWN", DOWN_TOKEN), ("UP", UP_TOKEN)):
            signal = desk.signal(window, side=side, strategy_id=strategy, ordinal=int(side == "UP"))
            assert desk.claim(signal, token_id=token).refused == "POSITION_EXISTS"
    assert desk.one("SELECT count(*) AS n FROM active_positions") == {"n": 1}
    assert desk.position(held)["side"] == "UP"


@pytest.mark.parametrize(
    ("reason", "rules"),
    [
        ("STOP_LOSS", {"stop_loss": "0.15", "take_profit": None}),
        ("TAKE_PROFIT", {"stop_loss": None, "take_profit": "0.02"}),
    ],
)
def test_incident_27_jan_an_exit_fires_and_sells_without_anybody_asking(
    street: Street, reason: str, rules: dict[str, str | None]
) -> None:
    """Stops and profits were never executed: the monitor and the executor as they run, and a book that moves."""
    street.open_market()
    with street.executing() as process, service("risk_monitor", street):
        street.lead(process, after=street.desk.epoch)
        risk = {"max_position_usdc": "5", "max_slippage": "0.02", **rules}
        signal_id = street.say(amount_usdc=Decimal("4.5"), side="UP", risk=risk)
        order = street.order_of(signal_id)
        assert order["state"] == "FILLED", order["reason"]
        # Half of the price paid is a stop whatever the market costs just now, and still worth more than the venue's minimum.
        half = (order["reported_usdc"] / order["reported_shares"] / 2).quantize(Decimal("0.01"))
        bid = half if reason == "STOP_LOSS" else Decimal("0.99")

        def moved() -> bool:
            street.tick(bids=[[str(bid), "1000"]])
            found = street.desk.one("SELECT state FROM positions WHERE signal_id = %s", signal_id)
            return found["state"] in {"CLOSED", "EXPIRED"}

        until("it is sold", moved)
        position = street.desk.one("SELECT * FROM positions WHERE signal_id = %s", signal_id)
        assert position["exit_reason"] == reason
        assert position["exit_observed_price"] == bid
        assert position["bought_shares"] - position["sold_shares"] < Decimal("0.01")
        street.desk.assert_books_agree()


def test_incident_1_feb_a_limit_is_changed_while_it_trades_and_binds_the_next_claim(desk: Desk) -> None:
    """Seven emergency deployments in an evening: a limit is a row, set by a named person, in force at once."""
    session = desk.one("SELECT max(epoch) AS epoch, count(*) AS n FROM executor_epochs")
    assert desk.claim(desk.signal(desk.window())).refused is None
    for key, value, refusal in (
        ("max_position_usd", "1", "POSITION_CAP"),
        ("max_open_positions", "1", "MAX_OPEN_POSITIONS"),
        ("max_exposure_usd", "2.14", "MAX_EXPOSURE"),
        ("max_instrument_usd", "2.14", "MAX_INSTRUMENT"),
        ("allowed_strategies", "another", "STRATEGY_NOT_ALLOWED"),
        ("kill_switch", "PAUSE", "KILL_SWITCH"),
    ):
        before = desk.one("SELECT _control(%s, %s) AS value", desk.account, key)["value"]
        desk.control(key, value)
        assert desk.claim(desk.signal(desk.window())).refused == refusal
        desk.control(key, before)
        history = desk.all("SELECT actor, reason FROM control_history WHERE key = %s", key)
        assert history[-2:] == [{"actor": "tester", "reason": "test"}] * 2
    assert desk.claim(desk.signal(desk.window())).refused is None
    assert desk.one("SELECT max(epoch) AS epoch, count(*) AS n FROM executor_epochs") == session


async def test_critical_3_of_two_that_tick_at_once_one_does_the_work(db: Connect) -> None:
    """Instances of several services claim the same unit of work at the same moment, day after day (T5)."""
    databases = [await db(role=role) for role in ("risk_monitor", "reconciler") * 3]

    async def tick(database: Database, day: str) -> bool:
        async with database.begin() as tx:
            return await claim_once(tx, "drill", done_for=day, by="test")

    for day, done in (
        ("2026-01-01", 1),
        ("2026-01-02", 1),
        ("2026-01-01", 0),
    ):  # a clock that went back repeats nothing
        async with asyncio.TaskGroup() as group:
            ticks = [group.create_task(tick(database, day)) for database in databases]
        assert sum(each.result() for each in ticks) == done


def test_edge_1_a_signal_that_expires_while_its_claim_waits_is_not_ordered(desk: Desk) -> None:
    """Fresh when it was looked at and late when it is its turn: the claim itself asks the clock, after the wait."""
    signal = desk.signal(desk.window(), expires_at=CLOCK.now() + timedelta(seconds=1))
    with psycopg.connect(desk.owner_url) as other, ThreadPoolExecutor(1) as pool:
        other.execute("SELECT FROM accounts FOR UPDATE")
        claim = pool.submit(desk.claim, signal)
        until("it waits", lambda: desk.all("SELECT 1 FROM pg_locks WHERE NOT granted"))
        until("it is late", lambda: desk.all("SELECT 1 FROM signals WHERE expires_at < clock_timestamp()"))
        other.rollback()
        assert claim.result(timeout=20).refused == "SIGNAL_EXPIRED"
    assert desk.one("SELECT state FROM signals") == {"state": "EXPIRED"}


def test_edge_2_after_a_time_out_nobody_may_order_again(desk: Desk) -> None:
    window = desk.window()
    claim = desk.enter(window)
    assert desk.order_row(claim)["state"] == "SUBMITTING"
    assert desk.claim(desk.signal(window, ordinal=1)).refused == "ALREADY_ENTERED"
    desk.record(claim.order_id, "LOST", reason="TIMEOUT")
    assert desk.claim(desk.signal(window, ordinal=2)).refused == "BREAKER_OPEN"
    assert desk.one("SELECT count(*) AS n FROM orders") == {"n": 1}
    with pytest.raises(psycopg.Error, match="orders may be live"):
        desk.do("operator", "SELECT reset_breaker(%s, %s, 'me', 'why')", desk.account, desk.mode)


def test_edge_3_a_balance_that_fell_since_it_was_looked_at_is_noticed_by_the_claim(desk: Desk) -> None:
    signal = desk.signal(desk.window())
    desk.do("reconciler", "SELECT book_external(%s, %s, 'WITHDRAWAL', -98, 'w')", desk.account, desk.mode)
    assert desk.claim(signal).refused == "INSUFFICIENT_CAPITAL"
    assert desk.buckets()["CASH"] == 2
    assert desk.claim(desk.signal(desk.window()), order_id=order_hash("small"), maker_amount="1", taker_amount="1.9231", reserved_usdc="1.07").refused is None  # fmt: skip
