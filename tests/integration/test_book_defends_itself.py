"""The Book against a person at a prompt: every role tries every other way, and the owner cannot rewrite history (B12 to B15)."""

import itertools

import psycopg
import psycopg.types.json
import pytest

from tests.factories import Desk, order_hash

pytestmark = pytest.mark.integration

SERVICES = (
    "feed_collector", "signal_engine", "execution", "risk_monitor", "reconciler", "dashboard", "operator", "backtesting",
)  # fmt: skip
MONEY_TABLES = (
    "accounts", "trading_gate", "sessions", "runtime_controls", "position_counters", "instrument_exposure", "positions",
    "active_positions", "orders", "order_bodies", "window_entries", "entry_slots", "fills", "redemptions", "audit_events",
    "ledger_entries", "ledger_balances", "fill_history", "breaker_history", "control_history", "order_evidence",
    "external_movements", "executor_epochs", "state_transitions", "control_definitions", "heartbeats", "alerts",
    "escalations", "strategy_stops",
)  # fmt: skip
EXECUTE = {
    "take_epoch": {"execution"}, "claim_entry": {"execution"}, "claim_exit": {"execution"},
    "claim_cancel": {"execution"}, "claim_redeem": {"execution"}, "refuse_signal": {"execution"},
    "record_outcome": {"execution"}, "record_redemption": {"execution", "reconciler"},
    "apply_trade": {"execution", "reconciler"}, "reverse_trade": {"execution", "reconciler"},
    "apply_order_evidence": {"execution", "reconciler"}, "resolve_unknown": {"execution", "reconciler"},
    "request_exit": {"risk_monitor"}, "note_peak": {"risk_monitor"}, "settle": {"reconciler"},
    "escalate": {"risk_monitor"}, "flag_orphans": {"risk_monitor"}, "stop_strategy": {"risk_monitor"},
    "end_days": {"risk_monitor"},
    "mark_reconciled": {"reconciler"}, "book_external": {"reconciler", "operator"}, "reset_breaker": {"operator"},
    "set_control": {"operator", "dashboard"}, "request_command": {"operator", "dashboard"}, "open_account": {"operator"},
    "open_session": {"operator"}, "close_session": {"operator"}, "correct": {"operator"},
}  # fmt: skip


def test_no_service_writes_a_money_table(desk: Desk) -> None:
    for service, table, act in itertools.product(
        SERVICES, MONEY_TABLES, ("INSERT INTO {} DEFAULT VALUES", "DELETE FROM {}", "TRUNCATE {}")
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            desk.as_role(service).execute(act.format(table))


def test_no_service_updates_a_money_table(desk: Desk) -> None:
    for service, table in itertools.product(SERVICES, MONEY_TABLES):
        column = desk.one(
            "SELECT column_name AS name FROM information_schema.columns WHERE table_name = %s AND is_generated = 'NEVER'"
            " AND identity_generation IS NULL ORDER BY ordinal_position LIMIT 1",
            table,
        )["name"]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            desk.as_role(service).execute(f"UPDATE {table} SET {column} = {column}")


def test_execute_is_the_ownership(desk: Desk) -> None:
    rows = desk.all(
        "SELECT p.proname AS function, r.rolname AS role FROM pg_proc p CROSS JOIN pg_roles r"
        " WHERE p.pronamespace = 'public'::regnamespace AND r.rolname LIKE 'onebook\\_%%' AND r.rolname <> 'onebook_owner'"
        " AND has_function_privilege(r.oid, p.oid, 'EXECUTE')"
    )
    granted: dict[str, set[str]] = {}
    for row in rows:
        granted.setdefault(row["function"], set()).add(row["role"].removeprefix("onebook_"))
    assert not [name for name in granted if name.startswith("_")], "an inner function is nobody's"
    for function, services in EXECUTE.items():
        assert granted[function] == services, function


def test_only_execution_reads_signed_bodies(desk: Desk) -> None:
    for service in SERVICES:
        if service == "execution":
            desk.as_role(service).execute("SELECT body FROM order_bodies")
        else:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                desk.as_role(service).execute("SELECT body FROM order_bodies")


def test_the_dashboard_writes_nothing_but_requests(desk: Desk) -> None:
    tables = [
        row["name"]
        for row in desk.all(
            "SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        )
    ]
    allowed = [
        table
        for table, right in itertools.product(tables, ("INSERT", "UPDATE", "DELETE"))
        if desk.one("SELECT has_table_privilege('onebook_dashboard', %s, %s) AS may", table, right)["may"]
    ]
    assert allowed == []


def test_a_signal_is_born_new_and_its_verdict_is_not_its_makers(desk: Desk) -> None:
    window = desk.window()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        desk.signal(window, state="ORDERED")
    signal = desk.signal(window)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        desk.do("signal_engine", "UPDATE signals SET price = 0.9 WHERE signal_id = %s", signal)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE orders SET state = 'SUBMITTING'",
        "UPDATE orders SET state = 'LIVE'",
        "UPDATE positions SET state = 'OPENING'",
        "UPDATE positions SET state = 'REDEEMING'",
        "UPDATE signals SET state = 'NEW'",
        "UPDATE fills SET state = 'MATCHED'",
        "UPDATE windows SET state = 'RESOLVED'",
    ],
)
def test_an_illegal_step_is_refused_even_to_the_superuser(desk: Desk, statement: str) -> None:
    desk.hold()
    with pytest.raises(psycopg.Error, match=r"illegal .* transition"):
        desk.owner.execute(statement)


