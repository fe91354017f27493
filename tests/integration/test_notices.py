"""What people are told is told while it is so: opened once, closed when its cause is gone (O4, R11, B4, E9)."""

from datetime import timedelta
from decimal import Decimal

import pytest
from psycopg.types.json import Jsonb

from services.risk_monitor.telling.loops import Notices
from shared.db.engine import POOL_MAX
from shared.db.queries import lifecycle
from tests.factories import WATCHDOGS, Claim, Desk, order_hash

pytestmark = pytest.mark.integration


@pytest.fixture
async def database(db):
    return await db(role="risk_monitor")


@pytest.fixture
def notices(database):
    return Notices(database)


def alerts(desk: Desk, kind: str) -> list[tuple[str, bool]]:
    """Every alert of a kind: its key without the kind, and whether it is open."""
    rows = desk.all("SELECT dedup_key, closed_at FROM alerts WHERE kind = %s ORDER BY alert_id", kind)
    return [(row["dedup_key"].split(":", 1)[1], row["closed_at"] is None) for row in rows]


def refuse(desk: Desk, times: int) -> None:
    window = desk.window()
    for number in range(times):
        signal = desk.signal(window, ordinal=number)
        desk.do("execution", "SELECT refuse_signal(%s, 'COOLDOWN', '{}')", signal)


async def test_three_refusals_in_a_row_are_told_until_an_order_goes_out(desk, notices):
    refuse(desk, 2)
    await notices.look()
    assert alerts(desk, "refusals_in_a_row") == []
    refuse(desk, 1)
    await notices.look()
    await notices.look()
    assert alerts(desk, "refusals_in_a_row") == [("desk/PAPER", True)]
    assert desk.one("SELECT repeats FROM alerts WHERE kind = 'refusals_in_a_row'")["repeats"] == 0
    desk.hold()
    await notices.look()
    assert alerts(desk, "refusals_in_a_row") == [("desk/PAPER", False)]
    refuse(desk, 3)
    await notices.look()
    assert alerts(desk, "refusals_in_a_row") == [("desk/PAPER", False), ("desk/PAPER", True)]


async def test_what_the_venue_refused_is_a_refusal_and_an_expiry_says_nothing(desk, notices):
    refuse(desk, 1)
    for _ in range(2):
        claim = desk.enter()
        desk.record(claim.order_id, "REFUSED", reason="NOT_ENOUGH_BALANCE")
    desk.do("execution", "SELECT refuse_signal(%s, 'SIGNAL_EXPIRED', '{}')", desk.signal(desk.window()))
    await notices.look()
    (alert,) = desk.all("SELECT details FROM alerts WHERE kind = 'refusals_in_a_row'")
    assert alert["details"]["reasons"] == ["NOT_ENOUGH_BALANCE", "NOT_ENOUGH_BALANCE", "COOLDOWN"]


def silence(desk: Desk, service: str, seconds: float) -> None:
    desk.owner.execute(
        "UPDATE heartbeats SET at = clock_timestamp() - %s WHERE service = %s",
        [timedelta(seconds=seconds), service],
    )


async def test_a_silent_service_is_told_and_heard_again(desk, notices):
    silence(desk, "reconciler", 9)
    await notices.look()
    assert alerts(desk, "service_silent") == []
    silence(desk, "reconciler", 11)
    await notices.look()
    assert alerts(desk, "service_silent") == [("reconciler", True)]
    desk.beat("reconciler")
    await notices.look()
    assert alerts(desk, "service_silent") == [("reconciler", False)]


@pytest.mark.parametrize("service", ["feed_collector", "execution", "reconciler"])
async def test_a_minute_of_silence_with_money_at_stake_trips(desk, notices, service):
    desk.do(service, "SELECT beat(%s, 'one', true)", service)
    silence(desk, service, 61)
    await notices.look()
    assert desk.gate()["breaker"] == "CLOSED", "nothing is at stake"
    desk.beat()
    desk.hold()
    silence(desk, service, 59)
    await notices.look()
    assert desk.gate()["breaker"] == "CLOSED"
    silence(desk, service, 61)
    await notices.look()
    assert desk.gate()["breaker_reason"] == "HEALTH_SILENT"
    (trip,) = desk.all("SELECT context FROM breaker_history")
    assert trip["context"]["services"] == [service]


