"""The way of one position through the Book's functions, each act as the role that may do it."""

from decimal import Decimal

import psycopg
import pytest

from tests.factories import Desk

pytestmark = pytest.mark.integration


def test_a_claim_takes_entry_slot_position_capital_order_and_body_together(desk: Desk) -> None:
    claim = desk.enter()
    assert desk.order_row(claim)["state"] == "SUBMITTING"
    assert desk.position(claim)["state"] == "OPENING"
    assert desk.buckets()["CASH"] == Decimal("97.86")
    assert desk.buckets()["RESERVED"] == Decimal("2.14")
    assert desk.one("SELECT count(*) AS n FROM entry_slots")["n"] == 1
    assert desk.one("SELECT count(*) AS n FROM window_entries WHERE released_at IS NULL")["n"] == 1
    assert desk.one("SELECT body FROM order_bodies")["body"] == "body"
    assert desk.one("SELECT state FROM signals")["state"] == "ORDERED"
    desk.assert_books_agree()


def test_a_match_opens_the_position_at_once_and_trades_explain_it_without_adding(desk: Desk) -> None:
    claim = desk.enter()
    desk.record(claim.order_id, "MATCHED", shares="4", usdc="1.999999", fee_usdc="0.07", trade_ids=["a", "b"])
    assert desk.position(claim)["state"] == "MONITORING"
    assert desk.position(claim)["bought_shares"] == 4
    assert desk.buckets()["POSITIONS"] == Decimal("1.999999")
    desk.trade(claim.order_id, "a", shares="1", usdc="0.5", fee_usdc="0.0175")
    assert desk.position(claim)["bought_shares"] == 4
    assert not desk.order_row(claim)["explained"]
    desk.trade(claim.order_id, "b", shares="3", usdc="1.5", fee_usdc="0.0525")
    position = desk.position(claim)
    assert desk.order_row(claim)["explained"]
    assert (position["bought_shares"], position["bought_usdc"], position["buy_fees_usdc"]) == (
        4,
        2,
        Decimal("0.07"),
    )
    assert desk.buckets()["CASH"] == Decimal("97.93")
    desk.assert_books_agree()


def test_a_repeated_or_late_trade_event_changes_nothing(desk: Desk) -> None:
    claim = desk.hold()
    before = desk.buckets()
    assert desk.trade(claim.order_id, "t1", shares="4", usdc="2") == "SAME"
    assert desk.trade(claim.order_id, "t1", shares="4", usdc="2", state="MATCHED") == "SAME"
    assert desk.buckets() == before


def test_a_refusal_frees_entry_and_capital_but_not_its_slot(desk: Desk) -> None:
    window = desk.window()
    for ordinal in range(2):
        signal = desk.signal(window, ordinal=ordinal)
        claim = desk.claim(signal)
        assert claim.refused is None
        desk.record(claim.order_id, "REFUSED", reason="not enough balance / allowance")
        assert desk.position(claim)["state"] == "VOID"
        assert desk.buckets()["CASH"] == 100
    assert desk.claim(desk.signal(window, ordinal=2)).refused == "ORDER_CAP"
    desk.assert_books_agree()


def test_an_unknown_keeps_entry_slot_and_capital_and_stops_trading(desk: Desk) -> None:
    claim = desk.enter()
    desk.record(claim.order_id, "LOST", reason="TIMEOUT")
    assert desk.order_row(claim)["state"] == "UNKNOWN"
    assert desk.buckets()["RESERVED"] == Decimal("2.14")
    assert desk.gate()["breaker_reason"] == "ORDER_UNKNOWN"
    assert desk.claim(desk.signal(desk.window())).refused == "BREAKER_OPEN"
    with pytest.raises(psycopg.Error, match="orders may be live"):
        desk.do("operator", "SELECT reset_breaker(%s, %s, 'me', 'why')", desk.account, desk.mode)


