"""What named faults do to orders in the engine, to balances and to the user channel: each beside its wallet's truth."""

import pytest

from services.simulator.accounts import COLLATERAL
from services.simulator.orders_intake import Rules
from services.simulator.refusal_texts import KILLED, REFUSALS
from tests.unit.services.simulator.venue_world import (
    API_KEY,
    START_MS,
    WALLET,
    Floor,
    SmallWorld,
    body,
    ladder,
)

GTC_AT_55 = {"orderType": "GTC", "makerAmount": "5500000", "takerAmount": "10000000", "salt": 9}
LAST = ladder(START_MS + 1_000, "0.40x9", "0.70x9")


def micro(dollars: str) -> int:
    return int(float(dollars) * 1_000_000)


def only_order(floor):
    (order,) = floor.exchange.orders.values()
    return order


@pytest.mark.parametrize("name", sorted(set(REFUSALS) - KILLED))
def test_a_named_refusal_places_nothing_and_leaves_the_id_free(name):
    floor = Floor()
    floor.faults.arm("refused", match={"wallet": WALLET, "side": "BUY"}, text=name)
    http, text = REFUSALS[name]
    answer = floor.post()
    order_id = floor.exchange.identity(body())
    assert (answer.http, answer.body) == (http, {"error": text.format(id=order_id, address=WALLET)})
    assert (floor.exchange.orders, floor.wallet.reserved, floor.heard.events[1:]) == ({}, {}, [])
    assert floor.post().body["status"] == "matched"


@pytest.mark.parametrize("name", sorted(KILLED))
def test_a_named_kill_uses_the_id_up_and_moves_no_money(name):
    floor = Floor()
    floor.faults.arm("refused", text=name)
    assert floor.post().body == {"error": REFUSALS[name][1]}
    assert (only_order(floor).status, floor.wallet.active(COLLATERAL)) == ("CANCELED", 0)
    assert "Duplicated" in str(floor.post().body["error"])


def test_a_refusal_does_not_strike_an_order_that_is_refused_anyway():
    floor = Floor(usdc=1)
    floor.faults.arm("refused", text="nonce")
    assert "not enough balance" in str(floor.post().body["error"])
    assert floor.faults


def test_a_part_of_a_fak_is_filled_and_the_rest_killed():
    floor = Floor()
    floor.faults.arm("partly_filled", share="0.25")
    answer = floor.post()
    assert (answer.body["status"], answer.body["makingAmount"], answer.body["takingAmount"]) == (
        "matched",
        "1.299999",
        "2.499999",
    )
    assert (only_order(floor).status, floor.wallet.active(COLLATERAL)) == ("MATCHED", 0)
    assert (only_order(floor).matched, list(floor.exchange.live_orders())) == (2_499_999, [])


def test_a_part_of_a_sale_is_a_whole_number_of_lots_and_a_fok_gets_nothing_of_a_part():
    floor = Floor()
    floor.give(body()["order"]["tokenId"], "10")
    floor.faults.arm("partly_filled", match={"side": "SELL"}, times=2, share="0.3333")
    sale = {"side": "SELL", "makerAmount": "10000000", "takerAmount": "5000000"}
    assert floor.post(**sale).body["makingAmount"] == "3.33"
    assert (
        floor.post(
            **sale | {"salt": 5, "makerAmount": "6000000", "takerAmount": "3000000"}, orderType="FOK"
        ).http
        == 400
    )


def test_an_order_is_answered_delayed_and_matched_later():
    floor = Floor()
    floor.faults.arm("delayed", seconds=2)
    answer = floor.post()
    assert (answer.http, answer.body["status"], answer.body["tradeIDs"]) == (200, "delayed", [])
    assert (
        floor.exchange.cancel(only_order(floor).order_id, API_KEY)
        == "order can't be canceled while it is delayed"
    )
    floor.pass_ms(1_900)
    assert (only_order(floor).status, floor.wallet.active(COLLATERAL)) == ("DELAYED", micro("5.374720"))
    floor.pass_ms(200)
    assert (only_order(floor).status, floor.wallet.active(COLLATERAL)) == ("MATCHED", 0)
    assert len(floor.exchange.settlement.trades) == 1


def test_an_order_is_answered_delayed_and_killed_later():
    floor = Floor()
    floor.faults.arm("delayed", seconds=1, result="killed")
    floor.post()
    floor.pass_ms(1_100)
    assert (only_order(floor).status, floor.wallet.active(COLLATERAL)) == ("CANCELED", 0)
    assert floor.exchange.settlement.trades == {}


def test_a_fak_that_rests_holds_its_money_until_the_venue_kills_it():
    floor = Floor()
    floor.faults.arm("resting", seconds=1)
    assert floor.post().body["status"] == "live"
    assert [order.order_id for order in floor.exchange.live_orders()] == [only_order(floor).order_id]
    assert floor.wallet.active(COLLATERAL) == micro("5.374720")
    floor.pass_ms(1_100)
    assert (only_order(floor).status, floor.wallet.active(COLLATERAL)) == ("CANCELED", 0)


