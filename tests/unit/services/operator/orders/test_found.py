"""How a found order would have been written, and what an Unknown still lacks."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.operator.orders.found import Adoptable, NotYet, adoptable, lines, proofs_shown
from services.operator.orders.queries import Evidence, TradedWindow, UnknownOrder
from shared.domain.modes import Mode
from shared.domain.orders import OrderEvent, OrderSide, OrderType
from shared.domain.trades import FillState, VenueTrade
from shared.domain.windows import FeeSchedule
from shared.venue.accounts import OrderReading, OrderStatus

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
WINDOW = TradedWindow("btc-1", FeeSchedule(Decimal("0.07"), 1, True))
READING = OrderReading(
    order_id="0x1",
    status=OrderStatus.MATCHED,
    status_text="MATCHED",
    condition_id="0xc",
    token_id="11",
    side=OrderSide.BUY,
    price=Decimal("0.5"),
    shares=Decimal(4),
    matched_shares=Decimal(4),
    trade_ids=("t1",),
    created_at=NOW,
    order_type=OrderType.FAK,
)
TRADE = VenueTrade(
    order_id="0x1",
    trade_id="t1",
    token_id="11",
    side=OrderSide.BUY,
    shares=Decimal(4),
    price=Decimal("0.5"),
    usdc=Decimal(2),
    fee_usdc=Decimal("0.07"),
    state=FillState.CONFIRMED,
    matched_at=NOW,
)
RESTING = replace(
    READING, status=OrderStatus.LIVE, matched_shares=Decimal(0), trade_ids=(), order_type=OrderType.GTC
)


def test_a_matched_purchase_sets_aside_what_it_cost_at_most():
    fits = adoptable(READING, [TRADE], WINDOW)
    assert isinstance(fits, Adoptable)
    assert fits.event is OrderEvent.MATCHED
    assert (fits.fields["maker_amount"], fits.fields["taker_amount"]) == (2, 4)
    assert fits.fields["reserved_usdc"] == Decimal("2.07")
    dearer = adoptable(READING, [replace(TRADE, usdc=Decimal("2.5"))], WINDOW)
    assert dearer.fields["reserved_usdc"] == Decimal("2.57"), "a fact is covered, whatever the order said"


def test_a_sale_offers_its_shares_and_sets_nothing_aside():
    fits = adoptable(replace(RESTING, side=OrderSide.SELL), [], WINDOW)
    assert (fits.event, fits.fields["maker_amount"], fits.fields["reserved_usdc"]) == (OrderEvent.RESTS, 4, 0)


def test_an_order_whose_trades_are_not_all_listed_waits():
    fits = adoptable(READING, [replace(TRADE, shares=Decimal(3))], WINDOW)
    assert isinstance(fits, NotYet)
    assert "3 of its 4 shares" in fits.why


def test_an_order_the_venue_calls_invalid_is_none():
    assert isinstance(adoptable(replace(READING, status=OrderStatus.INVALID), [], WINDOW), NotYet)


@pytest.mark.parametrize(("reading", "kind"), [(READING, "FAK"), (RESTING, "GTC")])
def test_a_type_the_venue_does_not_say_follows_from_how_it_stands(reading, kind):
    fits = adoptable(replace(reading, order_type=None), [TRADE] if reading is READING else [], WINDOW)
    assert fits.fields["order_type"] == kind


def unknown(*evidence, **changes):
    values = {
        "order_id": "0x1",
        "account_id": "desk",
        "mode": Mode.LIVE,
        "window_id": "btc-1",
        "purpose": "ENTRY",
        "reason": "TIMEOUT",
        "reserved_usdc": "2.14",
        "claimed_at": NOW,
        "closes_at": NOW + timedelta(minutes=5),
        "now": NOW + timedelta(minutes=1),
        "evidence": evidence,
    }
    return UnknownOrder(**(values | changes))


def looked(**proofs):
    return Evidence(NOW, "ORDER_READ", "NOTHING", "reconciler", proofs)


ANSWER = Evidence(NOW, "ANSWER", "NOTHING", "POST /order", {"reason": "TIMEOUT"})
LOOK = looked(venue_closed=False, order_unknown=True, no_trade=True, balance_equal=True)


def test_every_piece_of_evidence_is_told_with_what_it_proves():
    told = "\n".join(lines(unknown(ANSWER, LOOK)))
    assert "ANSWER from POST /order proves NOTHING  reason=TIMEOUT" in told
    assert "holds 2.14 USDC" in told


def test_the_newest_look_says_which_proof_is_there_and_which_is_missing_until_when():
    told = list(lines(unknown(ANSWER, looked(venue_closed=False, order_unknown=False), LOOK)))
    assert sum(line.startswith("    yes") for line in told) == 3
    (missing,) = [line for line in told if line.startswith("    missing")]
    assert "market closed: not before the window ends at 12:05:00 UTC" in missing


def test_after_the_end_the_venue_is_waited_for_and_then_wondered_at():
    soon = "\n".join(lines(unknown(LOOK, now=NOW + timedelta(minutes=6))))
    late = "\n".join(lines(unknown(LOOK, now=NOW + timedelta(minutes=8))))
    assert "within about two minutes" in soon
    assert "see the reconciler's log" in late


def test_before_anybody_looked_all_four_are_missing():
    assert proofs_shown(unknown(ANSWER)) == {}
    assert sum(line.startswith("    missing") for line in lines(unknown(ANSWER))) == 4
