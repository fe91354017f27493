"""The failure modes of live trading and of every mode at once, each caused and its cure seen (FM17 to FM27).

FM19 and FM21 are caused with real processes in ``test_reconciler_live.py`` and ``test_single_trader.py``.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.factories import Desk
from tests.integration.test_risk_and_reconciler_processes import beaten, service
from tests.processes import Street, until, venue

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


def test_fm17_a_position_is_what_was_filled_not_what_was_asked_for(desk: Desk) -> None:
    """A third was filled: shares, cost and fee are the trade's, and what was set aside for the rest is free again."""
    claim = desk.enter()
    desk.record(claim.order_id, "MATCHED", shares="1.3", usdc="0.65", fee_usdc="0.02", trade_ids=["t"])
    desk.trade(claim.order_id, "t", shares="1.3", usdc="0.65", fee_usdc="0.0225")
    position, order = desk.position(claim), desk.order_row(claim)
    assert order["maker_amount"] == 2
    assert (position["bought_shares"], position["bought_usdc"]) == (Decimal("1.3"), Decimal("0.65"))
    assert desk.buckets()["RESERVED"] == 0
    assert desk.buckets()["CASH"] == 100 - Decimal("0.65") - Decimal("0.0225")
    desk.ask_exit(claim)
    assert desk.exit(claim, shares="4").refused == "NOT_SELLABLE", "what was asked for cannot be sold"
    assert desk.exit(claim, shares="1.3").refused is None
    desk.assert_books_agree()


@pytest.mark.parametrize(
    ("answers", "order", "position"),
    [
        ([], "SUBMITTING", "OPENING"),
        (["DELAYED"], "DELAYED", "OPENING"),
        (["RESTS"], "LIVE", "OPENING"),
        (["LOST"], "UNKNOWN", "OPENING"),
        (["REFUSED"], "REJECTED", "VOID"),
        (["DELAYED", "KILLED"], "KILLED", "VOID"),
    ],
)
def test_fm18_without_a_confirmed_match_there_is_no_position(
    desk: Desk, answers: list[str], order: str, position: str
) -> None:
    """A rejection nobody heard of leaves an order in its state, never a position somebody believes in."""
    claim = desk.enter()
    for answer in answers:
        desk.record(claim.order_id, answer)
    assert desk.order_row(claim)["state"] == order
    assert desk.position(claim)["state"] == position
    assert desk.position(claim)["bought_shares"] == 0
    assert desk.buckets()["POSITIONS"] == 0
    assert not desk.ask_exit(claim), "there is nothing to sell"
    desk.assert_books_agree()


def test_fm20_a_window_is_resolved_by_the_venue_after_its_close_and_once(desk: Desk) -> None:
    window = desk.window(closes_in_s=4)
    claim = desk.hold(window)
    settle = "SELECT settle(%s, %s, %s, 'gamma', now(), 'UP')"
    with pytest.raises(psycopg.Error, match="not over"):
        desk.do("reconciler", settle, window, 1, 0)
    desk.owner.execute("UPDATE windows SET closes_at = clock_timestamp() WHERE window_id = %s", [window])
    assert desk.position(claim)["state"] == "MONITORING", "a close is no result"
    for guess in ((None, None), (1, 1), (Decimal("0.7"), Decimal("0.3")), (0, 0)):
        with pytest.raises(psycopg.errors.CheckViolation):
            desk.do("reconciler", settle, window, *guess)
    assert desk.buckets()["RECEIVABLE"] == 0
    together = threading.Barrier(2)

    def one_of_two() -> bool:
        with psycopg.connect(desk.role_url("onebook_reconciler"), autocommit=True) as connection:
            together.wait(timeout=10)
            row = connection.execute(settle, [window, 1, 0]).fetchone()
            return bool(row and row[0])

    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(one_of_two) for _ in range(2)]
        assert sorted(job.result(timeout=30) for job in jobs) == [False, True]
    assert desk.buckets()["RECEIVABLE"] == 4, "owed, and no cash before it is seen"
    assert desk.buckets()["CASH"] == Decimal("97.95")
    with pytest.raises(psycopg.Error, match="resolved 1/0 already"):
        desk.do("reconciler", settle, window, 0, 1)
    desk.assert_books_agree()


def test_fm22_gross_and_net_differ_by_every_fee_of_both_sides(desk: Desk) -> None:
    claim = desk.hold(shares="4", usdc="2")
    desk.ask_exit(claim, "TAKE_PROFIT")
    sold = desk.exit(claim)
    desk.record(sold.order_id, "MATCHED", shares="4", usdc="2.6", fee_usdc="0.06", trade_ids=["s"])
    desk.trade(sold.order_id, "s", shares="4", usdc="2.6", price="0.65", fee_usdc="0.0637")
    fees = sum(row["fee_usdc"] for row in desk.all("SELECT fee_usdc FROM fills"))
    assert fees == Decimal("0.1137")
    assert desk.buckets()["FEES"] == fees
    gross = -desk.buckets()["PNL"]
    assert gross == Decimal("0.6")
    assert desk.one("SELECT realized_usdc FROM sessions") == {"realized_usdc": gross - fees}
    assert desk.buckets()["CASH"] == 100 + gross - fees, "what is left is the net"
    desk.assert_books_agree()