async def test_a_stale_primary_feed_is_told_while_a_window_trades(desk, notices):
    await notices.look()
    assert alerts(desk, "primary_feed_stale") == []
    desk.window()
    await notices.look()
    assert alerts(desk, "primary_feed_stale") == [("BTC", True)]
    desk.do(
        "feed_collector",
        "INSERT INTO feed_status (feed, symbol, last_received_at) VALUES ('binance_spot', 'BTC', clock_timestamp())",
    )
    await notices.look()
    assert alerts(desk, "primary_feed_stale") == [("BTC", False)]


async def test_a_pool_that_is_nearly_full_says_so_in_its_beat_and_is_told(desk, notices, db):
    crowded = await db(role="reconciler")

    async def beat() -> None:
        async with crowded.begin() as tx:
            await lifecycle.beat(tx, service="reconciler", instance="crowded", healthy=True)

    await beat()
    await notices.look()
    assert alerts(desk, "pool_nearly_full") == []
    async with crowded.begin(), crowded.begin(), crowded.begin():
        await beat()
    await notices.look()
    assert alerts(desk, "pool_nearly_full") == [("reconciler/crowded", True)]
    alert = desk.one("SELECT details FROM alerts WHERE kind = 'pool_nearly_full'")
    assert alert["details"] == {"connections": f"{POOL_MAX} of {POOL_MAX}"}
    await beat()
    await notices.look()
    assert alerts(desk, "pool_nearly_full") == [("reconciler/crowded", False)]


async def test_who_has_a_silent_loop_is_not_fit_whatever_it_says(desk, db, monkeypatch):
    class Silent:
        name, is_stale = "house", True

    monkeypatch.setattr("shared.runtime.pulse.RUNNING", [Silent()])
    database = await db(role="reconciler")
    async with database.begin() as tx:
        await lifecycle.beat(tx, service="reconciler", instance="one", healthy=True)
    beat = desk.one("SELECT healthy, details FROM heartbeats WHERE service = 'reconciler'")
    assert (beat["healthy"], beat["details"]["silent_loops"]) == (False, ["house"])
    assert desk.claim(desk.signal(desk.window())).refused == "WATCHDOG_SILENT"


async def test_a_server_short_of_connections_is_told(desk, notices, monkeypatch):
    monkeypatch.setattr("services.risk_monitor.telling.queries.CONNECTIONS_USE_MAX", Decimal(0))
    await notices.look()
    assert alerts(desk, "connections_nearly_full") == [("server", True)]
    monkeypatch.undo()
    await notices.look()
    assert alerts(desk, "connections_nearly_full") == [("server", False)]


def tell(desk: Desk, kind: str, key: str, **details: object) -> None:
    desk.do(
        "reconciler", "SELECT raise_alert('ERROR', %s, %s, %s, %s, %s)",
        kind, key, desk.account, desk.mode, Jsonb(details),
    )  # fmt: skip


def trip(desk: Desk) -> None:
    desk.do("risk_monitor", "SELECT trip_breaker(%s, %s, 'MANUAL_TRIP')", desk.account, desk.mode)


def escalated(desk: Desk, _claim: Claim) -> None:
    trip(desk)
    desk.owner.execute(
        "UPDATE trading_gate SET breaker_since = breaker_since - interval '6 minutes' WHERE breaker = 'OPEN'"
    )
    assert desk.do("risk_monitor", "SELECT escalate(%s, %s, 'ALERT')", desk.account, desk.mode)


def reset(desk: Desk, _claim: Claim) -> None:
    desk.do("operator", "SELECT reset_breaker(%s, %s, 'me', 'looked')", desk.account, desk.mode)


def slow_on_chain(desk: Desk, claim: Claim) -> None:
    desk.trade(claim.order_id, "slow", shares="1", usdc="0.01", state="MATCHED")
    tell(desk, "settlement_slow", f"settlement_slow:{claim.order_id}")


def confirmed(desk: Desk, claim: Claim) -> None:
    desk.trade(claim.order_id, "slow", shares="1", usdc="0.01", state="CONFIRMED")


def differing(desk: Desk, _claim: Claim) -> None:
    found = desk.do(
        "reconciler",
        "INSERT INTO discrepancies (account_id, mode, kind, subject) VALUES (%s, %s, 'CASH_MORE', 'USDC') RETURNING discrepancy_id",
        desk.account, desk.mode,
    )  # fmt: skip
    tell(desk, "discrepancy", f"discrepancy:{found}")


