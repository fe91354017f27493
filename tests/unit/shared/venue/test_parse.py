from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, strategies

from shared.domain.books import Level
from shared.domain.orders import OrderEvent, OrderSide
from shared.domain.trades import FillState
from shared.venue.accounts import OrderStatus, order_event
from shared.venue.parse import (
    at_moment,
    parse_activity,
    parse_balance,
    parse_book,
    parse_fill_state,
    parse_order,
    parse_order_status,
    parse_position,
    parse_trade,
    read_json,
)
from shared.venue.refusals import Malformed, Refusal, UnknownStatus
from shared.venue.wire import WireBalance
from tests.unit.shared.venue.venue_values import API_KEY, CONDITION, FEE, NOW, OTHER_TOKEN, TOKEN

TRADE = {
    "id": "trade-1",
    "taker_order_id": "0xtaker",
    "market": CONDITION,
    "asset_id": TOKEN,
    "side": "BUY",
    "size": "2.181817",
    "price": "0.55",
    "fee_rate_bps": "1000",
    "status": "TRADE_STATUS_CONFIRMED",
    "match_time": "1791241802",
    "owner": API_KEY,
    "transaction_hash": "0xabc",
    "trader_side": "TAKER",
    "maker_orders": [
        {
            "order_id": "0xmaker",
            "owner": "other",
            "matched_amount": "2.181817",
            "price": "0.55",
            "asset_id": TOKEN,
            "side": "SELL",
        }
    ],
}
BOOK = {
    "market": CONDITION,
    "asset_id": TOKEN,
    "timestamp": "1791241810525",
    "bids": [
        {"price": "0.01", "size": "1123"},
        {"price": "0.95", "size": "142.4"},
        {"price": "0.94", "size": "0"},
    ],
    "asks": [{"price": "0.99", "size": "13330.75"}, {"price": "0.96", "size": "441.4"}],
    "tick_size": "0.01",
}
ORDER = {
    "id": "0x1",
    "status": "LIVE",
    "market": CONDITION,
    "asset_id": TOKEN,
    "side": "BUY",
    "price": "0.5",
    "original_size": "100",
    "size_matched": "25",
    "associate_trades": ["t-1"],
    "created_at": 1791241800,
}


def trades(fee=FEE, **changes):
    return parse_trade(TRADE | changes, api_key=API_KEY, fee_of=lambda _: fee)


def test_a_book_is_sorted_best_first_without_empty_levels():
    book = parse_book(BOOK, NOW)
    assert book.bids == (Level(Decimal("0.95"), Decimal("142.4")), Level(Decimal("0.01"), Decimal(1123)))
    assert [level.price for level in book.asks] == [Decimal("0.96"), Decimal("0.99")]
    assert (book.source_at, book.received_at) == (datetime(2026, 10, 5, 23, 10, 10, 525000, UTC), NOW)


@pytest.mark.parametrize(
    "level",
    [{"price": "1", "size": "5"}, {"price": "0", "size": "5"}, {"price": "0.5", "size": "-1"}, {"price": "NaN", "size": "5"}, {"price": 0.5, "size": "5"}, {"price": "0.5"}],
)  # fmt: skip
def test_a_book_with_an_impossible_level_is_refused(level):
    with pytest.raises(Malformed):
        parse_book(BOOK | {"bids": [level]}, NOW)


def test_a_taker_trade_is_ours_with_floored_cash_and_the_markets_fee():
    (trade,) = trades()
    assert (trade.order_id, trade.trade_id, trade.token_id, trade.side) == (
        "0xtaker",
        "trade-1",
        TOKEN,
        OrderSide.BUY,
    )
    assert (trade.shares, trade.price) == (Decimal("2.181817"), Decimal("0.55"))
    assert trade.usdc == Decimal("1.199999")  # 1.19999935: the exchange floors, as captured
    assert trade.fee_usdc == Decimal("0.03780")  # the legacy 1000 basis points mean nothing
    assert (trade.state, trade.is_taker, trade.transaction_hash) == (FillState.CONFIRMED, True, "0xabc")
    assert trade.matched_at == datetime(2026, 10, 5, 23, 10, 2, tzinfo=UTC)


