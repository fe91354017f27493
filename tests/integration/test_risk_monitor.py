"""The risk monitor's turns on a real Book, as its own role."""

from datetime import timedelta
from decimal import Decimal

import pytest
from psycopg.types.json import Jsonb

from services.risk_monitor import actions
from services.risk_monitor.asserting.loops import Assertions
from services.risk_monitor.decide import verify_locally
from services.risk_monitor.loops import Heart, Integrity, Progress, Watch
from services.risk_monitor.verifying import actions as verifying
from services.risk_monitor.verifying import queries as sides
from services.risk_monitor.verifying.loops import Verifier
from shared.bus.channels import MarketMoved, PositionChanged
from shared.bus.listen import Wakeup, Woken
from shared.domain.ids import AccountId
from shared.domain.modes import Mode
from shared.runtime.clock import SystemClock
from tests.factories import UP_TOKEN, Desk

pytestmark = pytest.mark.integration
ACCOUNT = (AccountId("desk"), Mode.PAPER)
NOW = SystemClock().now()


@pytest.fixture
async def database(db):
    return await db(role="risk_monitor")


@pytest.fixture
def progress():
    clock = SystemClock()
    return Progress(clock, watched_at=clock.monotonic())


@pytest.fixture
def watch(database, progress):
    return Watch(database, Wakeup(frozenset({"position_changed"})), SystemClock(), progress)


def bid(
    desk: Desk, price: str | None, *, window: str = "any", age_s: float = 0, continuous: bool = True
) -> None:
    """Put a book of one bid (or none) where the collector would."""
    at = SystemClock().now() - timedelta(seconds=age_s)
    desk.do(
        "feed_collector",
        "INSERT INTO books_now (token_id, window_id, bids, asks, source_at, received_at, snapshot_at, continuous)"
        " VALUES (%s, %s, %s, '[]', %s, %s, %s, %s) ON CONFLICT (token_id) DO UPDATE SET bids = excluded.bids,"
        " received_at = excluded.received_at, continuous = excluded.continuous",
        UP_TOKEN, window, Jsonb([[price, "100"]] if price else []), at, at, at, continuous,
    )  # fmt: skip


async def verified(database) -> None:
    holdings = await database.retry_read(lambda tx: sides.holdings(tx, ACCOUNT))
    await verifying.keep_verification(database, ACCOUNT, verify_locally(holdings), skipped=True)


def close_now(desk: Desk) -> None:
    desk.owner.execute("UPDATE windows SET closes_at = clock_timestamp()")


async def test_a_bid_past_the_stop_asks_for_the_exit_with_both_prices(desk, database, watch):
    claim = desk.hold()
    await verified(database)
    bid(desk, "0.43")
    await watch.look()
    assert desk.position(claim)["state"] == "MONITORING"
    bid(desk, "0.42")
    await watch.look()
    position = desk.position(claim)
    assert (position["state"], position["exit_reason"]) == ("STOP_TRIGGERED", "STOP_LOSS")
    assert (position["exit_trigger_price"], position["exit_observed_price"]) == (
        Decimal("0.425"),
        Decimal("0.42"),
    )
    asked = desk.one("SELECT details FROM audit_events WHERE kind = 'exit_requested'")["details"]
    assert asked["average_cost"] == "0.5"
    assert asked["book_received_at"]


async def test_a_threshold_that_no_price_grid_holds_still_asks_for_the_exit(desk, database, watch):
    claim = desk.hold(shares="3.846153", usdc="1.999999")
    await verified(database)
    bid(desk, "0.10")
    await watch.look()
    position = desk.position(claim)
    assert (position["state"], position["exit_trigger_price"]) == ("STOP_TRIGGERED", Decimal("0.442000"))


async def test_a_bid_past_the_profit_asks_for_the_exit(desk, database, watch):
    claim = desk.hold()
    await verified(database)
    bid(desk, "0.60")
    await watch.look()
    assert desk.position(claim)["state"] == "TAKE_PROFIT_TRIGGERED"


