"""Every reason a claim refuses by itself, whatever the gate before it thought (E10, D18)."""

from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.factories import CLOCK, DOWN_TOKEN, Desk, order_hash

pytestmark = pytest.mark.integration


def refused(desk: Desk, signal: str, reason: str, **fields: object) -> None:
    assert desk.claim(signal, **fields).refused == reason
    row = desk.one("SELECT state, refusal FROM signals WHERE signal_id = %s", signal)
    assert (row["state"], row["refusal"]) in {("REFUSED", reason), ("EXPIRED", None)}
    assert desk.one("SELECT count(*) AS n FROM orders WHERE signal_id = %s", signal)["n"] == 0
    assert desk.buckets()["RESERVED"] == 0


def test_another_epoch_claims_nothing_and_touches_nothing(desk: Desk) -> None:
    signal = desk.signal(desk.window())
    assert desk.claim(signal, epoch=desk.epoch - 1).refused == "NOT_LEADER"
    assert desk.one("SELECT state FROM signals")["state"] == "NEW"


def test_another_session_of_the_same_epoch_claims_nothing(desk: Desk) -> None:
    signal = desk.signal(desk.window())
    with psycopg.connect(desk.role_url("onebook_execution"), autocommit=True) as other:
        row = other.execute(
            "SELECT refused FROM claim_entry(%s, %s, %s, 'b', '{}')",
            [desk.epoch, signal, Jsonb(desk.order(signal))],
        ).fetchone()
    assert row == ("NOT_LEADER",)


def test_nothing_is_claimed_before_the_start_up_comparison(desk: Desk) -> None:
    desk.do("execution", "SELECT pg_advisory_unlock_all()")
    assert desk.do("execution", "SELECT pg_try_advisory_lock(executor_lock_key())")
    epoch = desk.do("execution", "SELECT take_epoch('second')")
    signal = desk.signal(desk.window())
    assert desk.claim(signal, epoch=epoch).refused == "RECONCILIATION_PENDING"
    assert desk.do("reconciler", "SELECT mark_reconciled(%s, '{}')", epoch)
    assert desk.claim(signal, epoch=epoch).refused is None


def test_an_epoch_is_only_for_who_holds_the_lock(desk: Desk) -> None:
    with (
        psycopg.connect(desk.role_url("onebook_execution"), autocommit=True) as other,
        pytest.raises(psycopg.Error, match="does not hold the executor lock"),
    ):
        other.execute("SELECT take_epoch('thief')")


def test_the_gate_row_refuses(desk: Desk) -> None:
    desk.do("risk_monitor", "SELECT trip_breaker(%s, %s, 'MANUAL_TRIP', '{}')", desk.account, desk.mode)
    refused(desk, desk.signal(desk.window()), "BREAKER_OPEN")
    desk.do("operator", "SELECT reset_breaker(%s, %s, 'me', 'looked')", desk.account, desk.mode)
    desk.control("kill_switch", "FLATTEN")
    refused(desk, desk.signal(desk.window()), "KILL_SWITCH")
    desk.control("kill_switch", "OFF")
    assert desk.claim(desk.signal(desk.window())).refused is None


def test_a_control_only_lowers_the_mode(desk: Desk) -> None:
    desk.mode = "DRY_RUN"
    desk.do("reconciler", "SELECT book_external(%s, 'DRY_RUN', 'DEPOSIT', 100, 'x')", desk.account)
    desk.control("trading_mode", "PAPER")
    refused(desk, desk.signal(desk.window()), "MODE_NOT_ALLOWED")
    desk.control("trading_mode", "LIVE")
    assert desk.claim(desk.signal(desk.window())).refused is None


def test_a_silent_watchdog_refuses(desk: Desk) -> None:
    desk.owner.execute("UPDATE heartbeats SET at = at - interval '11 seconds' WHERE service = 'reconciler'")
    refused(desk, desk.signal(desk.window()), "WATCHDOG_SILENT")
    desk.do("reconciler", "SELECT beat('reconciler', 'one', false)")
    refused(desk, desk.signal(desk.window()), "WATCHDOG_SILENT")
    desk.beat("reconciler")
    assert desk.claim(desk.signal(desk.window())).refused is None


def test_the_window_must_be_open_now(desk: Desk) -> None:
    refused(desk, desk.signal(desk.window(opens_in_s=5, closes_in_s=60)), "FUTURE_WINDOW")
    refused(desk, desk.signal(desk.window(state="DISCOVERED")), "WINDOW_NOT_OPEN")
    refused(desk, desk.signal(desk.window(closes_in_s=2.5)), "WINDOW_CLOSING")


def test_an_expired_signal_is_expired_not_ordered(desk: Desk) -> None:
    signal = desk.signal(desk.window(), expires_at=CLOCK.now() - timedelta(milliseconds=1))
    refused(desk, signal, "SIGNAL_EXPIRED")


def test_empty_lists_deny_all(desk: Desk) -> None:
    desk.control("allowed_instruments", "")
    refused(desk, desk.signal(desk.window()), "INSTRUMENT_NOT_ALLOWED")
    desk.control("allowed_instruments", "ETH,BTC")
    desk.control("allowed_strategies", "")
    refused(desk, desk.signal(desk.window()), "STRATEGY_NOT_ALLOWED")
    desk.control("allowed_strategies", desk.strategy)
    assert desk.claim(desk.signal(desk.window())).refused is None


