"""The command line as a person uses it, on a real Book, as the operator's own role."""

import json
from collections.abc import Callable
from decimal import Decimal

import pytest
from typer.testing import CliRunner, Result

from services.operator.__main__ import app
from tests.factories import Desk, order_hash

By = ("--by", "anna", "--reason", "drill")
Operate = Callable[..., Result]


@pytest.fixture
def operate(role_url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Operate:
    """Run a command as onebook_operator; fails here when its status is not the expected one."""
    monkeypatch.setenv("DATABASE_URL", role_url("operator"))
    runner = CliRunner()

    def run(*arguments: str, status: int = 0) -> Result:
        result = runner.invoke(app, list(arguments), catch_exceptions=False)
        assert result.exit_code == status, result.output + result.stderr
        return result

    return run


def test_an_account_is_opened_once_and_a_deposit_booked_once(operate: Operate):
    assert "is open" in operate("account", "open", "new").stdout
    assert "was open already" in operate("account", "open", "new").stdout
    deposit = ("account", "fund", "new", "100", "--mode", "paper", "--reference", "first", *By)
    assert "booked 100 USDC" in operate(*deposit).stdout
    assert "was booked before" in operate(*deposit, status=1).stderr
    assert "new PAPER: cash 100, deposited 100" in operate("account", "list").stdout
    operate("account", "fund", "new", "-40.5", "--mode", "PAPER", "--reference", "out", *By)
    assert "cash 59.5, deposited 59.5" in operate("account", "list").stdout


def test_money_for_nobody_is_refused_in_words(operate: Operate):
    said = operate("account", "fund", "nobody", "1", "--mode", "PAPER", "--reference", "x", *By, status=1)
    assert 'no account nobody: open it with the operator command "account open"' in said.stderr


def test_a_correction_is_shown_first_and_booked_only_when_told(operate: Operate, desk: Desk):
    correction = ("account", "correct", "desk", "-0.5", "--mode", "PAPER", "--reference", "c1", *By)
    assert "would book -0.5 USDC" in operate(*correction).stdout
    assert desk.buckets()["CASH"] == 100
    assert "booked -0.5 USDC" in operate(*correction, "--book").stdout
    assert desk.buckets()["CASH"] == Decimal("99.5")
    desk.assert_books_agree()


@pytest.mark.parametrize(
    ("command", "switch"), [("pause", "PAUSE"), ("flatten", "FLATTEN"), ("emergency", "EMERGENCY")]
)
def test_the_kill_switch_stops_every_account_at_once_and_resume_opens_it(
    operate: Operate, desk: Desk, command: str, switch: str
):
    operate("account", "open", "other")
    said = operate(command, *By).stdout
    assert f"desk: kill switch OFF → {switch}" in said
    assert f"other: kill switch OFF → {switch}" in said
    assert desk.claim(desk.signal(desk.window())).refused == "KILL_SWITCH"
    operate("resume", *By)
    assert desk.enter().refused is None
    history = desk.all(
        "SELECT actor, reason FROM control_history WHERE key = 'kill_switch' AND account_id = 'desk'"
    )
    assert history == [{"actor": "anna", "reason": "drill"}] * 2


def test_the_kill_switch_of_one_account_leaves_the_others_alone(operate: Operate, desk: Desk):
    operate("account", "open", "other")
    operate("pause", "--account", "other", *By)
    assert desk.gate()["kill_switch"] == "OFF"
    assert desk.enter().refused is None


def test_a_switch_needs_a_name_and_a_reason(operate: Operate, desk: Desk):
    operate("pause", "--by", "anna", status=2)
    operate("pause", "--by", " ", "--reason", "x", status=2)
    assert desk.gate()["kill_switch"] == "OFF"


def test_the_breaker_is_tripped_by_hand_and_reset_only_when_no_order_may_live(operate: Operate, desk: Desk):
    held = desk.enter()
    assert "is now OPEN" in operate("breaker", "trip", "desk", "--mode", "PAPER", *By).stdout
    assert "was OPEN already" in operate("breaker", "trip", "desk", "--mode", "PAPER", *By).stdout
    said = operate("breaker", "reset", "desk", "--mode", "PAPER", *By, status=1)
    assert f"orders may be live: {held.order_id} SUBMITTING" in said.stderr
    desk.record(held.order_id, "KILLED")
    operate("breaker", "reset", "desk", "--mode", "PAPER", *By)
    assert desk.gate()["breaker"] == "CLOSED"


@pytest.mark.parametrize(
    ("key", "value"),
    [("max_position_usd", "1001"), ("max_position_usd", "ten"), ("kill_switch", "MAYBE"), ("no_such", "1")],
)
def test_a_control_out_of_its_bounds_changes_nothing(operate: Operate, desk: Desk, key: str, value: str):
    operate("control", "set", "desk", key, value, *By, status=2)
    assert desk.all("SELECT FROM control_history WHERE key = %s AND actor = 'anna'", key) == []


def test_a_control_is_set_in_its_one_spelling_and_listed_with_who_and_why(operate: Operate, desk: Desk):
    assert (
        "max_position_usd 5 → 2.5"
        in operate("control", "set", "desk", "max_position_usd", "2.50", *By).stdout
    )
    line = next(
        line
        for line in operate("control", "list", "desk").stdout.splitlines()
        if line.startswith("max_position_usd")
    )
    assert line.split()[:4] == ["max_position_usd", "2.5", "anna", "drill"]
    assert desk.one("SELECT value FROM runtime_controls WHERE key = 'max_position_usd'") == {"value": "2.5"}


def test_a_session_lasts_from_open_to_close(operate: Operate, desk: Desk):
    operate("session", "close", "desk", "--mode", "PAPER", "--by", "anna", status=1)
    operate("session", "open", "desk", "--mode", "PAPER", "--by", "anna")
    assert desk.gate()["session_id"] is not None
    operate("session", "close", "desk", "--mode", "PAPER", "--by", "anna")
    assert desk.gate()["session_id"] is None


def test_status_shows_money_gate_positions_orders_and_who_is_alive(operate: Operate, desk: Desk):
    held = desk.hold(shares="4", usdc="2")
    page = operate("status").stdout
    for words in (
        held.order_id[:14],
        held.position_id,
        "FILLED",
        "feed_collector",
        "entry_claimed",
        "nobody bids",
    ):
        assert words in page
    row = next(line for line in page.splitlines() if line.startswith("desk     PAPER"))
    assert row.split()[2:6] == ["CLOSED", "OFF", "LIVE", "100"]


def test_explain_tells_a_trade_from_its_signal_to_its_profit(operate: Operate, desk: Desk):
    window = desk.window(opens_in_s=-60, closes_in_s=5)
    held = desk.hold(window, shares="4", usdc="2")
    desk.owner.execute("UPDATE windows SET closes_at = clock_timestamp() WHERE window_id = %s", [window])
    desk.do("reconciler", "SELECT settle(%s, 1, 0, 'test', clock_timestamp(), 'UP')", window)
    desk.do(
        "execution", "SELECT * FROM claim_redeem(%s, 'desk', 'PAPER', %s, 'red-1', 1, 98)", desk.epoch, window
    )
    desk.do("execution", "SELECT record_redemption('red-1', 'PAID', '{\"paid_usdc\": \"4\"}')")
    told = json.loads(operate("explain", held.order_id[:12], "--json").stdout)
    steps = [step["what"] for step in told["chain"]]
    wanted = [
        "window opened",
        "signal made",
        "signal committed",
        "entry_claimed",
        "order_filled",
        "venue resolved",
    ]
    assert [step for step in wanted[:5] if step not in steps] == []
    assert steps.index("signal made") < steps.index("entry_claimed") < steps.index("order_filled")
    assert steps.index("order_filled") < steps.index("window_resolved") < steps.index("redemption_paid")
    at = [step["at"] for step in told["chain"]]
    assert at == sorted(at)
    assert told["position_state"] == "CLOSED"
    assert Decimal(told["gross_pnl"]) == 2
    assert Decimal(told["net_pnl"]) == 2 - Decimal(told["fees_usdc"])
    moved = sum(
        Decimal(leg["amount_usdc"]) * ((leg["to"] == "CASH") - (leg["from"] == "CASH"))
        for leg in told["ledger"]
    )
    assert moved == Decimal(told["net_pnl"])
    for name in (held.position_id, told["signal_id"]):
        assert json.loads(operate("explain", name, "--json").stdout)["order_id"] == held.order_id
    page = operate("explain", held.order_id).stdout
    assert "From ticks to cash" in page
    assert "net profit or loss" in page


def test_explain_says_when_there_is_no_such_order_or_several(operate: Operate, desk: Desk):
    assert "has no order 0xfeed" in operate("explain", "0xfeed", status=1).stderr
    first, second = (desk.enter(desk.window(), order_id="0xabc" + order_hash(n)[5:]) for n in range(2))
    said = operate("explain", "0xabc", status=1).stderr
    assert first.order_id in said
    assert second.order_id in said


def test_health_fails_until_every_service_is_alive(operate: Operate, desk: Desk):
    assert "execution" in operate("health", status=1).stdout
    desk.beat("feed_collector", "signal_engine", "execution", "risk_monitor", "reconciler")
    assert "WRONG" not in operate("health").stdout


def test_the_doctor_finds_a_ledger_that_was_changed_behind_the_books_back(operate: Operate, desk: Desk):
    desk.beat("feed_collector", "signal_engine", "execution", "risk_monitor", "reconciler")
    assert "every balance is the fold of its entries" in operate("doctor", status=1).stdout
    desk.owner.execute("UPDATE ledger_balances SET balance = 101 WHERE bucket = 'CASH' AND mode = 'PAPER'")
    page = operate("doctor", status=1).stdout
    assert "CASH: stored 101" in page


def test_the_doctor_finds_a_history_that_was_rewritten(operate: Operate, desk: Desk):
    desk.owner.execute("ALTER TABLE audit_events DISABLE TRIGGER USER")
    changed = desk.one(
        "UPDATE audit_events SET actor = 'nobody' WHERE kind = 'account_opened' RETURNING event_id"
    )
    assert f"the chain breaks at event {changed['event_id']}" in operate("doctor", status=1).stdout


def test_as_the_owner_a_sound_deployment_passes_the_doctor(
    operate: Operate, desk: Desk, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    desk.beat("feed_collector", "signal_engine", "execution", "risk_monitor", "reconciler")
    monkeypatch.setenv("DATABASE_URL", database_url)
    wrong = [line for line in operate("doctor", status=1).stdout.splitlines() if line.startswith("WRONG")]
    assert [line.split()[1] for line in wrong] == ["durability"]  # the server of the tests forgets on purpose


def test_partitions_are_made_ahead_and_old_ones_dropped(operate: Operate, desk: Desk):
    assert "2 made" in operate("partitions", "--days-ahead", "9").stdout
    desk.do("operator", "SELECT ensure_partitions(0, current_date - 30)")
    assert "1 dropped price_ticks_" in operate("partitions").stdout


@pytest.mark.usefixtures("desk")
def test_strategies_lists_the_folder_and_who_runs_what(operate: Operate):
    said = operate("strategies").stdout
    assert "always-trade-canary" in said
    assert "desk runs canary as desk-canary: enabled" in said


def test_another_role_may_look_but_not_act(
    operate: Operate, desk: Desk, role_url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DATABASE_URL", role_url("signal_engine"))
    operate("status")
    assert "connect as the role onebook_operator" in operate("pause", *By, status=1).stderr
    assert desk.gate()["kill_switch"] == "OFF"


def test_a_book_without_tables_says_what_to_do(operate: Operate, desk: Desk):
    desk.owner.execute("DROP TABLE heartbeats")
    assert "run `make migrate` first" in operate("health", status=1).stderr
