"""An open breaker is escalated by its own clock, each stage once (R2); the executor ends once, and stays when it is back."""

from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest

from services.execution.loops.halting import HALTED_STATUS
from services.risk_monitor import queries
from services.risk_monitor.escalating.loops import Escalation
from shared.bus.listen import Wakeup
from shared.domain.escalation import AFTER, Stage
from tests.factories import Claim, Desk
from tests.processes import Street, running, until, venue

pytestmark = pytest.mark.integration


def trip(desk: Desk, *, minutes_ago: float = 0, mode: str | None = None) -> None:
    """Open the breaker, and let it have been open for so long."""
    mode = mode or desk.mode
    desk.do("risk_monitor", "SELECT trip_breaker(%s, %s, 'MANUAL_TRIP')", desk.account, mode)
    desk.owner.execute(
        "UPDATE trading_gate SET breaker_since = clock_timestamp() - %s WHERE account_id = %s AND mode = %s",
        [timedelta(minutes=minutes_ago), desk.account, mode],
    )


def stages(desk: Desk) -> list[str]:
    return [row["stage"] for row in desk.all("SELECT stage FROM escalations ORDER BY done_at")]


@pytest.fixture
async def escalation(db):
    return Escalation(await db(role="risk_monitor"), Wakeup(frozenset({"gate_changed"})), "one")


@pytest.mark.parametrize("stage", Stage)
def test_a_stage_is_refused_before_its_time_and_taken_once_after(desk, stage):
    trip(desk, minutes_ago=AFTER[stage].total_seconds() / 60 - 0.01)
    assert not desk.do("risk_monitor", "SELECT escalate(%s, %s, %s)", desk.account, desk.mode, stage)
    trip_again = AFTER[stage].total_seconds() / 60
    desk.owner.execute(
        "UPDATE trading_gate SET breaker_since = clock_timestamp() - %s WHERE mode = %s",
        [timedelta(minutes=trip_again), desk.mode],
    )
    taken = [
        desk.do("risk_monitor", "SELECT escalate(%s, %s, %s)", desk.account, desk.mode, stage)
        for _ in range(3)
    ]
    assert taken == [True, False, False]
    assert stages(desk) == [stage]


def test_a_stage_that_is_none_is_refused_by_name(desk):
    with pytest.raises(psycopg.errors.DatabaseError, match="unknown stage"):
        desk.do("risk_monitor", "SELECT escalate(%s, %s, 'SOON')", desk.account, desk.mode)


async def test_nothing_is_escalated_while_the_breaker_is_closed(desk, escalation):
    await escalation.look()
    trip(desk, minutes_ago=60)
    desk.do("operator", "SELECT reset_breaker(%s, %s, 'me', 'looked')", desk.account, desk.mode)
    await escalation.look()
    assert stages(desk) == []


async def test_after_five_minutes_a_person_is_told_with_all_they_need(desk, escalation):
    trip(desk, minutes_ago=5)
    await escalation.look()
    await escalation.look()
    (alert,) = desk.all("SELECT * FROM alerts WHERE kind = 'breaker_escalated'")
    assert (alert["severity"], alert["repeats"]) == ("CRITICAL", 0)
    assert alert["details"].items() >= {
        "event": "circuit_breaker_escalation", "stage": "5min", "reason": "MANUAL_TRIP", "trading_mode": desk.mode,
    }.items()  # fmt: skip
    assert alert["details"]["timestamp"]


async def test_two_monitors_and_a_restart_take_each_stage_once(desk, escalation, db):
    trip(desk, minutes_ago=31)
    other = Escalation(await db(role="risk_monitor"), Wakeup(frozenset({"gate_changed"})), "two")
    for monitor in (escalation, other, escalation, other):
        await monitor.look()
    assert stages(desk) == ["ALERT", "CANCEL", "HALT"]
    events = desk.all(
        "SELECT details->>'stage' AS stage FROM audit_events WHERE kind = 'breaker_escalated' ORDER BY event_id"
    )
    assert [row["stage"] for row in events] == ["5min", "15min", "30min"]


async def test_the_open_breaker_is_logged_once_each_half_minute_whoever_looks(desk, escalation, db):
    trip(desk, minutes_ago=1)
    other = Escalation(await db(role="risk_monitor"), Wakeup(frozenset({"gate_changed"})), "two")
    for monitor in (escalation, other, escalation):
        await monitor.look()
    (claimed,) = desk.all("SELECT * FROM scheduled_work WHERE work LIKE 'breaker_open:%%'")
    assert (claimed["done_by"], claimed["done_for"][-6:]) == ("one", "000003")