def test_a_winner_becomes_a_receivable_and_is_cash_only_when_the_balance_shows_it(desk: Desk) -> None:
    window = desk.window(closes_in_s=4)
    claim = desk.hold(window)
    desk.owner.execute("UPDATE windows SET closes_at = clock_timestamp() WHERE window_id = %s", [window])
    assert desk.do("reconciler", "SELECT settle(%s, 1, 0, 'data', now(), 'UP')", window)
    assert desk.position(claim)["state"] == "SETTLEMENT"
    assert desk.buckets()["RECEIVABLE"] == 4
    assert desk.do(
        "execution",
        "SELECT expected_usdc FROM claim_redeem(%s, %s, %s, %s, 'red-1', 1, 97.95)",
        desk.epoch, desk.account, desk.mode, window,
    ) == 4  # fmt: skip
    assert (
        desk.do("execution", "SELECT record_redemption('red-1', 'SUBMITTED', '{\"ticket\": \"x\"}')")
        == "SUBMITTED"
    )
    assert (
        desk.do("execution", "SELECT record_redemption('red-1', 'PAID', '{\"paid_usdc\": \"4\"}')") == "PAID"
    )
    assert desk.position(claim)["state"] == "CLOSED"
    assert desk.buckets() == {
        "CASH": Decimal("101.95"), "RESERVED": 0, "POSITIONS": 0, "FEES": Decimal("0.05"), "PNL": -2,
        "RECEIVABLE": 0, "EXTERNAL": -100,
    }  # fmt: skip
    assert desk.one("SELECT realized_usdc FROM sessions")["realized_usdc"] == Decimal("1.95")
    desk.assert_books_agree()


def test_a_loser_is_written_off_at_the_resolution(desk: Desk) -> None:
    window = desk.window(closes_in_s=4)
    claim = desk.hold(window)
    desk.owner.execute("UPDATE windows SET closes_at = clock_timestamp() WHERE window_id = %s", [window])
    desk.do("reconciler", "SELECT settle(%s, 0, 1, 'data', now(), 'DOWN')", window)
    assert desk.position(claim)["state"] == "CLOSED"
    assert desk.buckets()["PNL"] == 2
    assert desk.buckets()["CASH"] == Decimal("97.95")
    desk.assert_books_agree()


def test_a_stop_sells_what_is_mined_and_books_the_loss(desk: Desk) -> None:
    claim = desk.hold()
    assert desk.ask_exit(claim)
    assert not desk.ask_exit(claim), "a trigger is sticky"
    sold = desk.exit(claim)
    assert sold.refused is None
    assert desk.exit(claim, attempt=2).refused == "POSITION_NOT_TRIGGERED"
    desk.record(sold.order_id, "MATCHED", shares="4", usdc="1.6", fee_usdc="0.06", trade_ids=["s1"])
    desk.trade(sold.order_id, "s1", shares="4", usdc="1.6", price="0.4", fee_usdc="0.06")
    assert desk.position(claim)["state"] == "CLOSED"
    assert desk.buckets()["CASH"] == Decimal("99.49")
    assert desk.buckets()["PNL"] == Decimal("0.4")
    desk.assert_books_agree()


def test_a_partly_filled_exit_gives_the_rest_back_to_its_trigger(desk: Desk) -> None:
    claim = desk.hold()
    desk.ask_exit(claim)
    sold = desk.exit(claim)
    desk.record(sold.order_id, "MATCHED", shares="1", usdc="0.4", fee_usdc="0.01", trade_ids=["s1"])
    desk.trade(sold.order_id, "s1", shares="1", usdc="0.4", price="0.4", fee_usdc="0.01")
    assert desk.position(claim)["state"] == "STOP_TRIGGERED"
    assert desk.exit(claim, attempt=2, shares="3.5").refused == "NOT_SELLABLE"
    assert desk.exit(claim, attempt=2, shares="3").refused is None


def test_shares_not_yet_mined_are_not_sold(desk: Desk) -> None:
    claim = desk.enter()
    desk.record(claim.order_id, "MATCHED", shares="4", usdc="2", fee_usdc="0.05", trade_ids=["t1"])
    desk.trade(claim.order_id, "t1", shares="4", usdc="2", state="MATCHED")
    desk.ask_exit(claim)
    assert desk.exit(claim).refused == "NOT_SELLABLE"
    desk.trade(claim.order_id, "t1", shares="4", usdc="2", state="MINED")
    assert desk.exit(claim).refused is None


