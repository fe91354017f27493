import json
from copy import deepcopy
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from deploy.local.summary.queries import BookAccount, BookFill, BookOrder, BookSide
from deploy.local.summary.summary import Run, compare, summarise, write

ORDER, OTHER = "0x" + "a" * 64, "0x" + "b" * 64
TOKEN = "7" * 70
WALLET = "0xWallet"
ACCOUNT = BookAccount(
    "desk",
    deposited=Decimal(100),
    cash=Decimal("97.929999"),
    reserved=Decimal(0),
    positions=Decimal(0),
    receivable=Decimal(0),
    gross_pnl=Decimal("-2.000001"),
    fees=Decimal("0.07"),
    tokens={TOKEN: Decimal(4)},
)
FILL = BookFill(
    "desk", ORDER, "trade-1", TOKEN, "BUY", Decimal(4), Decimal("2.000001"), Decimal("0.07"), "CONFIRMED"
)
BOOK = BookSide(
    accounts=(ACCOUNT,),
    orders=(BookOrder(ORDER, "desk", "FILLED", Decimal(4)), BookOrder(OTHER, "desk", "REJECTED", Decimal(0))),
    fills=(FILL,),
    windows_traded=1,
    signals={"ORDERED": 2, "REFUSED": 1},
    refusals={"PRICE_MOVED": 1},
    positions={"CLOSED": 1, "VOID": 1},
    signal_to_sent_ms=(Decimal("4.500"), Decimal("9.000")),
    breakers_open=(),
)
TRUTH: dict[str, Any] = {
    "wallets": {
        WALLET: {
            "deposited": "100.000000",
            "cash": "97.929999",
            "cash_pending": "0.000000",
            "tokens": {TOKEN: {"mined": "4.000000", "unmined": "0.000000", "leaving": "0.000000"}},
        }
    },
    "orders": [
        {"id": ORDER, "wallet": WALLET, "status": "MATCHED", "matched": "4.000000", "failed": "0.000000"}
    ],
    "trades": [
        {
            "id": "trade-1",
            "order": ORDER,
            "wallet": WALLET,
            "token": TOKEN,
            "side": "BUY",
            "shares": "4.000000",
            "cash": "2.000001",
            "fee": "0.070000",
            "status": "CONFIRMED",
        }
    ],
}
WALLETS = {"desk": WALLET}
RUN = Run("LIVE", 1, "sample", 60, 1, 1, "2026-11-20T12:00:00.000+00:00", 90, {}, [])


def differences(book: BookSide = BOOK, truth: dict[str, Any] = TRUTH) -> list[str]:
    return list(compare(book, truth, WALLETS))


def changed(*path: object, value: object) -> dict[str, Any]:
    truth: Any = deepcopy(TRUTH)
    place = truth
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return truth


def without(key: str) -> dict[str, Any]:
    return {**TRUTH, key: []}


def test_equal_books_have_no_difference():
    assert differences() == []


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("wallets", WALLET, "cash"), "97.929998", "desk: cash: Book 97.929999, venue 97.929998 USDC"),
        (
            ("wallets", WALLET, "deposited"),
            "100.000001",
            "desk: deposits: Book 100.000000, venue 100.000001 USDC",
        ),
        (("wallets", WALLET, "cash_pending"), "-0.000001", "desk: money not settled"),
        (("wallets", WALLET, "tokens", TOKEN, "mined"), "3.999999", "token 777777777777…: Book 4.000000"),
        (("wallets", WALLET, "tokens"), {}, "token 777777777777…: Book 4.000000, venue 0.000000 shares"),
        (("orders", 0, "matched"), "4.000001", "Book 4.000000, venue 4.000001 shares traded"),
        (("trades", 0, "fee"), "0.070011", "trade trade-1: fee: Book 0.070000, venue 0.070011"),
        (("trades", 0, "shares"), "4.000001", "trade trade-1: shares"),
        (("trades", 0, "cash"), "2.000000", "trade trade-1: USDC"),
        (("trades", 0, "side"), "SELL", "trade trade-1: Book BUY, venue SELL"),
        (("trades", 0, "status"), "FAILED", "is in the Book and not at the venue"),
    ],
)
def test_a_micro_unit_of_difference_is_said(path: tuple[object, ...], value: object, says: str):
    assert any(says in each for each in differences(truth=changed(*path, value=value)))