def test_without_a_schedule_the_fee_is_left_open():
    (trade,) = trades(fee=None)
    assert trade.fee_usdc == 0


def maker(**changes):
    return TRADE["maker_orders"][0] | {"owner": API_KEY} | changes


def test_as_maker_each_of_our_orders_is_a_trade_of_its_own_and_pays_nothing():
    found = trades(
        trader_side="MAKER",
        owner="other",
        maker_orders=[maker(), maker(order_id="0xsecond", matched_amount="5"), maker(owner="third")],
    )
    assert [trade.order_id for trade in found] == ["0xmaker", "0xsecond"]
    assert {trade.side for trade in found} == {OrderSide.SELL}
    assert [(trade.shares, trade.fee_usdc, trade.is_taker) for trade in found] == [
        (Decimal("2.181817"), 0, False),
        (Decimal(5), 0, False),
    ]


def test_a_makers_side_is_told_by_the_token_where_the_venue_leaves_it_out():
    (same,) = trades(trader_side="MAKER", maker_orders=[maker(side=None)])
    (minted,) = trades(
        trader_side="MAKER", maker_orders=[maker(side=None, asset_id=OTHER_TOKEN, price="0.45")]
    )
    assert (same.side, same.token_id) == (OrderSide.SELL, TOKEN)
    assert (minted.side, minted.token_id, minted.price) == (OrderSide.BUY, OTHER_TOKEN, Decimal("0.45"))


def test_a_taker_that_met_several_prices_pays_each_makers_own():
    found = trades(
        size="10",
        price="0.60",
        maker_orders=[
            maker(owner="a", matched_amount="4", price="0.50"),
            maker(owner="b", matched_amount="6", price="0.45", asset_id=OTHER_TOKEN),  # minted: 0.55 to us
        ],
    )
    (trade,) = found
    assert trade.usdc == Decimal("5.30")
    assert trade.price == Decimal("0.53")
    assert trade.fee_usdc == Decimal("0.07000") + Decimal("0.10395")


def test_makers_that_do_not_add_up_to_the_trade_are_not_believed():
    (trade,) = trades(
        size="10",
        price="0.60",
        maker_orders=[maker(owner="a", matched_amount="4", price="0.5"), maker(owner="b", price="0.4")],
    )
    assert (trade.usdc, trade.price) == (Decimal("6.00"), Decimal("0.60"))


def test_a_trade_between_others_is_not_ours():
    assert trades(trader_side="MAKER", owner="other") == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"size": "0"},
        {"size": "-1"},
        {"size": "1e999999"},
        {"match_time": "9" * 5000},
        {"match_time": "\u00b2"},
        {"price": "0"},
        {"price": "1"},
        {"price": "abc"},
        {"side": "HOLD"},
        {"match_time": "yesterday"},
        {"match_time": None},
        {"status": "TRADE_STATUS_MAYBE"},
    ],
)
def test_an_impossible_trade_is_refused(changes):
    with pytest.raises(Refusal):
        trades(**changes)


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("MATCHED", FillState.MATCHED),
        ("TRADE_STATUS_MATCHED", FillState.MATCHED),
        ("MATCHED_NOT_BROADCASTED", FillState.MATCHED),
        ("MINED", FillState.MINED),
        ("TRADE_STATUS_RETRYING", FillState.RETRYING),
        ("CONFIRMED", FillState.CONFIRMED),
        ("failed", FillState.FAILED),
    ],
)
def test_a_trades_state_is_known_with_and_without_prefix(text, state):
    assert parse_fill_state(text) is state