@pytest.mark.parametrize(
    "table",
    ["audit_events", "ledger_entries", "fill_history", "breaker_history", "control_history", "order_evidence", "external_movements"],
)  # fmt: skip
def test_history_is_not_rewritten_even_by_the_superuser(desk: Desk, table: str) -> None:
    claim = desk.hold()
    desk.do("risk_monitor", "SELECT trip_breaker(%s, %s, 'MANUAL_TRIP', '{}')", desk.account, desk.mode)
    assert desk.one(f"SELECT count(*) AS n FROM {table}")["n"] > 0, claim
    column = "at" if table != "audit_events" else "kind"
    for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET {column} = {column}", f"TRUNCATE {table}"):
        with pytest.raises(psycopg.Error, match="append-only"):
            desk.owner.execute(statement)


def test_a_tampered_event_breaks_the_chain(desk: Desk) -> None:
    desk.hold()
    assert desk.one("SELECT verify_audit_chain(%s) AS broken", desk.account)["broken"] is None
    desk.owner.execute("ALTER TABLE audit_events DISABLE TRIGGER ALL")
    third = desk.one("SELECT event_id FROM audit_events ORDER BY event_id OFFSET 2 LIMIT 1")["event_id"]
    desk.owner.execute("UPDATE audit_events SET details = '{\"a\": 1}' WHERE event_id = %s", [third])
    assert desk.one("SELECT verify_audit_chain(%s) AS broken", desk.account)["broken"] == third


def test_a_cut_off_chain_is_noticed(desk: Desk) -> None:
    desk.hold()
    desk.owner.execute("ALTER TABLE audit_events DISABLE TRIGGER ALL")
    desk.owner.execute("DELETE FROM audit_events WHERE event_id = (SELECT max(event_id) FROM audit_events)")
    assert desk.one("SELECT verify_audit_chain(%s) AS broken", desk.account)["broken"] == 0


def test_a_balance_changed_by_hand_is_found(desk: Desk) -> None:
    desk.hold()
    desk.owner.execute(
        "UPDATE ledger_balances SET balance = balance + 0.000001 WHERE bucket = 'CASH' AND mode = 'PAPER'"
    )
    found = desk.all("SELECT what FROM verify_ledger(%s, %s)", desk.account, desk.mode)
    assert [row["what"] for row in found] == ["CASH"]


def test_money_with_a_seventh_decimal_is_refused_not_rounded(desk: Desk) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        desk.do(
            "reconciler",
            "SELECT book_external(%s, %s, 'DEPOSIT', 0.0000001, 'dust')",
            desk.account,
            desk.mode,
        )


def test_no_open_window_without_its_tokens_and_no_resolved_one_without_its_payout(desk: Desk) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        desk.window(up_token=None)
    window = desk.window(state="CLOSED")
    with pytest.raises(psycopg.errors.CheckViolation):
        desk.owner.execute("UPDATE windows SET state = 'RESOLVED' WHERE window_id = %s", [window])
    with pytest.raises(psycopg.errors.CheckViolation):
        desk.owner.execute(
            "UPDATE windows SET state = 'RESOLVED', payout_up = 1, payout_down = 1 WHERE window_id = %s",
            [window],
        )


def test_one_entry_order_per_signal_one_exit_per_position(desk: Desk) -> None:
    claim = desk.hold()
    desk.ask_exit(claim)
    sold = desk.exit(claim)
    for order in (claim.order_id, sold.order_id):
        with pytest.raises(psycopg.errors.UniqueViolation):
            desk.owner.execute(
                "INSERT INTO orders (order_id, account_id, mode, purpose, signal_id, position_id, window_id, instrument, token_id,"
                " side, order_type, limit_price, maker_amount, taker_amount, salt, timestamp_ms, epoch, gate_evidence)"
                " SELECT %s, account_id, mode, purpose, signal_id, position_id, window_id, instrument, token_id, side, order_type,"
                " limit_price, maker_amount, taker_amount, salt, timestamp_ms, epoch, gate_evidence FROM orders WHERE order_id = %s",
                [order_hash((order, "copy")), order],
            )


