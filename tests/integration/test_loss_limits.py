"""Loss limits on what was made and what is held: an account trips, a strategy stops, half of either is told (R8, O4)."""

from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from psycopg.types.json import Jsonb

from services.risk_monitor.limiting import queries
from services.risk_monitor.limiting.loops import LossLimits
from services.risk_monitor.telling.loops import Notices
from shared.bus.listen import Wakeup
from shared.domain.ids import AccountId
from shared.domain.modes import Mode
from tests.factories import CLOCK, UP_TOKEN, Desk

pytestmark = pytest.mark.integration
ACCOUNT = (AccountId("desk"), Mode.PAPER)


@pytest.fixture
async def database(db):
    return await db(role="risk_monitor")


@pytest.fixture
def limits(database):
    return LossLimits(database, Wakeup(frozenset({"position_changed"})))


def lose(desk: Desk, usdc: str, *, strategy: str = "canary") -> None:
    """A position of four shares for two dollars, sold for so much less; fees are 0.05 each way."""
    desk.strategy = strategy
    claim = desk.hold()
    desk.ask_exit(claim)
    sold = desk.exit(claim)
    desk.trade(sold.order_id, f"s{claim.order_id}", shares="4", usdc=str(2 - Decimal(usdc)), price="0.4")
    desk.record(sold.order_id, "MATCHED")
    assert desk.position(claim)["state"] == "CLOSED"


def strategy(desk: Desk, name: str) -> None:
    desk.do(
        "signal_engine",
        "INSERT INTO strategy_instances (instance_id, account_id, strategy_id, code_hash, parameters, enabled_by)"
        " VALUES (%s, %s, %s, 'hash', '{}', 'test')",
        f"{desk.account}-{name}",
        desk.account,
        name,
    )


def bid(desk: Desk, price: str | None, *, continuous: bool = True, age_s: float = 0) -> None:
    at = CLOCK.now() - timedelta(seconds=age_s)
    desk.do(
        "feed_collector",
        "INSERT INTO books_now (token_id, window_id, bids, asks, source_at, received_at, snapshot_at, continuous)"
        " VALUES (%s, 'any', %s, '[]', %s, %s, %s, %s) ON CONFLICT (token_id) DO UPDATE SET bids = excluded.bids,"
        " received_at = excluded.received_at, continuous = excluded.continuous",
        UP_TOKEN, Jsonb([[price, "100"]] if price else []), at, at, at, continuous,
    )  # fmt: skip


def stopped(desk: Desk) -> list[tuple[str, bool]]:
    rows = desk.all("SELECT strategy_id, day IS NOT NULL AS day FROM strategy_stops ORDER BY stop_id")
    return [(row["strategy_id"], row["day"]) for row in rows]


async def test_a_session_that_lost_its_limit_trips_and_not_a_cent_before(desk, limits):
    desk.control("daily_drawdown", "1")
    desk.control("max_session_loss", "2.2")
    lose(desk, "2")
    await limits.look()
    assert desk.gate()["breaker"] == "CLOSED", "2.1 of 2.2"
    desk.control("max_session_loss", "2.1")
    await limits.look()
    assert desk.gate()["breaker_reason"] == "DRAWDOWN"
    await limits.look()
    (trip,) = desk.all("SELECT context FROM breaker_history WHERE reason = 'DRAWDOWN'")
    assert trip["context"]["scope"] == "SESSION"


async def test_a_day_that_lost_its_fraction_of_the_first_equity_trips(desk, limits):
    desk.control("daily_drawdown", "0.03")  # of 100 USDC
    for _ in range(2):
        lose(desk, "1")
    await limits.look()
    assert desk.gate()["breaker"] == "CLOSED", "2.2 of 3"
    lose(desk, "0.7")
    await limits.look()
    assert desk.gate()["breaker_reason"] == "DRAWDOWN"
    (trip,) = desk.all("SELECT context FROM breaker_history WHERE reason = 'DRAWDOWN'")
    assert trip["context"]["scope"] == "DAY"


async def test_what_is_held_is_marked_at_its_bid_and_counts(desk, limits):
    desk.control("daily_drawdown", "1")
    desk.control("max_session_loss", "2.14")
    desk.hold()
    for price, breaker in (("0.50", "CLOSED"), (None, "CLOSED"), ("0.01", "CLOSED")):
        bid(desk, price)
        await limits.look()
        assert desk.gate()["breaker"] == breaker, price
    desk.control("max_session_loss", "2.01")
    await limits.look()
    assert desk.gate()["breaker_reason"] == "DRAWDOWN", "0.05 of fee, 1.96 of mark"


@pytest.mark.parametrize(
    "unseen",
    [{"continuous": False}, {"age_s": 11}, {"over": True}],
    ids=["a broken book", "a stale book", "a window that is over"],
)
async def test_what_cannot_be_seen_is_not_called_a_loss(desk, limits, unseen):
    desk.control("daily_drawdown", "1")
    desk.hold()
    desk.control("max_session_loss", "2.01")
    bid(desk, "0.01", **{name: value for name, value in unseen.items() if name != "over"})
    if "over" in unseen:
        desk.owner.execute("UPDATE windows SET closes_at = clock_timestamp()")
    await limits.look()
    assert desk.gate()["breaker"] == "CLOSED"