def test_a_stopped_strategy_enters_nothing(desk: Desk) -> None:
    desk.do("operator", "UPDATE strategy_instances SET enabled = false, enabled_by = 'me'")
    refused(desk, desk.signal(desk.window()), "STRATEGY_NOT_ALLOWED")


def test_the_token_must_be_the_windows_own(desk: Desk) -> None:
    refused(desk, desk.signal(desk.window(), token_id=DOWN_TOKEN), "MARKET_MISMATCH", token_id=DOWN_TOKEN)
    refused(desk, desk.signal(desk.window()), "MARKET_MISMATCH", token_id=DOWN_TOKEN)


def test_no_order_goes_beyond_the_price_of_its_signal(desk: Desk) -> None:
    """Signal at 0.50 with 0.02 of slippage: 0.53 is beyond, and so are amounts that imply it."""
    refused(desk, desk.signal(desk.window()), "PRICE_MOVED", limit_price="0.53")
    refused(desk, desk.signal(desk.window()), "PRICE_MOVED", taker_amount="3.7")


def test_one_active_position_in_a_market_whichever_side(desk: Desk) -> None:
    window = desk.window()
    assert desk.claim(desk.signal(window)).refused is None
    desk.do(
        "signal_engine",
        "INSERT INTO strategy_instances (instance_id, account_id, strategy_id, code_hash, parameters, enabled_by)"
        " VALUES ('other', %s, 'other', 'h', '{}', 't')",
        desk.account,
    )
    opposite = desk.signal(window, side="DOWN", strategy_id="other")
    assert desk.claim(opposite, token_id=DOWN_TOKEN).refused == "POSITION_EXISTS"


def test_a_window_with_an_unknown_order_is_blocked_even_after_a_reset_elsewhere(desk: Desk) -> None:
    window = desk.window()
    claim = desk.enter(window)
    desk.record(claim.order_id, "LOST", reason="TIMEOUT")
    desk.owner.execute(
        "UPDATE trading_gate SET breaker = 'CLOSED', breaker_reason = NULL, breaker_since = NULL"
    )
    desk.do(
        "signal_engine",
        "INSERT INTO strategy_instances (instance_id, account_id, strategy_id, code_hash, parameters, enabled_by)"
        " VALUES ('other', %s, 'other', 'h', '{}', 't')",
        desk.account,
    )
    assert desk.claim(desk.signal(window, strategy_id="other")).refused == "WINDOW_BLOCKED"


def test_the_cap_is_the_lower_of_control_and_strategy(desk: Desk) -> None:
    desk.control("max_position_usd", "2.13")
    refused(desk, desk.signal(desk.window()), "POSITION_CAP")
    desk.control("max_position_usd", "2.14")
    claim = desk.enter()
    assert desk.order_row(claim)["cap_usdc"] == Decimal("2.14")
    refused_by_strategy = desk.signal(
        desk.window(), risk=Jsonb({"max_position_usdc": "1", "max_slippage": "0.02"})
    )
    assert desk.claim(refused_by_strategy).refused == "POSITION_CAP"


def test_a_session_that_lost_its_limit_enters_no_more(desk: Desk) -> None:
    desk.control("max_session_loss", "2.14")
    claim = desk.hold()
    desk.ask_exit(claim)
    sold = desk.exit(claim, limit_price="0.01", taker_amount="0.04")
    desk.record(sold.order_id, "MATCHED", shares="4", usdc="0.04", fee_usdc="0", trade_ids=["s"])
    desk.trade(sold.order_id, "s", shares="4", usdc="0.04", price="0.01", fee_usdc="0.2")
    refused(desk, desk.signal(desk.window()), "SESSION_LOSS")


def test_a_reservation_below_the_cost_is_no_reservation(desk: Desk) -> None:
    refused(desk, desk.signal(desk.window()), "INSUFFICIENT_CAPITAL", reserved_usdc="1.99")


def test_while_open_an_exit_needs_eyes(desk: Desk) -> None:
    """D20: the breaker open, an exit goes out only for what the verifier confirmed within ten seconds."""
    claim = desk.hold()
    desk.ask_exit(claim)
    desk.do("risk_monitor", "SELECT trip_breaker(%s, %s, 'DRAWDOWN', '{}')", desk.account, desk.mode)
    assert desk.exit(claim).refused == "BREAKER_OPEN"
    desk.do(
        "risk_monitor",
        "INSERT INTO position_verifications (account_id, mode, verified) VALUES (%s, %s, true)",
        desk.account,
        desk.mode,
    )
    assert desk.exit(claim).refused is None


def test_blind_nothing_is_sold_but_by_a_person(desk: Desk) -> None:
    claim = desk.hold()
    desk.ask_exit(claim)
    desk.do("risk_monitor", "SELECT trip_breaker(%s, %s, 'STOP_LOSS_BLIND', '{}')", desk.account, desk.mode)
    desk.do(
        "risk_monitor",
        "INSERT INTO position_verifications (account_id, mode, verified) VALUES (%s, %s, true)",
        desk.account,
        desk.mode,
    )
    assert desk.exit(claim).refused == "BREAKER_OPEN"
    desk.control("kill_switch", "FLATTEN")
    assert desk.ask_exit(claim, "FLATTEN")
    assert desk.exit(claim).refused is None


def test_an_order_has_the_venues_id_or_does_not_exist(desk: Desk) -> None:
    signal = desk.signal(desk.window())
    with pytest.raises(psycopg.errors.CheckViolation):
        desk.claim(signal, order_id="0x12")
    assert desk.one("SELECT state FROM signals")["state"] == "NEW"
    assert order_hash(signal) == desk.claim(signal).order_id
