"""Each check of the matrix, seen failing: what is wrong is said, and what is right is silent."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.simulation.matrix import checks
from tests.simulation.matrix.evidence import Evidence

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
TOKEN = "7" * 70
ORDER, TRADE, POSITION = "0xaa", "t1", "pos"


def after(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def entry(number: int, source: str, target: str, amount: str, **more: Any) -> dict[str, Any]:
    row = {
        "entry_id": number, "from_bucket": source, "to_bucket": target, "amount": Decimal(amount), "kind": "fact",
        "position_id": POSITION, "at": after(number), "writer": str(number),
    }  # fmt: skip
    return row | more


def event(number: int, kind: str, **more: Any) -> dict[str, Any]:
    row = {
        "event_id": number, "kind": kind, "order_id": ORDER, "position_id": POSITION, "details": {}, "at": after(number),
        "writer": str(number),
    }  # fmt: skip
    return row | more


def whole() -> Evidence:
    """A window that was lost: bought for 3 with a fee of 0.1, worth nothing in the end."""
    return Evidence(
        orders=[{"order_id": ORDER, "state": "FILLED", "claimed_at": AT, "sent_at": after(0.05)}],
        fills=[
            {"order_id": ORDER, "trade_id": TRADE, "state": "CONFIRMED", "shares": Decimal(6), "usdc": Decimal(3)}
        ],
        positions=[
            {
                "position_id": POSITION, "window_id": "w", "token_id": TOKEN, "state": "CLOSED",
                "bought_shares": Decimal(6), "sold_shares": Decimal(0),
            }
        ],
        ledger=[
            entry(1, "EXTERNAL", "CASH", "100", kind="DEPOSIT", position_id=None),
            entry(2, "CASH", "RESERVED", "3.3"),
            entry(5, "RESERVED", "POSITIONS", "3"),
            entry(6, "RESERVED", "FEES", "0.1"),
            entry(7, "RESERVED", "CASH", "0.2"),
            entry(8, "POSITIONS", "PNL", "3"),
        ],
        balances={"CASH": Decimal("96.9"), "FEES": Decimal("0.1"), "PNL": Decimal(3), "EXTERNAL": Decimal(-100)},
        audit=[
            event(2, "entry_claimed"),
            event(3, "order_unknown"),
            event(5, "order_filled"),
        ],
        breaker=[{"state": "OPEN", "reason": "ORDER_UNKNOWN", "context": {}, "at": after(3), "writer": "3"}],
        gate={"breaker": "OPEN"},
        venue_wallet={"cash": "96.9", "tokens": {TOKEN: {"mined": "6", "unmined": "0"}}},
        venue_orders=[
            {"id": ORDER, "slug": "w", "side": "BUY", "created_ms": int(after(0.06).timestamp() * 1000), "matched": "6", "status": "MATCHED",
             "failed": "0"}
        ],
        venue_trades=[
            {"id": TRADE, "order": ORDER, "status": "CONFIRMED", "shares": "6", "cash": "3", "net_cash": "-3.1"}
        ],
        posts={ORDER: 1},
        arrivals=[{"id": ORDER, "arrived_ms": int(after(0.06).timestamp() * 1000)}],
    )  # fmt: skip


def test_what_is_whole_is_silent() -> None:
    assert checks.problems(whole()) == []


def changed(name: str, number: int, **fields: Any) -> Callable[[Evidence], Evidence]:
    def change(found: Evidence) -> Evidence:
        rows = list(getattr(found, name))
        rows[number] = rows[number] | fields
        values: dict[str, Any] = {name: rows}
        return replace(found, **values)

    return change


def added(name: str, row: dict[str, Any]) -> Callable[[Evidence], Evidence]:
    def add(found: Evidence) -> Evidence:
        more: dict[str, Any] = {name: [*getattr(found, name), row]}
        return replace(found, **more)

    return add


def made(**fields: Any) -> Callable[[Evidence], Evidence]:
    return lambda found: replace(found, **fields)


SECOND = {
    "id": "0xbb", "slug": "w", "side": "BUY", "created_ms": int(after(2).timestamp() * 1000), "matched": "0", "failed": "0", "status": "CANCELED",
}  # fmt: skip


def twice(found: Evidence, *, matched: str, known: float) -> Evidence:
    """A second entry claimed at 2 s, after one that kept so much and was known to be gone at ``known``."""
    first = found.orders[0] | {"recorded_at": after(known)}
    second = found.orders[0] | {"order_id": "0xbb", "claimed_at": after(2), "sent_at": after(2)}
    return replace(
        found,
        orders=[first, second],
        venue_orders=[found.venue_orders[0] | {"matched": matched}, SECOND],
    )


BROKEN: list[tuple[str, Callable[[Evidence], Evidence]]] = [
    ("one_entry_a_window", added("venue_orders", SECOND)),
    ("one_entry_a_window", lambda found: twice(found, matched="0", known=3)),
    ("nothing_sent_twice", made(posts={ORDER: 2})),
    ("every_venue_order_is_written", added("venue_orders", SECOND | {"slug": "other"})),
    ("every_trade_is_booked", made(fills=[])),
    ("every_trade_is_booked", made(venue_trades=[])),
    ("every_trade_is_booked", changed("fills", 0, state="FAILED")),
    ("every_trade_is_booked", changed("fills", 0, usdc=Decimal("3.000001"))),
    ("money_is_constant", added("ledger", entry(9, "EXTERNAL", "CASH", "0.000001", kind="CORRECTION"))),
    ("money_is_constant", changed("ledger", 2, to_bucket="NOWHERE")),
    ("money_is_constant", changed("ledger", 0, amount=Decimal(99))),
    ("cash_is_the_venues", made(balances=whole().balances | {"CASH": Decimal("96.900001")})),
    ("cash_is_the_venues", made(venue_wallet=whole().venue_wallet | {"cash": "96.899999"})),
    ("cash_is_the_venues", made(balances=whole().balances | {"RESERVED": Decimal("0.000001")})),
    ("tokens_are_the_venues", changed("positions", 0, sold_shares=Decimal("0.01"))),
    ("tokens_are_the_venues", made(venue_redemptions=[{"slug": "w", "paid": "0"}])),
    ("nothing_is_unfinished", changed("orders", 0, state="UNKNOWN")),
    ("nothing_is_unfinished", changed("positions", 0, state="REDEEMING")),
    ("nothing_is_unfinished", made(redemptions=[{"redemption_id": "r", "state": "CLAIMED"}])),
    ("unknown_keeps_its_capital", changed("ledger", 4, at=after(4))),
    ("unknown_opens_the_breaker", made(breaker=[])),
    ("unknown_opens_the_breaker", changed("breaker", 0, writer="4", at=after(4))),
    (
        "unknown_opens_the_breaker",
        added("breaker", {"state": "CLOSED", "reason": "x", "context": {}, "at": after(4), "writer": "9"}),
    ),
    (
        "no_claim_after_a_stop",
        made(audit=[event(1, "breaker_tripped", details={"reason": "x"}), *whole().audit]),
    ),
    (
        "no_claim_after_a_stop",
        made(audit=[event(1, "control_set", details={"key": "kill_switch", "new": "PAUSE"}), *whole().audit]),
    ),
    ("sends_follow_their_claims", changed("orders", 0, sent_at=after(0.101))),
    (
        "sends_follow_their_claims",
        changed("arrivals", 0, arrived_ms=int(after(0.86).timestamp() * 1000)),
    ),
    ("sends_follow_their_claims", changed("arrivals", 0, id="0xbb")),
    ("states_are_the_venues", changed("orders", 0, state="KILLED")),
    (
        "states_are_the_venues",
        lambda found: changed("orders", 0, state="NOT_SENT")(twice(found, matched="0", known=1)),
    ),
    (
        "states_are_the_venues",
        lambda found: changed("orders", 0, state="REJECTED")(changed("venue_orders", 0, matched="0")(found)),
    ),
    ("books_are_whole", made(ledger_differences=[{"what": "CASH", "stored": 1, "folded": 2}])),
    ("books_are_whole", made(audit_broken=7)),
    (
        "no_defect_was_told",
        added(
            "breaker", {"state": "OPEN", "reason": "LATE_FILL", "context": {}, "at": after(9), "writer": "9"}
        ),
    ),
    ("no_defect_was_told", made(discrepancies=[{"kind": "ORDER_UNWRITTEN", "subject": ORDER}])),
]


@pytest.mark.parametrize(
    ("check", "breaking"), BROKEN, ids=[f"{n}-{name}" for n, (name, _) in enumerate(BROKEN)]
)
def test_a_broken_promise_is_told_by_its_check(check: str, breaking: Callable[[Evidence], Evidence]) -> None:
    assert check in {problem.partition(":")[0] for problem in checks.problems(breaking(whole()))}


def test_every_check_is_seen_failing() -> None:
    assert {name for name, _ in BROKEN} == {check.__name__ for check in checks.CHECKS}


def test_a_second_entry_is_lawful_once_the_first_is_known_to_be_gone_without_a_share() -> None:
    assert list(checks.one_entry_a_window(twice(whole(), matched="0", known=1))) == []


def test_a_refusal_after_the_venue_took_the_order_in_is_one_when_it_threw_it_out() -> None:
    thrown = changed("venue_orders", 0, matched="0", status="CANCELED")(whole())
    assert list(checks.states_are_the_venues(changed("orders", 0, state="REJECTED")(thrown))) == []