def test_a_gtc_that_rests_crosses_the_book_unmet_until_it_is_cancelled():
    floor = Floor(
        SmallWorld([ladder(START_MS, "0.50x100", "0.52x100"), ladder(START_MS + 500, "0.5x9", "0.51x9")])
    )
    floor.faults.arm("resting", seconds=1)
    assert floor.post(**GTC_AT_55).body["status"] == "live"
    floor.pass_ms(5_000)
    assert (only_order(floor).status, only_order(floor).matched) == ("LIVE", 0)
    assert floor.exchange.cancel(only_order(floor).order_id, API_KEY) is None
    assert floor.wallet.active(COLLATERAL) == 0


@pytest.mark.parametrize("order", [{}, GTC_AT_55])
@pytest.mark.parametrize("frames", [(), (LAST,)])
def test_a_late_fill_fills_after_a_live_answer_whatever_the_book_has_become(order, frames):
    floor = Floor(SmallWorld([ladder(START_MS, "0.50x100", "0.52x100"), *frames]))
    floor.faults.arm("late_fill", seconds=2)
    assert floor.post(**order).body["status"] == "live"
    floor.pass_ms(1_900)
    assert only_order(floor).matched == 0
    floor.pass_ms(200)
    assert (only_order(floor).status, floor.wallet.active(COLLATERAL)) == ("MATCHED", 0)
    assert only_order(floor).matched >= 9_999_999
    floor.pass_ms(10_000)
    assert floor.wallet.cash + only_order(floor).cash + only_order(floor).fee == micro("100")
    assert list(floor.exchange.live_orders()) == []


def test_an_order_cancelled_before_its_late_fill_stays_cancelled():
    floor = Floor()
    floor.faults.arm("late_fill", seconds=2)
    floor.post(**GTC_AT_55)
    assert floor.exchange.cancel(only_order(floor).order_id, API_KEY) is None
    floor.pass_ms(3_000)
    assert (only_order(floor).status, floor.exchange.settlement.trades) == ("CANCELED", {})


def statuses(floor):
    return [status for kind, status in floor.heard.events if kind == "TRADE"]


@pytest.mark.parametrize(
    ("result", "told", "kept"),
    [
        ("confirmed", ["MATCHED", "MINED", "RETRYING", "MINED", "CONFIRMED"], 9_999_999),
        ("failed", ["MATCHED", "MINED", "RETRYING", "FAILED"], 0),
    ],
)
def test_a_mined_trade_is_taken_back_and_tried_again_or_fails(result, told, kept):
    floor = Floor()
    floor.faults.arm("mined_then_reorganised", match={"wallet": WALLET}, result=result)
    floor.post()
    token = body()["order"]["tokenId"]
    held = []
    for _ in range(6):
        floor.pass_ms(1_000)
        held.append(floor.wallet.tokens.get(token, 0))
    assert held == [0, 9_999_999, 9_999_999, 0, 0, kept]
    floor.pass_ms(10_000)
    assert statuses(floor) == told
    order = only_order(floor)
    spent = (order.cash + order.fee) if kept else 0
    assert (floor.wallet.cash, floor.wallet.seen[COLLATERAL]) == (micro("100") - spent, micro("100") - spent)
    assert floor.wallet.on_the_way == {}


def test_a_mined_trade_whose_tokens_are_sold_cannot_be_taken_back():
    floor = Floor()
    floor.faults.arm("mined_then_reorganised", match={"side": "BUY"})
    floor.post()
    floor.pass_ms(2_100)
    sale = {"side": "SELL", "makerAmount": "9990000", "takerAmount": "4995000", "salt": 3}
    assert floor.post(**sale).body["status"] == "matched"
    floor.pass_ms(10_000)
    assert statuses(floor) == ["MATCHED", "MINED", "MATCHED", "CONFIRMED", "MINED", "CONFIRMED"]
    assert sum(floor.wallet.tokens.values()) == 9_999


def test_a_sale_whose_tokens_have_left_before_it_is_mined_fails():
    floor = Floor()
    token = body()["order"]["tokenId"]
    floor.give(token, "10")
    floor.post(side="SELL", makerAmount="10000000", takerAmount="5000000")
    floor.wallet.tokens[token] -= 1
    floor.pass_ms(10_000)
    assert statuses(floor) == ["MATCHED", "FAILED"]
    assert (floor.wallet.cash, floor.wallet.tokens[token]) == (micro("100"), 9_999_999)


def test_a_phantom_lock_holds_the_money_of_a_failed_trade_a_while():
    floor = Floor(usdc=6)
    floor.faults.arm("phantom_lock", seconds=3)
    floor.post()
    floor.pass_ms(2_100)
    assert (statuses(floor)[-1], floor.wallet.cash, floor.wallet.pending_cash()) == ("FAILED", micro("6"), 0)
    assert "sum of matched orders: 5374719" in str(floor.post(salt=2).body["error"])
    floor.pass_ms(3_000)
    assert floor.post(salt=2).body["status"] == "matched"


def test_faults_strike_only_the_wallet_and_side_they_name():
    floor = Floor(rules=Rules(taker_hold_ms=0))
    floor.faults.arm("delayed", match={"wallet": WALLET, "side": "SELL"})
    floor.faults.arm("resting", match={"wallet": "0x" + "ab" * 20})
    assert floor.post().body["status"] == "matched"
