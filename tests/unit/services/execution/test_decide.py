"""What execution decides, case by case."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.execution.decide import Wait, may_redeem_again, plan_exit, read_answer
from shared.domain.books import Book, Level
from shared.domain.ids import AccountId, PositionId, SignalId, TokenId, WindowId
from shared.domain.modes import Mode
from shared.domain.orders import OrderEvent, OrderSide, OrderType, Purpose
from shared.domain.outcomes import KnownFailure, Success, Unknown
from shared.domain.positions import ExitReason
from shared.domain.prepared import Accepted, OrderIntent
from shared.domain.readings import ExitDue
from shared.domain.signals import RiskParameters
from shared.domain.windows import FeeSchedule

NOW = datetime(2026, 10, 5, 23, 10, tzinfo=UTC)
TOKEN = TokenId("7" * 70)
FEE = FeeSchedule(Decimal("0.07"), 1)


def book(*bids: tuple[str, str], continuous: bool = True) -> Book:
    levels = tuple(Level(Decimal(price), Decimal(size)) for price, size in bids)
    return Book(TOKEN, levels, (), NOW, NOW, continuous)


DUE = ExitDue(
    now=NOW,
    account_id=AccountId("canary"),
    mode=Mode.LIVE,
    position_id=PositionId("pos-1"),
    signal_id=SignalId("sig-1"),
    window_id=WindowId("btc-updown-15m-1"),
    token_id=TOKEN,
    reason=ExitReason.STOP_LOSS,
    requested_at=NOW - timedelta(seconds=1),
    attempts=0,
    last_attempt_at=None,
    mined_shares=Decimal("4.337"),
    selling_shares=Decimal(0),
    held_shares=Decimal("4.337"),
    risk=RiskParameters(),
    closes_at=NOW + timedelta(seconds=60),
    tick=Decimal("0.01"),
    neg_risk=False,
    version="v1",
    fee=FEE,
    book=book(("0.40", "100")),
)


def sell(due: ExitDue) -> OrderIntent:
    plan = plan_exit(due)
    assert isinstance(plan, OrderIntent), plan
    return plan


def test_an_exit_sells_what_is_mined_floored_to_the_lot_below_the_bid() -> None:
    plan = sell(DUE)
    assert (plan.purpose, plan.side, plan.order_type) == (Purpose.EXIT, OrderSide.SELL, OrderType.FAK)
    assert plan.amount == Decimal("4.33")
    assert plan.limit_price == Decimal("0.35")


def test_each_attempt_accepts_a_step_less() -> None:
    second = sell(replace(DUE, attempts=1, last_attempt_at=NOW - timedelta(seconds=1)))
    assert second.limit_price < sell(DUE).limit_price


def test_an_emergency_has_no_floor_but_the_venues_minimum() -> None:
    """4.33 shares are worth a dollar at 0.24; 400 at a tick."""
    assert sell(replace(DUE, reason=ExitReason.EMERGENCY)).limit_price == Decimal("0.24")
    many = replace(DUE, reason=ExitReason.EMERGENCY, mined_shares=Decimal(400))
    assert sell(many).limit_price == Decimal("0.01")


def test_a_widened_exit_stays_sellable() -> None:
    assert sell(replace(DUE, attempts=6, last_attempt_at=None)).limit_price == Decimal("0.24")


def test_the_same_attempt_is_the_same_order_and_the_next_another() -> None:
    """The salt and the time are the request's: made again after a restart it has the same id (D3)."""
    first = sell(DUE)
    again = sell(replace(DUE, now=NOW + timedelta(seconds=3)))
    later = sell(replace(DUE, attempts=1, last_attempt_at=NOW - timedelta(seconds=1)))
    assert (first.salt, first.timestamp_ms) == (again.salt, again.timestamp_ms)
    assert (first.salt, first.timestamp_ms) != (later.salt, later.timestamp_ms)


@pytest.mark.parametrize(
    ("due", "why"),
    [
        (replace(DUE, attempts=3, last_attempt_at=NOW - timedelta(milliseconds=999)), "PAUSE"),
        (replace(DUE, mined_shares=Decimal(0)), "NOT_MINED"),
        (replace(DUE, selling_shares=Decimal("4.33")), "NOT_MINED"),
        (replace(DUE, book=None), "NO_BOOK"),
        (replace(DUE, book=book(("0.4", "9"), continuous=False)), "NO_BOOK"),
        (replace(DUE, book=book()), "UNSELLABLE"),
        (replace(DUE, book=book(("0.05", "9"))), "BELOW_VENUE_MINIMUM"),
    ],
)
def test_nothing_goes_out_while(due: ExitDue, why: str) -> None:
    assert plan_exit(due) == Wait(why)


def test_pauses_grow_to_five_seconds_and_no_further() -> None:
    for attempts, seconds in ((1, "0.25"), (2, "0.5"), (5, "4"), (6, "5"), (60, "5")):
        due = replace(DUE, attempts=attempts, last_attempt_at=NOW - timedelta(seconds=float(seconds)))
        assert isinstance(plan_exit(due), OrderIntent)
        earlier = replace(due, last_attempt_at=due.now - timedelta(seconds=float(seconds) - 0.01))
        assert plan_exit(earlier) == Wait("PAUSE")


@pytest.mark.parametrize(
    ("status", "event"),
    [
        ("matched", OrderEvent.MATCHED),
        ("live", OrderEvent.RESTS),
        ("delayed", OrderEvent.DELAYED),
        ("killed", OrderEvent.KILLED),
        ("something new", OrderEvent.LOST),
    ],
)
def test_a_success_is_read_by_its_status_and_a_new_word_is_unknown(status: str, event: OrderEvent) -> None:
    answer = read_answer(Success(Accepted(status, Decimal(0), Decimal(0))), fee=FEE)
    assert answer.event is event


def test_totals_bring_their_provisional_fee() -> None:
    accepted = Accepted("matched", Decimal(10), Decimal("9.5"), trade_ids=("a",))
    answer = read_answer(Success(accepted), fee=FEE)
    assert answer.details["fee_usdc"] == Decimal("0.03325")
    assert answer.details["trade_ids"] == ["a"]


def test_a_refusal_is_known_and_says_whether_it_trips() -> None:
    answer = read_answer(KnownFailure("UNAUTHORIZED", {"status": "401"}, trips=True), fee=FEE)
    assert (answer.event, answer.details["trips"]) == (OrderEvent.REFUSED, True)


@pytest.mark.parametrize("reason", ["FAK_NOT_FILLED", "FOK_NOT_FILLED"])
def test_an_order_that_met_nobody_is_killed_as_on_paper(reason: str) -> None:
    assert read_answer(KnownFailure(reason), fee=FEE).event is OrderEvent.KILLED


def test_what_was_never_sent_is_not_refused() -> None:
    assert read_answer(KnownFailure("NOT_SENT"), fee=FEE).event is OrderEvent.NOT_SENT


def test_not_knowing_is_never_a_failure() -> None:
    answer = read_answer(Unknown("TIMEOUT"), fee=FEE)
    assert (answer.event, answer.details["reason"]) == (OrderEvent.LOST, "TIMEOUT")


def test_a_failed_redemption_is_tried_again_after_a_pause() -> None:
    assert may_redeem_again(now=NOW, last_finished_at=None)
    assert not may_redeem_again(now=NOW, last_finished_at=NOW - timedelta(seconds=4))
    assert may_redeem_again(now=NOW, last_finished_at=NOW - timedelta(seconds=5))
