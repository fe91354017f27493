from datetime import timedelta
from decimal import Decimal

import pytest

from shared.domain.books import Book, Level
from shared.domain.ids import AccountId
from shared.domain.orders import OrderSide, OrderType
from shared.domain.outcomes import KnownFailure, Success
from shared.domain.trades import FillState
from shared.venue.executor import NOT_SENT, Executor, RedemptionStage, TradedMarket
from shared.venue.order_struct import build_order
from shared.venue.paper import PaperTrading, book_walk, paper_address
from tests.unit.shared.venue.venue_values import (
    CONDITION,
    FEE,
    NOW,
    OTHER_TOKEN,
    OWNER,
    REDEMPTION,
    TOKEN,
    intent,
)

MARKET = TradedMarket(CONDITION, FEE)
PAPER = PaperTrading(paper_address(AccountId("default")))


def book(asks=(("0.50", "1"), ("0.55", "100")), bids=(("0.48", "100"),), token=TOKEN):
    def side(levels):
        return tuple(Level(Decimal(price), Decimal(size)) for price, size in levels)

    return Book(token, side(bids), side(asks), NOW, NOW)


def yes():
    return True


async def test_a_paper_order_has_the_id_a_live_one_of_its_maker_would_have():
    prepared = PAPER.prepare(intent())
    maker = paper_address(AccountId("default"))
    assert prepared.order_id == build_order(intent(), maker=maker, signer=maker, signature_type=0).order_id()
    assert '"signature":""' in prepared.body
    assert paper_address(AccountId("other")) != maker


async def test_the_stored_book_is_walked_level_by_level():
    prepared = PAPER.prepare(intent())
    outcome = await PAPER.submit(prepared, before_send=yes, book=book())
    assert isinstance(outcome, Success)
    found = await PAPER.trades(prepared, market=MARKET, book=book())
    assert [(trade.price, trade.shares) for trade in found] == [
        (Decimal("0.50"), 1),
        (Decimal("0.55"), Decimal("1.272727")),
    ]
    assert {trade.state for trade in found} == {FillState.CONFIRMED}
    assert outcome.value.shares == sum(trade.shares for trade in found)
    assert outcome.value.usdc == sum(trade.usdc for trade in found) <= Decimal("1.20")
    assert outcome.value.trade_ids == tuple(trade.trade_id for trade in found)
    assert found[0].fee_usdc == Decimal("0.01750")


async def test_the_same_order_and_book_give_the_same_result_after_a_restart():
    first, second = PaperTrading(OWNER), PaperTrading(OWNER)
    one, two = first.prepare(intent()), second.prepare(intent())
    assert one == two
    assert await first.submit(one, before_send=yes, book=book()) == await second.submit(
        two, before_send=yes, book=book()
    )
    assert await first.trades(one, market=MARKET, book=book()) == await second.trades(
        two, market=MARKET, book=book()
    )


async def test_another_order_has_other_trades():
    ids = {
        trade.trade_id
        for salt in (1, 2)
        for trade in await PAPER.trades(PAPER.prepare(intent(salt=salt)), market=MARKET, book=book())
    }
    assert len(ids) == 4


async def test_what_cannot_fill_is_killed_with_nothing():
    prepared = PAPER.prepare(intent())
    for empty in (book(asks=()), book(asks=[("0.56", "100")])):
        outcome = await PAPER.submit(prepared, before_send=yes, book=empty)
        assert isinstance(outcome, Success)
        assert (outcome.value.status, outcome.value.shares, outcome.value.usdc) == ("killed", 0, 0)
        assert await PAPER.trades(prepared, market=MARKET, book=empty) == ()


async def test_fok_is_all_or_nothing():
    prepared = PAPER.prepare(intent(order_type=OrderType.FOK))
    part = await PAPER.submit(prepared, before_send=yes, book=book(asks=[("0.55", "2")]))
    whole = await PAPER.submit(prepared, before_send=yes, book=book(asks=[("0.50", "1"), ("0.55", "2")]))
    assert (part.value.status, whole.value.status) == ("killed", "matched")
    sale = PAPER.prepare(
        intent(order_type=OrderType.FOK, side=OrderSide.SELL, amount=Decimal(5), limit_price=Decimal("0.48"))
    )
    assert (
        await PAPER.submit(sale, before_send=yes, book=book(bids=[("0.48", "4.99")]))
    ).value.status == "killed"
    assert (
        await PAPER.submit(sale, before_send=yes, book=book(bids=[("0.49", "5")]))
    ).value.status == "matched"


async def test_a_sale_walks_the_bids():
    sale = PAPER.prepare(intent(side=OrderSide.SELL, amount=Decimal("2.5"), limit_price=Decimal("0.40")))
    outcome = await PAPER.submit(
        sale, before_send=yes, book=book(bids=[("0.48", "2"), ("0.41", "9"), ("0.39", "9")])
    )
    assert (outcome.value.shares, outcome.value.usdc) == (Decimal("2.5"), Decimal("1.165"))


async def test_its_share_of_the_visible_depth_can_be_stored():
    assert book_walk(PAPER.prepare(intent()), book(asks=[("0.50", "4")])).depth_share == Decimal("0.6")


@pytest.mark.parametrize(
    ("changes", "given", "allowed", "reason"),
    [
        ({}, book(), False, NOT_SENT),
        ({}, None, True, "NO_BOOK"),
        ({}, book(token=OTHER_TOKEN), True, "NO_BOOK"),
        ({"order_type": OrderType.GTC, "amount": Decimal(10)}, book(), True, "PAPER_DOES_NOT_REST"),
    ],
)
async def test_what_paper_cannot_do_is_a_known_failure(changes, given, allowed, reason):
    prepared = PAPER.prepare(intent(**changes))
    outcome = await PAPER.submit(prepared, before_send=lambda: allowed, book=given)
    assert isinstance(outcome, KnownFailure)
    assert outcome.reason == reason


async def test_a_dry_run_prepares_as_live_does_and_fills_on_paper():
    signed = PaperTrading(OWNER).prepare(intent())
    dry: Executor = PaperTrading("0x" + "00" * 20, preparing=lambda _: signed)
    assert dry.prepare(intent()) is signed
    assert isinstance(await dry.submit(signed, before_send=yes, book=book()), Success)


async def test_paper_is_paid_at_once_and_has_no_balance_of_its_own():
    outcome = await PAPER.redeem(REDEMPTION)
    assert isinstance(outcome, Success)
    assert (await PAPER.redemption_state(outcome.value)).stage is RedemptionStage.CONFIRMED
    assert await PAPER.balances([TOKEN]) is None


async def test_a_paper_trade_is_dated_by_its_order_not_by_the_moment_of_asking():
    prepared = PAPER.prepare(intent())
    (trade, *_) = await PAPER.trades(prepared, market=MARKET, book=book())
    assert trade.matched_at.timestamp() * 1000 == pytest.approx(prepared.intent.timestamp_ms)
    assert trade.matched_at.utcoffset() == timedelta()