@pytest.mark.parametrize(("mode", "ceiling"), [("LIVE", "PAPER"), ("DRY_RUN", "PAPER"), ("PAPER", "LIVE")])
async def test_half_an_hour_halts_the_mode_and_lowers_the_account_to_paper(desk, escalation, mode, ceiling):
    trip(desk, minutes_ago=30, mode=mode)
    await escalation.look()
    gates = {row["mode"]: row for row in desk.all("SELECT * FROM trading_gate")}
    assert [name for name, gate in gates.items() if gate["halted"]] == [mode]
    assert {gate["mode_ceiling"] for gate in gates.values()} == {ceiling}
    changed = desk.all("SELECT * FROM control_history WHERE key = 'trading_mode'")
    assert [(row["new_value"], row["actor"]) for row in changed] == (
        [("PAPER", "onebook_risk_monitor")] if mode != "PAPER" else []
    )
    desk.mode = mode
    desk.do("operator", "SELECT reset_breaker(%s, %s, 'me', 'looked')", desk.account, mode)
    assert not desk.gate()["halted"]


async def test_an_open_alert_of_an_earlier_trip_holds_no_stage_up(desk, escalation, database_url):
    trip(desk, minutes_ago=5)
    await escalation.look()
    with psycopg.connect(database_url) as sender:
        sender.execute("SELECT FROM alerts FOR UPDATE")  # somebody is sending, and takes his time
        trip(desk, minutes_ago=31)
        await escalation.look()
        assert stages(desk) == ["ALERT", "ALERT", "CANCEL", "HALT"]


async def test_after_a_quarter_of_an_hour_what_rests_is_cancelled_at_the_venue_and_asked_of_the_executor(
    database_url, role_url, db
):
    with Desk(role_url, database_url, mode="LIVE") as desk:
        database = await db(role="risk_monitor")
        escalation = Escalation(database, Wakeup(frozenset({"gate_changed"})), "one")
        claim = desk.enter()
        trip(desk, minutes_ago=14)
        await escalation.look()
        assert await database.retry_read(queries.due_cancels) == []
        trip(desk, minutes_ago=15)
        await escalation.look()
        (due,) = await database.retry_read(queries.due_cancels)
        assert due.account_id == desk.account
        (asked,) = desk.all("SELECT * FROM cancel_requests")
        assert (asked["order_id"], asked["requested_by"]) == (claim.order_id, "escalation")
        done = "INSERT INTO scheduled_work VALUES (%s, %s, 'venue')"
        desk.do("risk_monitor", done, f"cancelled_all:{desk.account}", due.switched)
        assert await database.retry_read(queries.due_cancels) == [], "once a stage"


def halt(street: Street) -> None:
    trip(street.desk, minutes_ago=30)
    for stage in Stage:
        assert street.desk.do(
            "risk_monitor", "SELECT escalate(%s, %s, %s)", street.desk.account, street.desk.mode, stage
        )


@pytest.fixture
def street(tmp_path, desk):
    with venue(tmp_path, SOURCE="generator", WINDOW_S="600", FIRST_OPEN_IN_S="1") as simulator:
        desk.do("execution", "SELECT pg_advisory_unlock_all()")
        yield Street(simulator, desk, tmp_path)


@pytest.mark.timeout(150)
def test_the_halted_executor_ends_once_and_back_again_it_sells_what_is_held(street):
    desk = street.desk
    street.open_market()
    with street.executing() as process:
        epoch = street.lead(process, after=desk.epoch)
        position = street.position_of(street.say(amount_usdc=Decimal("4.5")), "MONITORING")
        trip(desk, minutes_ago=30)
        watching = {
            "DATABASE_URL": desk.role_url("onebook_risk_monitor"),
            **street.venue.environment(),
        }
        with running("services.risk_monitor", watching, street.folder / "risk_monitor.log") as monitor:
            assert process.process.wait(timeout=60) == HALTED_STATUS, process.output() + monitor.output()
        assert stages(desk) == list(Stage)
    with street.executing() as process:
        street.lead(process, after=epoch)
        refused = street.say(ordinal=1)
        until(
            "an entry is refused",
            lambda: desk.one("SELECT refusal FROM signals WHERE signal_id = %s", refused)["refusal"],
        )
        desk.do(
            "risk_monitor",
            "INSERT INTO position_verifications (account_id, mode, verified, skipped) VALUES (%s, %s, true, true)",
            *(desk.account, desk.mode),
        )
        street.tick()
        assert desk.ask_exit(Claim(None, "", position["position_id"]))
        until(
            "the position is sold",
            lambda: desk.one("SELECT sold_shares FROM positions")["sold_shares"] > 0,
        )
        assert process.process.poll() is None, "it ends once"
        assert desk.one("SELECT count(*) AS n FROM orders WHERE purpose = 'ENTRY'")["n"] == 1


@pytest.mark.timeout(120)
def test_a_person_may_keep_the_halted_executor_running(street):
    with street.executing(CB_ALLOW_EXTENDED_HALT="true") as process:
        street.lead(process, after=street.desk.epoch)
        halt(street)
        until("it says that it stays", lambda: "halt_extended" in process.output())
        assert process.process.poll() is None