async def test_a_strategy_that_lost_its_limit_is_stopped_and_another_trades_on(desk, limits):
    strategy(desk, "other")
    desk.control("max_strategy_loss", "2")
    lose(desk, "1.9")
    await limits.look()
    assert stopped(desk) == [("canary", False), ("canary", True)]
    assert desk.gate()["breaker"] == "CLOSED"
    signal = desk.signal(desk.window())
    assert desk.claim(signal).refused == "STRATEGY_STOPPED"
    assert (
        desk.one("SELECT refusal FROM signals WHERE signal_id = %s", signal)["refusal"] == "STRATEGY_STOPPED"
    )
    desk.strategy = "other"
    assert desk.claim(desk.signal(desk.window())).refused is None
    await limits.look()
    assert len(stopped(desk)) == 2, "once a scope"
    assert len(desk.all("SELECT * FROM alerts WHERE kind = 'strategy_stopped'")) == 2


def test_the_book_stops_no_strategy_that_has_not_lost_its_limit(desk):
    ask = "SELECT stop_strategy(%s, %s, 'canary', 'DAY', %s)"
    for pnl, done in (("-9.999999", False), ("10", False), ("-10", True), ("-10", False)):
        assert desk.do("risk_monitor", ask, desk.account, desk.mode, Decimal(pnl)) is done, pnl
    with pytest.raises(psycopg.errors.DatabaseError, match="unknown scope"):
        desk.do(
            "risk_monitor", "SELECT stop_strategy(%s, %s, 'canary', 'WEEK', -10)", desk.account, desk.mode
        )


async def test_a_new_session_or_a_higher_limit_lets_a_strategy_go_on(desk, limits):
    desk.control("max_strategy_loss", "2")
    lose(desk, "1.9")
    await limits.look()
    desk.owner.execute("DELETE FROM strategy_stops WHERE day IS NOT NULL")
    assert desk.claim(desk.signal(desk.window())).refused == "STRATEGY_STOPPED"
    desk.do("operator", "SELECT open_session(%s, %s, 'alice')", desk.account, desk.mode)
    assert desk.claim(desk.signal(desk.window())).refused is None
    await limits.look()
    assert desk.claim(desk.signal(desk.window())).refused == "STRATEGY_STOPPED", "for the day"
    desk.control("max_strategy_loss", "2.5")
    assert desk.claim(desk.signal(desk.window())).refused is None


async def test_the_days_session_ends_with_its_day_and_a_persons_does_not(desk, limits):
    lose(desk, "1")
    desk.owner.execute("UPDATE sessions SET day = day - 1")
    await limits.look()
    await limits.look()
    (day,) = desk.all("SELECT * FROM sessions")
    assert day["closed_at"] is not None
    assert desk.gate()["session_id"] is None
    ended = desk.all("SELECT * FROM audit_events WHERE kind = 'session_closed'")
    assert len(ended) == 1
    desk.do("operator", "SELECT open_session(%s, %s, 'alice')", desk.account, desk.mode)
    desk.owner.execute("UPDATE sessions SET day = day - 3 WHERE closed_at IS NULL")
    await limits.look()
    claim = desk.hold()
    assert desk.position(claim)["session_id"] == desk.gate()["session_id"] != day["session_id"]


def test_a_restart_continues_the_session(desk):
    first = desk.position(desk.hold())["session_id"]
    desk.take_epoch()
    assert desk.position(desk.hold())["session_id"] == first
    assert len(desk.all("SELECT * FROM sessions")) == 1


async def test_yesterdays_loss_binds_no_session_of_today(desk, database):
    lose(desk, "1")
    desk.owner.execute("UPDATE sessions SET day = day - 1")
    (standing,) = await database.retry_read(queries.standings)
    assert (standing.session_id, standing.realized.session_usdc) == (None, 0)
    assert standing.realized.day_usdc == Decimal("-1.1")


async def test_half_a_limit_is_told_once_and_closed_when_it_is_no_more(desk, database):
    notices = Notices(database)
    desk.control("daily_drawdown", "1")
    desk.control("max_session_loss", "2.2")
    desk.control("max_strategy_loss", "2.2")
    lose(desk, "1")
    for _ in range(2):
        await notices.look()
    told = desk.all("SELECT * FROM alerts WHERE kind = 'half_loss_limit' ORDER BY dedup_key")
    assert [(row["dedup_key"].split(":", 1)[1], row["repeats"]) for row in told] == [
        ("DAY:desk/PAPER/canary", 0), ("SESSION:desk/PAPER", 0), ("SESSION:desk/PAPER/canary", 0),
    ]  # fmt: skip
    desk.control("max_session_loss", "20")
    desk.control("max_strategy_loss", "20")
    await notices.look()
    assert desk.all("SELECT * FROM alerts WHERE kind = 'half_loss_limit' AND closed_at IS NULL") == []


def test_only_the_risk_monitor_stops_a_strategy(desk):
    for service in ("execution", "signal_engine", "dashboard", "operator"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            desk.do(service, "SELECT stop_strategy('desk', 'PAPER', 'canary', 'DAY', -10)")