def test_orders_and_trades_are_compared_both_ways():
    assert any("unknown to the venue" in each for each in differences(truth=without("orders")))
    assert any("not at the venue" in each for each in differences(truth=without("trades")))
    stranger = replace(BOOK, orders=(), fills=())
    said = differences(stranger)
    assert any("order 0xaaaaaaaaaaaa… is at the venue (MATCHED) and not in the Book" in each for each in said)
    assert any("trade trade-1 of order" in each and "not in the Book" in each for each in said)


def test_a_refused_order_need_not_be_remembered_by_the_venue_but_an_unknown_one_must():
    assert differences() == []
    unknown = replace(BOOK, orders=(BOOK.orders[0], replace(BOOK.orders[1], state="UNKNOWN")))
    assert [each for each in differences(unknown) if "is UNKNOWN in the Book" in each]


def test_another_wallets_orders_are_not_ours():
    assert (
        differences(truth=changed("orders", value=[*TRUTH["orders"], {"id": OTHER, "wallet": "0xElse"}]))
        == []
    )


def test_a_wallet_the_venue_does_not_know_is_a_difference():
    assert "desk: the venue has no such wallet" in differences(truth=changed("wallets", value={}))


def summary(
    book: BookSide = BOOK, run: Run = RUN, proofs: tuple[str, ...] = (), wallets=WALLETS
) -> dict[str, Any]:
    return summarise(run, book, TRUTH, wallets, proofs)


def test_the_summary_counts_and_adds_up_in_exact_text():
    found = summary()
    assert found["ok"]
    assert found["mismatches"] == 0
    assert (found["signals"], found["orders"], found["fills"], found["positions"]) == (3, 2, 1, 2)
    assert found["orders_by_state"] == {"FILLED": 1, "REJECTED": 1}
    assert (found["gross_pnl_usdc"], found["fees_usdc"], found["net_pnl_usdc"]) == (
        "-2.000001",
        "0.070000",
        "-2.070001",
    )
    assert found["simulator"]["desk"] == {"cash_usdc": "97.929999", "tokens": {TOKEN: "4.000000"}}
    assert found["signal_to_sent_ms"] == {"median": "4.500", "p99": "9.000"}


@pytest.mark.parametrize(
    "found",
    [
        summary(replace(BOOK, positions={"MONITORING": 1})),
        summary(proofs=("CASH: stored 1, entries say 2",)),
        summary(run=replace(RUN, problems=["time is over"])),
        summary(replace(BOOK, fills=())),
    ],
    ids=["open position", "ledger", "problem", "difference"],
)
def test_it_is_only_well_when_everything_is_over_and_agrees(found: dict[str, Any]):
    assert not found["ok"]


def test_in_paper_no_order_may_have_reached_the_venue():
    found = summary(wallets={})
    assert found["mismatches"] == 1
    assert "reached the venue in a mode in which none may" in found["differences"][0]


def test_an_empty_run_has_no_latency():
    assert summary(replace(BOOK, signal_to_sent_ms=None))["signal_to_sent_ms"] is None


def test_the_summary_is_written_as_json(tmp_path):
    write(summary(), tmp_path / "new" / "s.json")
    assert json.loads((tmp_path / "new" / "s.json").read_text())["mismatches"] == 0


def test_a_fee_rounded_the_other_way_is_no_difference_while_the_cash_agrees():
    assert differences(truth=changed("trades", 0, "fee", value="0.070010")) == []