def test_a_match_that_fails_on_chain_is_undone_to_the_cent(desk: Desk) -> None:
    claim = desk.enter()
    desk.record(claim.order_id, "MATCHED", shares="4", usdc="2", fee_usdc="0.05", trade_ids=["t1"])
    desk.trade(claim.order_id, "t1", shares="4", usdc="2", state="MATCHED")
    assert desk.trade(claim.order_id, "t1", shares="4", usdc="2", state="FAILED") == "CHANGED"
    assert desk.position(claim)["state"] == "VOID"
    assert desk.buckets()["CASH"] == 100
    assert desk.buckets()["FEES"] == 0
    desk.assert_books_agree()


def test_a_late_fill_on_a_dead_order_is_kept_and_trips(desk: Desk) -> None:
    claim = desk.enter()
    desk.record(claim.order_id, "KILLED")
    assert desk.position(claim)["state"] == "VOID"
    assert desk.trade(claim.order_id, "t1", shares="4", usdc="2") == "NEW"
    assert desk.position(claim)["state"] == "MONITORING"
    assert desk.gate()["breaker_reason"] == "LATE_FILL"
    assert desk.order_row(claim)["state"] == "KILLED"
    desk.assert_books_agree()


def test_a_fact_that_breaks_a_limit_is_recorded_and_trips(desk: Desk) -> None:
    claim = desk.enter()
    desk.trade(claim.order_id, "t1", shares="4", usdc="2000", price="0.5", fee_usdc="0")
    assert desk.buckets()["CASH"] == -1900
    reasons = {row["reason"] for row in desk.all("SELECT reason FROM breaker_history")}
    assert reasons == {"LIMIT_EXCEEDED_BY_FACT", "CAPITAL_INVARIANT"}
    desk.assert_books_agree()


def test_a_resolution_is_not_contradicted_in_silence(desk: Desk) -> None:
    window = desk.window(opens_in_s=-60, closes_in_s=-1)
    assert desk.do("reconciler", "SELECT settle(%s, 1, 0, 'gamma', now(), 'UP')", window)
    assert not desk.do("reconciler", "SELECT settle(%s, 1, 0, 'data', now(), 'UP')", window)
    with pytest.raises(psycopg.Error, match="resolved 1/0 already"):
        desk.do("reconciler", "SELECT settle(%s, 0, 1, 'data', now(), 'UP')", window)


def test_a_threshold_with_endless_decimals_still_triggers(desk: Desk) -> None:
    """A third off 0.370000… is no price on any grid; refusing it would leave the stop unheard."""
    claim = desk.hold()
    third = Decimal(1) / 3
    assert desk.do("risk_monitor", "SELECT request_exit(%s, 'STOP_LOSS', %s, 0.33)", claim.position_id, third)
    assert desk.position(claim)["exit_trigger_price"] == Decimal("0.333333")


def test_a_fee_rounded_the_other_way_is_a_fee_both_ways(desk: Desk) -> None:
    desk.hold()
    fees = desk.buckets()["FEES"]
    for amount, reference in ((Decimal("-0.00001"), "more"), (Decimal("0.00001"), "less")):
        assert desk.do(
            "reconciler",
            "SELECT book_external(%s, %s, 'FEE_ROUNDING', %s, %s)",
            desk.account,
            desk.mode,
            amount,
            reference,
        )
    assert desk.buckets()["FEES"] == fees
    assert desk.buckets()["EXTERNAL"] == -100
    desk.assert_books_agree()


def test_what_does_not_rest_is_not_cancelled(desk: Desk) -> None:
    claim = desk.enter()
    desk.record(claim.order_id, "REFUSED", reason="TEST")
    statement = "SELECT claim_cancel(%s, %s, 'why')"
    assert desk.do("execution", statement, desk.epoch, claim.order_id) == "NOT_CANCELLABLE"
    assert desk.order_row(claim)["state"] == "REJECTED"