@pytest.mark.parametrize(
    ("text", "status", "matched", "event"),
    [
        ("LIVE", OrderStatus.LIVE, "0", OrderEvent.RESTS),
        ("MATCHED", OrderStatus.MATCHED, "5", OrderEvent.MATCHED),
        ("DELAYED", OrderStatus.DELAYED, "0", OrderEvent.DELAYED),
        ("CANCELED", OrderStatus.CANCELED, "0", OrderEvent.KILLED),
        ("CANCELED", OrderStatus.CANCELED, "5", OrderEvent.MATCHED),
        ("CANCELED_MARKET_RESOLVED", OrderStatus.CANCELED, "0", OrderEvent.KILLED),
        ("CANCELED_order couldn't be fully filled.", OrderStatus.CANCELED, "0", OrderEvent.KILLED),
        ("CANCELED_EXPIRED_ORDER", OrderStatus.EXPIRED, "0", OrderEvent.EXPIRED),
        ("CANCELED_EXPIRED_ORDER", OrderStatus.EXPIRED, "1", OrderEvent.MATCHED),
        ("UNMATCHED_later word", OrderStatus.UNMATCHED, "0", OrderEvent.KILLED),
        ("INVALID", OrderStatus.INVALID, "0", OrderEvent.REFUSED),
    ],
)
def test_an_orders_status_says_what_happened_to_it(text, status, matched, event):
    assert parse_order_status(text) is status
    assert order_event(status, Decimal(matched)) is event


@pytest.mark.parametrize("text", ["", "PENDING", "CANCELLED", "LIVELY"])
def test_an_order_status_that_is_not_on_the_list_is_refused(text):
    with pytest.raises(UnknownStatus):
        parse_order_status(text)


def test_an_order_is_read_with_what_it_matched():
    order = parse_order(ORDER)
    assert (order.order_id, order.status, order.shares, order.matched_shares) == (
        "0x1",
        OrderStatus.LIVE,
        100,
        25,
    )
    assert parse_order(ORDER | {"size_matched": "", "created_at": ""}).matched_shares == 0


@pytest.mark.parametrize(
    "value",
    ["1791241800", 1791241800, "1791241800000", 1791241800000, "2026-10-05T23:10:00Z", "2026-10-05T23:10:00"],
)
def test_a_moment_is_understood_however_the_venue_writes_it(value):
    assert at_moment(value) == datetime(2026, 10, 5, 23, 10, tzinfo=UTC)


def test_a_balance_is_in_whole_units():
    assert parse_balance({"balance": "1000000001", "allowances": {}}) == Decimal("1000.000001")


@pytest.mark.parametrize("balance", ["-1", "1.5", "", None, "many", {}])
def test_a_balance_that_is_none_is_refused(balance):
    with pytest.raises(Malformed):
        parse_balance({"balance": balance})


def test_the_data_apis_rows_are_read():
    position = parse_position(
        {
            "condition_id": CONDITION,
            "token_id": TOKEN,
            "current_size": Decimal("2.18"),
            "status": "REDEEMABLE",
            "redeemable": True,
        }
    )
    assert (position.shares, position.redeemable) == (Decimal("2.18"), True)
    activity = parse_activity(
        {
            "type": "REDEEM",
            "timestamp": 1791241800,
            "usdc_size": Decimal("2.18"),
            "size": 2,
            "condition_id": "",
        }
    )
    assert (activity.kind, activity.usdc, activity.condition_id) == ("REDEEM", Decimal("2.18"), None)


@pytest.mark.parametrize("text", ["", "{", "[1", "\ud800", "1e99999999999999999999", "[" * 100_000])
def test_text_that_is_no_json_is_refused(text):
    with pytest.raises(Malformed):
        read_json(WireBalance, text)


def test_a_refusal_names_the_field_and_not_the_payload():
    with pytest.raises(Malformed) as raised:
        parse_order(ORDER | {"price": "geheim"})
    assert "price" in str(raised.value)
    assert "geheim" not in str(raised.value)


@given(
    strategies.dictionaries(
        strategies.sampled_from([*TRADE, *ORDER, *BOOK]),
        strategies.text() | strategies.integers() | strategies.none() | strategies.lists(strategies.none()),
    )
)
def test_nothing_the_venue_could_send_raises_anything_but_a_refusal(changes):
    for parse, sample in (
        (parse_order, ORDER),
        (lambda data: parse_book(data, NOW), BOOK),
        (lambda data: parse_trade(data, api_key=API_KEY, fee_of=lambda _: FEE), TRADE),
    ):
        try:
            parse(sample | changes)
        except Refusal:
            continue