def test_fm24_who_cannot_report_must_not_trade(desk: Desk, tmp_path: Path) -> None:
    """A watchdog that is frozen answers no health check and beats no more: ten seconds later nothing is claimed."""
    with venue(tmp_path, SOURCE="generator", WINDOW_S="600", FIRST_OPEN_IN_S="1") as simulator:
        street = Street(simulator, desk, tmp_path)
        desk.owner.execute("DELETE FROM heartbeats WHERE service = 'risk_monitor'")
        with service("risk_monitor", street) as watchdog:
            until("it beats", lambda: beaten(desk, "risk_monitor"))
            desk.beat("feed_collector", "reconciler")
            desk.record(desk.enter().order_id, "REFUSED")
            watchdog.process.send_signal(19)  # SIGSTOP

            def refused() -> str | None:
                desk.beat("feed_collector", "reconciler")
                return desk.claim(desk.signal(desk.window())).refused

            desk.control("max_open_positions", "0")  # what is refused for it is refused for that before
            until("it is missed", lambda: refused() == "WATCHDOG_SILENT")
            watchdog.process.send_signal(18)  # SIGCONT
            # Thawed, it beats again; that its loop stood still is told by its own assertion, and may have tripped.
            until("it is back", lambda: refused() in {"MAX_OPEN_POSITIONS", "BREAKER_OPEN"})


def of_mode(desk: Desk, statement: str) -> list[dict[str, Any]]:
    return desk.all(statement.format(mode=desk.mode))


def test_fm26_every_mode_leaves_the_same_rows_but_for_the_mode(
    role_url: Callable[[str], str], database_url: str
) -> None:
    """Bought, partly sold, failed on chain, settled: one table, one path, four modes side by side."""
    pictures = {}
    with Desk(role_url, database_url) as desk:
        for mode in ("PAPER", "DRY_RUN", "LIVE", "BACKTEST"):
            desk.mode = mode
            if mode != "PAPER":
                desk.do(
                    "reconciler", "SELECT book_external(%s, %s, 'DEPOSIT', 100, 'first')", desk.account, mode
                )
            pictures[mode] = picture(desk)
    assert pictures["DRY_RUN"] == pictures["LIVE"] == pictures["BACKTEST"] == pictures["PAPER"]


def picture(desk: Desk) -> Any:
    """Trade once through everything, and return what is in the tables of this mode."""
    window = desk.window()
    claim = desk.hold(window)
    desk.ask_exit(claim)
    sold = desk.exit(claim)
    desk.record(sold.order_id, "MATCHED", shares="3", usdc="1.2", fee_usdc="0.05", trade_ids=["s"])
    desk.trade(sold.order_id, "s", shares="3", usdc="1.2", price="0.4")
    desk.trade(sold.order_id, "s", shares="3", usdc="1.2", price="0.4", state="FAILED")
    desk.trade(claim.order_id, "t1", shares="4", usdc="2", state="FAILED")
    desk.owner.execute("UPDATE windows SET closes_at = clock_timestamp() WHERE window_id = %s", [window])
    desk.do("reconciler", "SELECT settle(%s, 1, 0, 'gamma', now(), 'UP')", window)
    rows = [
        of_mode(desk, "SELECT state, exit_reason, bought_shares, sold_shares, booked_pnl, payout, exit_attempts FROM positions WHERE mode = '{mode}'"),
        of_mode(desk, "SELECT purpose, side, state, explained, traded_shares, failed_shares, reserved_usdc FROM orders WHERE mode = '{mode}' ORDER BY claimed_at"),
        of_mode(desk, "SELECT from_bucket, to_bucket, amount, kind, provisional FROM ledger_entries WHERE mode = '{mode}' ORDER BY entry_id"),
        of_mode(desk, "SELECT kind, details - 'epoch' - 'redemption_id' AS details FROM audit_events WHERE mode = '{mode}' ORDER BY event_id"),
        desk.gate()["breaker_reason"],
    ]  # fmt: skip
    desk.assert_books_agree()
    return rows


def test_fm27_of_a_stop_and_a_profit_at_once_one_decides_and_one_order_goes_out(desk: Desk) -> None:
    """Both rules fire together, again and again, from many sessions: one trigger, one exit, and then nobody touches it."""
    claim = desk.hold()
    together = threading.Barrier(8)

    def fire(reason: str) -> bool:
        with psycopg.connect(desk.role_url("onebook_risk_monitor"), autocommit=True) as connection:
            together.wait(timeout=20)
            row = connection.execute(
                "SELECT request_exit(%s, %s, 0.4, 0.39)", [claim.position_id, reason]
            ).fetchone()
            return bool(row and row[0])

    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(fire, reason) for reason in ("STOP_LOSS", "TAKE_PROFIT") * 4]
        assert sum(job.result(timeout=30) for job in jobs) == 1
    decided = desk.position(claim)["exit_reason"]
    assert desk.one("SELECT count(*) AS n FROM audit_events WHERE kind = 'exit_requested'") == {"n": 1}
    assert desk.exit(claim).refused is None
    for reason in ("STOP_LOSS", "TAKE_PROFIT", "TRAILING_STOP"):
        assert not desk.ask_exit(claim, reason)
    assert desk.exit(claim, attempt=2).refused == "POSITION_NOT_TRIGGERED"
    assert desk.position(claim)["state"] == "EXIT_PENDING"
    assert desk.position(claim)["exit_reason"] == decided
    assert desk.one("SELECT count(*) AS n FROM orders WHERE purpose = 'EXIT'") == {"n": 1}
