"""Corners of the Book's functions that chance seldom visits, each a sequence that once parted them from their model."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from shared.domain.ledger import Bucket
from shared.domain.model import book as facts
from shared.domain.modes import Mode
from shared.domain.orders import OrderEvent
from shared.domain.positions import ExitReason, PositionState
from shared.domain.redemptions import RedemptionEvent
from shared.domain.settlement import Payouts
from shared.domain.trades import FillState
from shared.domain.windows import Side
from tests.factories import order_hash
from tests.integration.both_books import BothBooks, RealBook

pytestmark = pytest.mark.integration

UP_WINS = Payouts(Decimal(1), Decimal(0))


@pytest.fixture
def both(database_url: str) -> Iterator[BothBooks]:
    real = RealBook(database_url)
    yield BothBooks(real, Mode.LIVE)
    real.connection.close()


def fill(shares: str, usdc: str, state: FillState = FillState.MINED, fee: str = "0.05") -> facts.ModelFill:
    return facts.ModelFill(Decimal(shares), Decimal(usdc), Decimal(fee), state)


def enter(both: BothBooks, *, window: str = "a", strategy: str = "canary") -> tuple[str, str]:
    """Claim an entry of two dollars; returns order and position."""
    signal = both.signal(f"{both.account}-{window}", strategy, Side.UP)
    assert both.claim_entry(signal, Decimal(2)) is None
    return order_hash(signal), f"pos-{signal}"


def hold(both: BothBooks) -> tuple[str, str]:
    """Hold four shares for two dollars, mined."""
    order, position = enter(both)
    both.record_outcome(
        order, OrderEvent.MATCHED, facts.Report(Decimal(4), Decimal(2), Decimal("0.05"), ("t1",))
    )
    both.apply_trade(order, "t1", fill("4", "2"))
    return order, position


def resolve(both: BothBooks, payouts: Payouts = UP_WINS) -> str:
    window = f"{both.account}-a"
    both.close_window(window)
    both.settle(window, payouts)
    return window


def state(both: BothBooks, position: str) -> PositionState:
    return both.book.positions[position].state


def cash(both: BothBooks) -> Decimal:
    return facts.balances(both.book)[Bucket.CASH]


def test_a_late_fill_gives_the_strategy_its_entry_back_so_it_has_no_second_one(both: BothBooks) -> None:
    order, position = enter(both)
    both.record_outcome(order, OrderEvent.REFUSED)
    both.apply_trade(order, "t1", fill("4", "2"))
    both.request_exit(position, ExitReason.FLATTEN)
    both.set_control("kill_switch", "FLATTEN")
    sell = both.claim_exit(position, Decimal(4))
    assert sell is not None
    both.record_outcome(sell, OrderEvent.MATCHED, facts.Report(Decimal(4), Decimal(2), Decimal("0.05")))
    assert state(both, position) is PositionState.CLOSED
    both.set_control("kill_switch", "OFF")
    both.reset_breaker()
    again = both.signal(f"{both.account}-a", "canary", Side.UP)
    assert both.claim_entry(again, Decimal(2)) == "ALREADY_ENTERED"


@pytest.mark.parametrize("event", [OrderEvent.REFUSED, OrderEvent.KILLED, OrderEvent.NOT_SENT])
def test_a_fill_of_an_order_held_for_dead_is_kept_and_stops_trading(
    both: BothBooks, event: OrderEvent
) -> None:
    order, position = enter(both)
    both.record_outcome(order, event)
    both.apply_trade(order, "t1", fill("4", "2"))
    assert both.book.gate.reason == "LATE_FILL"
    assert state(both, position) is PositionState.MONITORING


def test_no_share_is_offered_twice_or_before_it_is_mined(both: BothBooks) -> None:
    order, position = enter(both)
    both.apply_trade(order, "t1", fill("4", "2", FillState.MATCHED))
    both.record_outcome(order, OrderEvent.KILLED)
    both.request_exit(position, ExitReason.STOP_LOSS)
    assert both.claim_exit(position, Decimal(1)) is None, "not mined"
    both.apply_trade(order, "t1", fill("4", "2", FillState.MINED))
    assert both.claim_exit(position, Decimal("4.01")) is None, "more than there is"
    sell = both.claim_exit(position, Decimal(3))
    assert sell is not None
    both.record_outcome(sell, OrderEvent.MATCHED, facts.Report(Decimal(3), Decimal("1.2"), Decimal(0)))
    assert both.claim_exit(position, Decimal("1.01")) is None, "three are sold"
    assert both.claim_exit(position, Decimal(1)) is not None


def test_an_answer_after_its_first_trade_still_opens_the_whole_position(both: BothBooks) -> None:
    order, position = enter(both)
    both.apply_trade(order, "t1", fill("1", "0.5"))
    both.record_outcome(
        order, OrderEvent.MATCHED, facts.Report(Decimal(4), Decimal(2), Decimal("0.1"), ("t1", "t2"))
    )
    assert facts.shares_held(both.book, position) == 4
    both.apply_trade(order, "t2", fill("2.999999", "1.5"))
    assert facts.shares_held(both.book, position) == Decimal("3.999999")


def test_a_redemption_books_the_cash_that_came_though_the_position_grew_meanwhile(both: BothBooks) -> None:
    order, _ = hold(both)
    window = resolve(both)
    both.claim_redeem(window)
    both.apply_trade(order, "t2", fill("1", "0.5", fee="0"))
    before = cash(both)
    both.record_redemption(f"red-{window}-1", RedemptionEvent.PAID)
    assert cash(both) == before + 4


def test_a_failed_redemption_of_a_position_that_was_undone_meanwhile_leaves_nothing(both: BothBooks) -> None:
    order, position = hold(both)
    window = resolve(both)
    both.claim_redeem(window)
    both.apply_trade(order, "t1", fill("4", "2", FillState.FAILED))
    both.record_redemption(f"red-{window}-1", RedemptionEvent.FAILED)
    assert state(both, position) is PositionState.VOID
    assert cash(both) == 15


def test_cash_that_was_proved_stays_though_its_match_is_said_to_have_failed(both: BothBooks) -> None:
    order, _ = hold(both)
    window = resolve(both)
    both.claim_redeem(window)
    both.record_redemption(f"red-{window}-1", RedemptionEvent.PAID)
    both.apply_trade(order, "t1", fill("4", "2", FillState.FAILED))
    assert cash(both) == 15 + 4, "the cost came back, and the four dollars were seen"


def test_shares_given_back_by_a_failed_sell_after_the_redemption_are_owed_again(both: BothBooks) -> None:
    _, position = hold(both)
    both.request_exit(position, ExitReason.STOP_LOSS)
    sell = both.claim_exit(position, Decimal(1))
    assert sell is not None
    both.record_outcome(
        sell, OrderEvent.MATCHED, facts.Report(Decimal(1), Decimal("0.4"), Decimal(0), ("s1",))
    )
    both.apply_trade(sell, "s1", fill("1", "0.4", fee="0"))
    window = resolve(both)
    both.claim_redeem(window)
    both.record_redemption(f"red-{window}-1", RedemptionEvent.PAID)
    assert state(both, position) is PositionState.CLOSED
    both.apply_trade(sell, "s1", fill("1", "0.4", FillState.FAILED))
    assert facts.balances(both.book)[Bucket.RECEIVABLE] == 1
    assert state(both, position) is PositionState.SETTLEMENT
    both.claim_redeem(window)
    both.record_redemption(f"red-{window}-2", RedemptionEvent.PAID)
    assert state(both, position) is PositionState.CLOSED
    assert cash(both) == 15 - 2 - Decimal("0.05") + 4


def test_a_withdrawal_that_leaves_less_than_nothing_is_booked_and_trips(both: BothBooks) -> None:
    both.book_external("WITHDRAWAL", Decimal(-16), "w1")
    assert both.book.gate.reason == "CAPITAL_INVARIANT"


@pytest.mark.parametrize("amount", [Decimal("0.00001"), Decimal("-0.00001")])
def test_a_residue_of_fees_is_a_fee_whichever_way_it_went(both: BothBooks, amount: Decimal) -> None:
    both.book_external("FEE_ROUNDING", amount, "f1")
    assert facts.balances(both.book)[Bucket.FEES] == -amount