async def test_a_strategy_without_rules_is_left_alone_and_not_called_blind(desk, watch):
    window = desk.window()
    risk = Jsonb({"stop_loss": None, "take_profit": None, "trailing": None, "max_slippage": "0.02"})
    claim = desk.claim(desk.signal(window, risk=risk))
    desk.trade(claim.order_id, "t1", shares="4", usdc="2")
    bid(desk, "0.01", continuous=False)
    assert desk.position(claim)["risk"]["stop_loss"] is None
    await watch.look()
    assert desk.position(claim)["state"] == "MONITORING"
    assert not watch._blind


async def test_a_trailing_stop_follows_the_highest_bid(desk, database, watch):
    window = desk.window()
    risk = Jsonb({"stop_loss": None, "take_profit": None, "trailing": "0.10", "max_slippage": "0.02"})
    claim = desk.claim(desk.signal(window, risk=risk))
    desk.trade(claim.order_id, "t1", shares="4", usdc="2")
    await verified(database)
    for price in ("0.70", "0.64"):
        bid(desk, price)
        await watch.look()
    assert desk.position(claim)["peak_bid"] == Decimal("0.70")
    assert desk.position(claim)["state"] == "MONITORING"
    bid(desk, "0.63")
    await watch.look()
    assert desk.position(claim)["exit_reason"] == "TRAILING_STOP"
    assert desk.position(claim)["exit_trigger_price"] == Decimal("0.63")


@pytest.mark.parametrize(
    "blinding", [{"continuous": False}, {"age_s": 11}], ids=["a broken book", "a stale book"]
)
async def test_a_book_that_cannot_be_believed_decides_nothing_and_is_told_once(
    desk, database, watch, monkeypatch, blinding
):
    monkeypatch.setattr("services.risk_monitor.loops.BLIND_GRACE_S", 0)
    claim = desk.hold()
    await verified(database)
    bid(desk, "0.01", **blinding)
    for _ in range(3):
        await watch.look()
    assert desk.position(claim)["state"] == "MONITORING"
    assert [row["repeats"] for row in desk.all("SELECT repeats FROM alerts WHERE kind = 'exit_blind'")] == [0]


async def test_a_quiet_book_of_a_live_feed_is_not_stale(desk, database, watch):
    claim = desk.hold()
    await verified(database)
    bid(desk, "0.01", age_s=30)
    desk.do(
        "feed_collector",
        "INSERT INTO feed_status (feed, symbol, last_received_at) VALUES ('polymarket', 'BTC', clock_timestamp())",
    )
    await watch.look()
    assert desk.position(claim)["state"] == "STOP_TRIGGERED"


async def test_nobody_verified_means_no_price_decides(desk, watch):
    claim = desk.hold()
    bid(desk, "0.01")
    await watch.look()
    assert desk.position(claim)["state"] == "MONITORING"


async def test_while_tripped_for_blindness_no_price_decides_and_a_person_still_may(desk, database, watch):
    claim = desk.hold()
    await verified(database)
    bid(desk, "0.01")
    desk.do("risk_monitor", "SELECT trip_breaker(%s, %s, 'STOP_LOSS_BLIND')", *ACCOUNT)
    await watch.look()
    assert desk.position(claim)["state"] == "MONITORING"
    desk.control("kill_switch", "FLATTEN")
    await watch.look()
    assert desk.position(claim)["state"] == "FLATTEN_TRIGGERED"


async def test_a_blindness_that_is_over_closes_its_alert(desk, database, watch, monkeypatch):
    monkeypatch.setattr("services.risk_monitor.loops.BLIND_GRACE_S", 0)
    desk.hold()
    await verified(database)
    bid(desk, "0.50", continuous=False)
    await watch.look()
    await watch.look()
    assert desk.one("SELECT closed_at FROM alerts WHERE kind = 'exit_blind'")["closed_at"] is None
    bid(desk, "0.50")
    await watch.look()
    assert desk.one("SELECT closed_at FROM alerts WHERE kind = 'exit_blind'")["closed_at"] is not None