def test_controls_refuse_what_is_undefined_malformed_or_out_of_bounds(desk: Desk) -> None:
    for key, value, message in (
        ("max_positon_usd", "5", "there are:"),
        ("max_position_usd", "much", "must be a number"),
        ("max_position_usd", "1001", "between 0 and 1000"),
        ("max_open_positions", "2.5", "whole"),
        ("kill_switch", "OFFISH", "one of OFF"),
    ):
        with pytest.raises(psycopg.Error, match=message):
            desk.control(key, value)
    with pytest.raises(psycopg.Error, match="a name and a reason"):
        desk.do("operator", "SELECT set_control(%s, 'kill_switch', 'PAUSE', '', 'x')", desk.account)
    desk.control("max_position_usd", "3")
    history = desk.one("SELECT * FROM control_history WHERE key = 'max_position_usd'")
    assert (history["old_value"], history["new_value"], history["actor"]) == ("5", "3", "tester")


def test_a_reset_needs_a_name_a_reason_and_quiet_orders(desk: Desk) -> None:
    desk.do("risk_monitor", "SELECT trip_breaker(%s, %s, 'MANUAL_TRIP', '{}')", desk.account, desk.mode)
    with pytest.raises(psycopg.Error, match="operator's id and a reason"):
        desk.do("operator", "SELECT reset_breaker(%s, %s, 'me', '')", desk.account, desk.mode)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        desk.do("risk_monitor", "SELECT reset_breaker(%s, %s, 'me', 'why')", desk.account, desk.mode)
    desk.do("operator", "SELECT reset_breaker(%s, %s, 'me', 'why')", desk.account, desk.mode)
    assert desk.gate()["breaker"] == "CLOSED"
    rows = desk.all("SELECT state, reason, actor FROM breaker_history ORDER BY id")
    assert [(row["state"], row["reason"]) for row in rows] == [("OPEN", "MANUAL_TRIP"), ("CLOSED", "why")]
    assert rows[1]["actor"] == "me"
    desk.enter()
    desk.do("risk_monitor", "SELECT trip_breaker(%s, %s, 'MANUAL_TRIP', '{}')", desk.account, desk.mode)
    with pytest.raises(psycopg.Error, match="orders may be live"):
        desk.do("operator", "SELECT reset_breaker(%s, %s, 'me', 'why')", desk.account, desk.mode)


def test_never_placed_needs_the_four_proofs(desk: Desk) -> None:
    window = desk.window()
    claim = desk.enter(window)
    desk.record(claim.order_id, "LOST", reason="TIMEOUT")
    proofs = {"venue_closed": True, "order_unknown": True, "no_trade": True, "balance_equal": True}
    statement = "SELECT resolve_unknown(%s, 'PROVED_ABSENT', 'test', %s)"
    with pytest.raises(psycopg.Error, match="not proved absent"):
        desk.do(
            "reconciler", statement, claim.order_id, psycopg.types.json.Jsonb(proofs)
        )  # the window is still open
    desk.owner.execute("UPDATE windows SET closes_at = clock_timestamp() WHERE window_id = %s", [window])
    for missing in proofs:
        with pytest.raises(psycopg.Error, match="not proved absent"):
            desk.do(
                "reconciler", statement, claim.order_id, psycopg.types.json.Jsonb({**proofs, missing: False})
            )
    for absence in ("PROVED_ABSENT", "NOT_SENT", "REFUSED"):
        with pytest.raises(psycopg.Error, match="not for an observation to prove"):
            desk.do(
                "reconciler",
                "SELECT apply_order_evidence(%s, 'READING', 'TERMINAL', 'test', %s, '{}')",
                claim.order_id,
                absence,
            )
    assert (
        desk.do("reconciler", statement, claim.order_id, psycopg.types.json.Jsonb(proofs)) == "NEVER_PLACED"
    )
    assert desk.position(claim)["state"] == "VOID"
    assert desk.buckets()["CASH"] == 100


def test_a_new_epoch_holds_its_predecessors_sends_for_unknown_and_paper_for_not_sent(desk: Desk) -> None:
    paper = desk.enter()
    desk.mode = "LIVE"
    desk.do("reconciler", "SELECT book_external(%s, 'LIVE', 'DEPOSIT', 100, 'live')", desk.account)
    live = desk.enter()
    desk.do("execution", "SELECT pg_advisory_unlock_all()")
    desk.take_epoch()
    assert desk.order_row(paper)["state"] == "NOT_SENT"
    assert desk.order_row(live)["state"] == "UNKNOWN"
    assert desk.gate()["breaker_reason"] == "ORDER_UNKNOWN"
