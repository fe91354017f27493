"""The checker on forged histories: a sound one passes, and each broken promise is caught by the rule that is for it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.simulation.history.operations import End, Journal, Operation, read
from tests.simulation.history.rows import Rows
from tests.simulation.history.rules import RULES, check
from tests.simulation.history.run import late_ms

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
DEFAULTS = {
    "max_exposure_usd": "25", "max_session_loss": "20", "max_instrument_usd": "10", "max_position_usd": "5",
    "max_open_positions": "5", "kill_switch": "OFF",
}  # fmt: skip
D = Decimal
History = tuple[Operation, ...]


def op(function: str, at: float, *, answer: object = None, end: End = End.OK, lasts: float = 0.01, **value: object) -> Operation:  # fmt: skip
    return Operation("p", function, at, {"account": "a", **value}, end, at + lasts, answer)


def claim(order: str, at: float, *, epoch: int = 1, **fields: Any) -> Operation:
    return op("claim", at, order=order, epoch=epoch, **fields)


def send(order: str, at: float, *, epoch: int = 1, shares: str = "4") -> Operation:
    return op("send", at, order=order, epoch=epoch, shares=shares, lasts=0)


def order(name: str, *, state: str = "FILLED", **fields: object) -> dict[str, object]:
    return {
        "order_id": name, "account_id": "a", "window_id": f"w-{name}", "strategy_id": "s", "instrument": "BTC", "purpose": "ENTRY",
        "state": state, "position_id": f"p-{name}", "reserved_usdc": D("2.14"), "eff_usdc": D(2), "eff_fee": D("0.07"),
    } | fields  # fmt: skip


def event(number: int, kind: str, name: str | None = None, **details: object) -> dict[str, object]:
    return {
        "event_id": number, "account_id": "a", "kind": kind, "order_id": name, "position_id": f"p-{name}",
        "window_id": f"w-{name}", "details": details, "at": EPOCH + timedelta(seconds=number),
    }  # fmt: skip


def entry(number: float, source: str, sink: str, amount: str, kind: str, name: str | None = None) -> dict[str, object]:  # noqa: PLR0917  # fmt: skip
    return {
        "entry_id": number, "account_id": "a", "from_bucket": source, "to_bucket": sink, "amount": D(amount), "kind": kind,
        "order_id": name, "position_id": f"p-{name}", "at": EPOCH + timedelta(seconds=number),
    }  # fmt: skip


HISTORY: History = (
    op("take_epoch", 1, answer=1),
    op("mark", 1.5, epoch=1),
    op("deposit", 2, reference="d", amount="20"),
    claim("x", 10),
    send("x", 10.05),
    op("record", 10.1, order="x", event="MATCHED", answer="FILLED"),
    op("trade", 11, order="x", trade="t"),
)
ROWS = Rows(
    orders=(order("x"),),
    positions=({"position_id": "p-x", "account_id": "a", "instrument": "BTC", "strategy_id": "s", "window_id": "w-x"},),
    entries=({"order_id": "x", "account_id": "a", "window_id": "w-x", "strategy_id": "s", "released_at": None},),
    slots=({"order_id": "x", "account_id": "a", "window_id": "w-x", "instrument": "BTC"},),
    audit=(event(1, "epoch_taken", epoch=1), event(10, "entry_claimed", "x", epoch=1), event(12, "order_filled", "x")),
    ledger=(
        entry(2, "EXTERNAL", "CASH", "20", "DEPOSIT"),
        entry(9, "CASH", "RESERVED", "2.14", "claim", "x"),
        entry(13, "RESERVED", "POSITIONS", "2", "order_filled", "x"),
        entry(13.1, "RESERVED", "CASH", "0.07", "order_filled", "x"),
        entry(13.2, "RESERVED", "FEES", "0.07", "order_filled", "x"),
    ),
    fills=({"order_id": "x", "trade_id": "t", "shares": D(4), "state": "CONFIRMED", "side": "BUY", "position_id": "p-x"},),
    balances={("a", "EXTERNAL"): D(-20), ("a", "CASH"): D("17.93"), ("a", "RESERVED"): D(0), ("a", "POSITIONS"): D(2), ("a", "FEES"): D("0.07")},
    defaults=DEFAULTS,
)  # fmt: skip
UNKNOWN = replace(
    ROWS,
    orders=(order("x", state="UNKNOWN", eff_usdc=D(0), eff_fee=D(0)),),
    audit=(*ROWS.audit[:2], event(12, "order_unknown", "x")),
    ledger=ROWS.ledger[:2],
    fills=(),
    balances={("a", "EXTERNAL"): D(-20), ("a", "CASH"): D("17.86"), ("a", "RESERVED"): D("2.14")},
)
UNKNOWN_HISTORY = (
    *HISTORY[:4],
    send("x", 10.05, shares="0"),
    op("record", 10.1, order="x", event="LOST", answer="UNKNOWN"),
)
"""The answer was lost, and so was the order; nobody has found out yet."""


def test_a_sound_history_breaks_no_promise() -> None:
    assert check(HISTORY, ROWS) == []
    assert check(UNKNOWN_HISTORY, UNKNOWN) == []


def with_claim(name: str, at: float, rows: Rows = ROWS, **fields: Any) -> tuple[History, Rows]:
    """The sound history and one more claim, answered, recorded, refused by the venue."""
    number = int(at)
    return (*HISTORY, claim(name, at, **fields)), replace(
        rows,
        orders=(*rows.orders, order(name, state="REJECTED", eff_usdc=D(0))),
        positions=(
            *rows.positions,
            {"position_id": f"p-{name}", "account_id": "a", "instrument": "BTC", "strategy_id": "s", "window_id": f"w-{name}"},
        ),
        audit=(*rows.audit, event(number, "entry_claimed", name, epoch=fields.get("epoch", 1)),
               event(number + 1, "position_void", name, **{"from": "OPENING"})),
        ledger=(*rows.ledger, entry(number - 0.5, "CASH", "RESERVED", "2.14", "claim", name),
                entry(number + 0.5, "RESERVED", "CASH", "2.14", "order_rejected", name)),
    )  # fmt: skip


def forged_stop(stop: Operation, *more: Operation) -> tuple[History, Rows]:
    history, rows = with_claim("y", 30)
    return (*history, stop, *more), rows


def forged_event(*events: dict[str, object]) -> tuple[History, Rows]:
    """A claim after these events, which the operations of the history know nothing of."""
    history, rows = with_claim("y", 30)
    return history, replace(rows, audit=(*rows.audit[:3], *events, *rows.audit[3:]))


def forged_limit(key: str, value: str) -> tuple[History, Rows]:
    return forged_event(event(20, "control_set", key=key, new=value))


FORGED: dict[str, tuple[str, Callable[[], tuple[History, Rows]]]] = {
    "two live orders of one window and strategy": (
        "entered twice", lambda: (HISTORY, replace(ROWS, orders=(*ROWS.orders, order("x", state="LIVE"))))),
    "two entries held at once": ("entered twice", lambda: (HISTORY, replace(ROWS, entries=(*ROWS.entries, *ROWS.entries)))),
    "a third order in a window": ("entered twice", lambda: (HISTORY, replace(ROWS, slots=(*ROWS.slots, *ROWS.slots, *ROWS.slots)))),
    "a claim after a switch": (
        "claimed after a stop", lambda: forged_stop(op("control", 20, key="kill_switch", value="PAUSE"))),
    "a claim after a trip": ("claimed after a stop", lambda: forged_stop(op("trip", 20))),
    "a claim after an answer that was lost": (
        "claimed after a stop", lambda: forged_stop(op("record", 20, order="x", event="LOST", answer="UNKNOWN"))),
    "a claim before the lift that was asked for later": (
        "claimed after a stop", lambda: forged_stop(op("trip", 20), op("reset", 31))),
    "a claim while the Book says OPEN": ("claimed after a stop", lambda: forged_event(event(20, "breaker_tripped"))),
    "a claim while the Book says PAUSE": (
        "claimed after a stop", lambda: forged_event(event(20, "control_set", key="kill_switch", new="PAUSE"))),
    "a claim by an old epoch": (
        "claimed by the past", lambda: forged_stop(op("take_epoch", 20, answer=2))),
    "an old epoch in the Book": ("claimed by the past", lambda: forged_event(event(20, "epoch_taken", epoch=2))),
    "an epoch taken twice": (
        "epochs out of order", lambda: ((*HISTORY, op("take_epoch", 0.5, answer=1)), ROWS)),
    "an epoch that goes back": ("epochs out of order", lambda: ((*HISTORY, op("take_epoch", 0, answer=3)), ROWS)),
    "claimed before anyone compared": ("claimed before compared", lambda: ((HISTORY[0], *HISTORY[2:]), ROWS)),
    "claimed before the comparison began": (
        "claimed before compared", lambda: ((HISTORY[0], *HISTORY[2:], op("mark", 10.02, epoch=1)), ROWS)),
    "sent twice": ("sent wrongly", lambda: ((*HISTORY, send("x", 10.06)), ROWS)),
    "sent before its claim was answered": (
        "sent wrongly", lambda: ((*HISTORY[:4], send("x", 10.005), *HISTORY[5:]), ROWS)),
    "sent too late": ("sent wrongly", lambda: ((*HISTORY[:4], send("x", 10.2), *HISTORY[5:]), ROWS)),
    "sent by one who was succeeded, and held by nobody": (
        "sent wrongly", lambda: ((*HISTORY, op("take_epoch", 10.02, answer=2)), ROWS)),
    "claimed and not there": (
        "not durable", lambda: ((*HISTORY, claim("z", 40)), ROWS)),
    "refused and there": (
        "not durable", lambda: ((*HISTORY[:3], claim("x", 10, end=End.FAIL, answer="KILL_SWITCH")), ROWS)),
    "there and never claimed": ("not durable", lambda: (HISTORY[:3], ROWS)),
    "a trade recorded and not there": (
        "not durable", lambda: ((*HISTORY, op("trade", 12, order="x", trade="t2")), ROWS)),
    "bought at the venue and not in the Book": ("lost at the venue", lambda: (HISTORY, replace(ROWS, fills=()))),
    "bought in the Book and not at the venue": (
        "lost at the venue", lambda: ((*HISTORY[:4], send("x", 10.05, shares="0"), *HISTORY[5:]), ROWS)),
    "sold twice": (
        "sold too much",
        lambda: (HISTORY, replace(ROWS, fills=(*ROWS.fills, {**ROWS.fills[0], "order_id": "e", "side": "SELL", "shares": D(5)})))),
    "two exits at once": (
        "sold too much",
        lambda: (HISTORY, replace(ROWS, orders=(*ROWS.orders, *(order("x", order_id=name, purpose="EXIT", state="LIVE") for name in "ef"))))),
    "an exit by an old epoch": (
        "claimed by the past",
        lambda: ((*HISTORY, op("take_epoch", 20, answer=2), op("claim_exit", 30, order="e", epoch=1)), ROWS)),
    "an exit nobody claimed": (
        "not durable", lambda: (HISTORY, replace(ROWS, orders=(*ROWS.orders, order("x", order_id="e", purpose="EXIT"))))),
    "a bucket overdrawn": (
        "moved from nowhere", lambda: (HISTORY, replace(ROWS, ledger=(*ROWS.ledger, entry(14, "RESERVED", "CASH", "1", "x"))))),
    "a balance that is not the fold": (
        "moved from nowhere", lambda: (HISTORY, replace(ROWS, balances={**ROWS.balances, ("a", "CASH"): D(1000)}))),
    "a deposit booked twice": (
        "moved from nowhere",
        lambda: (HISTORY, replace(ROWS, ledger=(*ROWS.ledger, entry(15, "EXTERNAL", "CASH", "20", "DEPOSIT")),
                                  balances={**ROWS.balances, ("a", "CASH"): D("37.93"), ("a", "EXTERNAL"): D(-40)}))),
    "no such amount": (
        "moved from nowhere", lambda: (HISTORY, replace(ROWS, ledger=(*ROWS.ledger, entry(14, "CASH", "FEES", "0", "x"))))),
    "more exposure than is allowed": ("limit exceeded", lambda: forged_limit("max_exposure_usd", "4")),
    "more deployed than a session may lose": ("limit exceeded", lambda: forged_limit("max_session_loss", "4")),
    "more in an instrument than is allowed": ("limit exceeded", lambda: forged_limit("max_instrument_usd", "4")),
    "more in a position than is allowed": ("limit exceeded", lambda: forged_limit("max_position_usd", "2")),
    "more open than is allowed": ("limit exceeded", lambda: forged_limit("max_open_positions", "1")),
    "entered although entered": ("limit exceeded", lambda: forged_event(event(20, "entry_claimed", "x", epoch=1))),
    "capital of an Unknown released": (
        "unknown let go",
        lambda: (UNKNOWN_HISTORY, replace(UNKNOWN, ledger=(*UNKNOWN.ledger, entry(14, "RESERVED", "CASH", "2.14", "x", "x"))))),
    "the entry of an Unknown released": ("unknown let go", lambda: (UNKNOWN_HISTORY, replace(UNKNOWN, entries=()))),
    "the slot of an Unknown given away": ("unknown let go", lambda: (UNKNOWN_HISTORY, replace(UNKNOWN, slots=()))),
    "a reset over an Unknown": (
        "unknown let go", lambda: (UNKNOWN_HISTORY, replace(UNKNOWN, audit=(*UNKNOWN.audit, event(13, "breaker_reset"))))),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_history_is_caught_by_its_rule(name: str) -> None:
    rule, forge = FORGED[name]
    assert rule in {violation.rule for violation in check(*forge())}


def test_every_rule_has_a_history_that_breaks_it() -> None:
    assert {rule for rule, _ in FORGED.values()} == set(RULES)


@pytest.mark.parametrize(
    "harmless",
    [
        (op("trip", 29.99, lasts=0.1),),  # answered after the claim began: they may have met in either order
        (op("trip", 20), op("reset", 25)),  # lifted in between
        (op("trip", 20), op("reset", 20.005, lasts=0.1)),  # perhaps lifted at once
        (op("trip", 20), op("reset", 15, end=End.INFO)),  # lost, and may be done at any time since
        (op("trip", 20, end=End.INFO),),  # it may never have happened
        (op("control", 20, key="max_open_positions", value="5"),),
        (op("trip", 20, account="b"),),
    ],
)
def test_what_may_have_been_lawful_is_not_accused(harmless: tuple[Operation, ...]) -> None:
    history, rows = with_claim("y", 30)
    assert "claimed after a stop" not in {each.rule for each in check((*history, *harmless), rows)}


def test_an_order_whose_match_failed_on_chain_was_never_filled() -> None:
    failed = order("x", order_id="first", eff_usdc=D(0), eff_fee=D(0))
    assert "entered twice" not in {
        each.rule for each in check(HISTORY, replace(ROWS, orders=(failed, *ROWS.orders)))
    }


def test_the_last_act_after_a_switch_is_measured_from_its_answer() -> None:
    history = (*HISTORY, op("control", 10.02, key="kill_switch", value="PAUSE", lasts=0.01))
    assert late_ms(history, "claim") == [0]
    assert late_ms(history, "send") == [pytest.approx(20)]
    lifted = (*history, claim("y", 10.1, lasts=0.5), op("control", 10.2, key="kill_switch", value="OFF"))
    assert late_ms(lifted, "claim") == [0], "it may have waited for the lift"


def test_a_journal_is_read_as_it_was_written_and_who_died_leaves_no_end(tmp_path: Any) -> None:
    path = tmp_path / "history.jsonl"
    journal = Journal(path, "one")
    done, lost = journal.invoke("claim", order="x"), journal.invoke("claim", order="y")
    journal.complete(done, End.OK, 7)
    journal.close()
    assert lost == "one#2"
    first, second = read(path)
    assert (first.end, first.answer, first.value) == (End.OK, 7, {"order": "x"})
    assert (second.end, second.completed_at, second.last_at) == (End.INFO, None, float("inf"))