def explained(desk: Desk, _claim: Claim) -> None:
    desk.do("reconciler", "UPDATE discrepancies SET resolved_at = clock_timestamp()")


def blind(desk: Desk, claim: Claim) -> None:
    tell(desk, "exit_blind", f"exit_blind:{claim.position_id}:NO_BOOK")


def leaving(desk: Desk, claim: Claim) -> None:
    desk.ask_exit(claim)


def orphaned(desk: Desk, claim: Claim) -> None:
    token = desk.position(claim)["token_id"]
    assert desk.do("risk_monitor", "SELECT flag_orphans(%s, %s, %s)", desk.account, desk.mode, [token])
    tell(desk, "position_orphaned", f"position_orphaned:{claim.position_id}")


def found(desk: Desk, _claim: Claim) -> None:
    desk.do("risk_monitor", "SELECT flag_orphans(%s, %s, '{}')", desk.account, desk.mode)


def lost(desk: Desk, _claim: Claim) -> None:
    assert desk.do(
        "risk_monitor", "SELECT stop_strategy(%s, %s, 'canary', 'SESSION', -10)", desk.account, desk.mode
    )


def new_session(desk: Desk, _claim: Claim) -> None:
    desk.do("operator", "SELECT open_session(%s, %s, 'alice')", desk.account, desk.mode)


def unresolved(desk: Desk, claim: Claim) -> None:
    tell(desk, "window_unresolved", f"window_unresolved:{desk.position(claim)['window_id']}")


def resolved(desk: Desk, claim: Claim) -> None:
    desk.owner.execute("UPDATE windows SET closes_at = clock_timestamp()")
    desk.do("reconciler", "SELECT settle(%s, 0, 1, 'test', now(), 'DOWN')", desk.position(claim)["window_id"])


def unpaid(desk: Desk, claim: Claim) -> None:
    tell(desk, "payout_unpaid", f"payout_unpaid:{claim.position_id}")


def uncancelled(desk: Desk, _claim: Claim) -> None:
    tell(desk, "cancel_all_failed", f"cancel_all_failed:{desk.account}:001791000000")


def cancelled(desk: Desk, _claim: Claim) -> None:
    desk.do(
        "risk_monitor", "INSERT INTO scheduled_work VALUES ('cancelled_all:desk', '001791000000', 'venue')"
    )


def unsellable(desk: Desk, claim: Claim) -> None:
    desk.ask_exit(claim)
    tell(desk, "position_unsellable", f"unsellable:{claim.position_id}")


ENDS = {
    "breaker_escalated": (escalated, reset),
    "settlement_slow": (slow_on_chain, confirmed),
    "discrepancy": (differing, explained),
    "exit_blind": (blind, leaving),
    "position_orphaned": (orphaned, found),
    "strategy_stopped": (lost, new_session),
    "window_unresolved": (unresolved, resolved),
    "payout_unpaid": (unpaid, resolved),
    "cancel_all_failed": (uncancelled, cancelled),
    "position_unsellable": (unsellable, resolved),
}


@pytest.mark.parametrize("kind", ENDS)
async def test_an_alert_ends_with_its_cause_whoever_raised_it(desk, notices, kind):
    begin, end = ENDS[kind]
    claim = desk.hold()
    begin(desk, claim)
    await notices.look()
    assert [is_open for _, is_open in alerts(desk, kind)] == [True]
    end(desk, claim)
    await notices.look()
    assert [is_open for _, is_open in alerts(desk, kind)] == [False]


async def test_an_alert_closed_and_raised_again_is_a_new_one(desk):
    tell(desk, "anything", "anything:1")
    assert desk.do("execution", "SELECT close_alert('anything:1')")
    assert not desk.do("execution", "SELECT close_alert('anything:1')")
    tell(desk, "anything", "anything:1")
    assert alerts(desk, "anything") == [("1", False), ("1", True)]


def test_every_watchdog_may_close_what_it_raised(desk):
    for service in (*WATCHDOGS, "execution", "signal_engine", "dashboard", "operator"):
        assert desk.do(service, "SELECT close_alert(%s)", order_hash(service)) is False