@pytest.mark.parametrize("switch", ["FLATTEN", "EMERGENCY"])
async def test_the_kill_switch_leaves_every_position_without_any_price(desk, watch, switch):
    first = desk.hold()
    desk.control("kill_switch", switch)
    await watch.look()
    assert (desk.position(first)["state"], desk.position(first)["exit_reason"]) == (
        "FLATTEN_TRIGGERED",
        switch,
    )


async def test_the_kill_switch_sharpens_an_exit_already_under_way_once(desk, watch):
    claim = desk.hold()
    desk.ask_exit(claim)
    desk.control("kill_switch", "FLATTEN")
    await watch.look()
    await watch.look()
    desk.control("kill_switch", "EMERGENCY")
    await watch.look()
    position = desk.position(claim)
    assert (position["state"], position["exit_reason"]) == ("STOP_TRIGGERED", "EMERGENCY")
    asked = desk.all(
        "SELECT details->>'reason' AS why FROM audit_events WHERE kind = 'exit_requested' ORDER BY event_id"
    )
    assert [row["why"] for row in asked] == ["STOP_LOSS", "FLATTEN", "EMERGENCY"]


async def test_a_pause_leaves_positions_alone(desk, database, watch):
    claim = desk.hold()
    await verified(database)
    bid(desk, "0.50")
    desk.control("kill_switch", "PAUSE")
    await watch.look()
    assert desk.position(claim)["state"] == "MONITORING"


@pytest.mark.parametrize("triggered", [False, True], ids=["monitored", "triggered"])
async def test_at_the_close_a_position_expires(desk, watch, triggered):
    claim = desk.hold()
    if triggered:
        desk.ask_exit(claim)
    close_now(desk)
    await watch.look()
    assert desk.position(claim)["state"] == "EXPIRED"
    desk.assert_books_agree()


async def test_a_paper_position_is_verified_locally_and_says_that_it_was_skipped(desk, database, progress):
    desk.hold()
    verifier = Verifier(database, Wakeup(frozenset({"position_changed"})), {}, progress)
    await verifier.verify_all()
    row = desk.one("SELECT * FROM position_verifications")
    assert (row["verified"], row["skipped"]) == (True, True)


async def test_a_position_that_is_not_the_fold_of_its_orders_is_not_verified(desk, database, progress):
    claim = desk.hold()
    desk.owner.execute("UPDATE positions SET bought_shares = 5 WHERE position_id = %s", [claim.position_id])
    verifier = Verifier(database, Wakeup(frozenset({"position_changed"})), {}, progress)
    await verifier.verify_all()
    row = desk.one("SELECT * FROM position_verifications")
    assert not row["verified"]
    assert row["book"] == {"differences": [claim.position_id]}


async def test_a_live_position_nobody_can_read_makes_the_monitor_unfit(database_url, role_url, db):
    with Desk(role_url, database_url, mode="LIVE") as desk:
        desk.hold()
        database, clock = await db(role="risk_monitor"), SystemClock()
        progress = Progress(clock, watched_at=clock.monotonic())
        await Verifier(database, Wakeup(frozenset({"position_changed"})), {}, progress).verify_all()
        await Heart(database, "one", progress).beat()
        assert not desk.all("SELECT * FROM position_verifications WHERE verified")
        beat = desk.one("SELECT healthy FROM heartbeats WHERE service = 'risk_monitor' AND instance = 'one'")
        assert not beat["healthy"]


async def test_a_ledger_that_is_not_the_fold_of_its_entries_trips(desk, database, progress):
    desk.hold()
    await Integrity(database, "one", progress).check()
    assert desk.gate()["breaker"] == "CLOSED"
    assert not progress.broken
    desk.owner.execute(
        "UPDATE ledger_balances SET balance = balance + 1 WHERE bucket = 'CASH' AND mode = 'PAPER'"
    )
    desk.owner.execute("DELETE FROM scheduled_work")
    await Integrity(database, "one", progress).check()
    assert desk.gate()["breaker_reason"] == "CAPITAL_INVARIANT"
    assert list(progress.broken) == ["ledger:desk/PAPER"]


async def test_a_rewritten_history_trips_every_mode(desk, database, progress):
    desk.hold()
    desk.owner.execute("ALTER TABLE audit_events DISABLE TRIGGER ALL")
    desk.owner.execute(
        "UPDATE audit_events SET details = '{\"a\": 1}' WHERE event_id = (SELECT min(event_id) FROM audit_events)"
    )
    await Integrity(database, "one", progress).check()
    broken = desk.all(
        "SELECT mode FROM trading_gate WHERE breaker_reason = 'CAPITAL_INVARIANT' ORDER BY mode"
    )
    assert [row["mode"] for row in broken] == ["DRY_RUN", "LIVE", "PAPER"]


@pytest.mark.usefixtures("desk")
async def test_two_monitors_check_a_period_once(database):
    assert await actions.check_ledger(database, ACCOUNT, now=NOW, instance="one") == []
    assert await actions.check_ledger(database, ACCOUNT, now=NOW, instance="two") is None


async def test_the_day_is_summed_by_strategy(desk, database):
    for shares_sold, usdc in (("4", "2.4"), ("4", "1.2")):
        claim = desk.hold()
        desk.ask_exit(claim)
        sold = desk.exit(claim, shares=shares_sold)
        desk.trade(sold.order_id, f"s{usdc}", shares="4", usdc=usdc, price="0.4")
        desk.record(sold.order_id, "MATCHED")
        assert desk.position(claim)["state"] == "CLOSED"
    assert await actions.keep_performance(database, now=NOW, instance="one")
    assert not await actions.keep_performance(database, now=NOW, instance="two")
    row = desk.one("SELECT * FROM daily_performance")
    assert (row["trades"], row["wins"]) == (2, 1)
    assert (row["gross_usdc"], row["fees_usdc"], row["net_usdc"]) == (
        Decimal("-0.4"),
        Decimal("0.2"),
        Decimal("-0.6"),
    )
    assert row["drawdown_usdc"] == Decimal("0.9")


async def test_a_beat_is_fit_only_while_positions_are_looked_at(desk, database, progress):
    heart = Heart(database, "one", progress)
    await heart.beat()
    assert desk.one("SELECT healthy FROM heartbeats WHERE instance = 'one' AND service = 'risk_monitor'")[
        "healthy"
    ]
    progress.watched_at -= 6
    await heart.beat()
    beat = desk.one("SELECT * FROM heartbeats WHERE instance = 'one' AND service = 'risk_monitor'")
    assert not beat["healthy"]
    assert beat["details"]["problems"] == ["positions were not looked at"]


MOVED = Woken(frozenset({MarketMoved()}), everything=False)


async def test_a_market_that_never_rests_holds_up_no_poll_and_is_looked_at_only_for_who_has_a_price_rule(
    desk, database, watch
):
    await watch.look()
    assert not watch._matters(MOVED), "nothing is held"
    watch.progress.watched_at -= 0.25
    assert watch._matters(MOVED), "the poll is by the clock, not by silence"
    desk.hold()
    await verified(database)
    await watch.look()
    assert watch._matters(MOVED)
    assert watch._matters(Woken(frozenset({PositionChanged("p")}), everything=False))


async def test_assertions_are_kept_and_a_broken_one_trips(desk, db):
    """Each of the ten is broken in test_assertions.py; here one, by the loop that asks."""
    claim = desk.hold()
    desk.owner.execute("UPDATE positions SET bought_shares = 5 WHERE position_id = %s", [claim.position_id])
    clock = SystemClock()
    await Assertions(
        await db(role="risk_monitor"), "one", Progress(clock, watched_at=clock.monotonic())
    ).check()
    assert desk.gate()["breaker_reason"] == "ASSERTION_FAILED"
    kept = desk.all("SELECT assertion FROM assertion_results WHERE NOT held")
    assert [row["assertion"] for row in kept] == [3]
