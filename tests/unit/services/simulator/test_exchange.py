"""Orders from the post to the last cent: hold, match, mine, rest, cancel, resolve, redeem."""

import random
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.simulator.accounts import COLLATERAL
from services.simulator.orders_intake import Rules
from services.simulator.refusal_texts import NOT_FILLED_FAK, NOT_FILLED_FOK, NOT_READY
from services.simulator.settlement import Reverted
from tests.unit.services.simulator.venue_world import (
    API_KEY,
    DOWN,
    FIRST,
    OWNER,
    START_MS,
    UP,
    WALLET,
    WINDOW,
    Floor,
    SmallWorld,
    body,
    ladder,
)

HELD = Rules(taker_hold_ms=150)
REST_AT_50 = {"orderType": "GTC", "makerAmount": "5000000", "takerAmount": "10000000"}
OTHER_WALLET = "0x" + "11" * 20


def micro(text):
    return int(Decimal(text) * 1_000_000)


def test_the_answer_tells_what_was_given_and_got_without_the_fee():
    floor = Floor()
    answer = floor.post()
    assert answer.body == {
        "errorMsg": "",
        "orderID": next(iter(floor.exchange.orders)),
        "takingAmount": "9.999999",
        "makingAmount": "5.199999",
        "status": "matched",
        "transactionsHashes": [],
        "tradeIDs": list(floor.exchange.settlement.trades),
        "success": True,
    }
    floor.pass_ms(10_000)
    assert floor.wallet.cash == micro("100") - micro("5.199999") - micro("0.17472")
    assert floor.wallet.tokens == {UP: 9_999_999}


def test_a_trade_is_matched_then_mined_then_confirmed():
    floor = Floor()
    floor.post()
    floor.pass_ms(floor.exchange.rules.mined_ms - 1)
    assert floor.wallet.cash == micro("100")
    floor.pass_ms(10_000)
    assert [status for kind, status in floor.heard.events if kind == "TRADE"] == [
        "MATCHED",
        "MINED",
        "CONFIRMED",
    ]


def test_a_taker_is_held_and_meets_the_book_as_it_is_then():
    later = ladder(START_MS + 100, "0.48x100", "0.51x100")
    floor = Floor(SmallWorld([FIRST, later]), HELD)
    answers = floor.post_held(body())
    order = next(iter(floor.exchange.orders.values()))
    assert (answers, order.status, floor.wallet.active(COLLATERAL)) == ([], "DELAYED", micro("5.374720"))
    assert floor.exchange.cancel(order.order_id, API_KEY) == "order can't be canceled while it is delayed"
    floor.pass_ms(150)
    assert answers[0].body["status"] == "matched"
    assert order.trades[0].taker.price == micro("0.51")
    assert floor.wallet.active(COLLATERAL) == 0


def test_a_held_order_finds_nothing_when_the_book_has_gone():
    floor = Floor(SmallWorld([FIRST, ladder(START_MS + 100, "0.40x100", "0.60x100")]), HELD)
    answers = floor.post_held(body())
    floor.pass_ms(150)
    assert (answers[0].http, answers[0].body) == (400, {"error": NOT_FILLED_FAK})
    assert floor.heard.events[-1] == ("CANCELLATION", f"CANCELED_{NOT_FILLED_FAK}")
    assert (floor.wallet.active(COLLATERAL), floor.wallet.cash) == (0, micro("100"))


def test_a_held_order_is_refused_when_the_window_closed_meanwhile():
    floor = Floor(SmallWorld(window=replace(WINDOW, closes_at_ms=START_MS + 100)), HELD)
    answers = floor.post_held(body())
    floor.pass_ms(150)
    assert answers[0].body == {"error": NOT_READY}


def test_a_held_order_whose_fee_grew_beyond_the_balance_is_refused():
    cheap = ladder(START_MS + 100, "0.01x100", "0.05x1000")
    floor = Floor(SmallWorld([FIRST, cheap]), HELD, usdc=0)
    floor.wallet.deposit(5_374_720)
    floor.wallet.refresh(COLLATERAL)
    answers = floor.post_held(body())
    floor.pass_ms(150)
    assert "not enough balance" in str(answers[0].body["error"])


def test_fok_is_whole_or_nothing():
    floor = Floor(usdc=1000)
    everything = {"makerAmount": "60000000", "takerAmount": "115384600", "orderType": "FOK"}
    assert floor.post(**everything).body == {"error": NOT_FILLED_FOK}
    partly = floor.post(**everything | {"orderType": "FAK", "salt": 2})
    assert (partly.body["makingAmount"], partly.body["takingAmount"]) == ("52", "100")


def test_a_resting_order_holds_its_money_and_is_cancelled_once():
    floor = Floor()
    assert floor.post(**REST_AT_50).body["status"] == "live"
    order_id = next(iter(floor.exchange.orders))
    assert floor.wallet.active(COLLATERAL) == micro("5.000001")
    assert floor.exchange.cancel(order_id, "stranger") == "Order not found or already canceled"
    assert floor.exchange.cancel(order_id, API_KEY) is None
    assert floor.wallet.active(COLLATERAL) == 0
    assert floor.exchange.cancel(order_id, API_KEY) == "Order already canceled"
    assert floor.heard.events[-2:] == [("PLACEMENT", "LIVE"), ("CANCELLATION", "CANCELED")]


def test_a_resting_order_is_filled_by_the_market_that_comes_to_it_and_pays_no_fee():
    crossing = ladder(START_MS + 100, "0.40x1", "0.49x4 0.50x3 0.55x9")
    floor = Floor(SmallWorld([FIRST, crossing]))
    floor.post(**REST_AT_50)
    floor.pass_ms(100)
    order = next(iter(floor.exchange.orders.values()))
    assert (order.matched, order.cash, order.fee, order.status) == (micro("7"), micro("3.5"), 0, "LIVE")
    assert floor.wallet.active(COLLATERAL) == micro("1.500001")
    assert ("UPDATE", "LIVE") in floor.heard.events
    trade = order.trades[0]
    assert trade.taker.order is None
    assert trade.maker.order is order


def test_two_users_trade_with_each_other_across_the_mirror():
    floor = Floor(SmallWorld([]))
    floor.fund(OTHER_WALLET, OWNER, 100)
    floor.post(**REST_AT_50)  # BUY 10 UP at 0.50
    other = {"maker": OTHER_WALLET, "signer": OTHER_WALLET, "tokenId": DOWN}
    answer = floor.post(
        **other, makerAmount="5000000", takerAmount="10000000"
    )  # BUY DOWN for 5 dollars at 0.50
    assert answer.body["status"] == "matched"
    floor.pass_ms(10_000)
    shares = floor.wallet.tokens[UP]
    assert floor.exchange.wallets[OTHER_WALLET].tokens == {DOWN: shares}
    (trade,) = floor.exchange.settlement.trades.values()
    assert (trade.taker.side, trade.maker.side, trade.maker.fee) == ("BUY", "BUY", 0)


def test_a_gtd_order_ends_a_minute_before_its_second():
    floor = Floor(
        SmallWorld(window=replace(WINDOW, closes_at_ms=START_MS + 900_000, resolves_at_ms=START_MS + 950_000))
    )
    floor.post(**REST_AT_50 | {"orderType": "GTD"}, expiration=str(START_MS // 1000 + 200))
    floor.pass_ms(139_999)
    assert list(floor.exchange.live_orders())
    floor.pass_ms(1)
    assert floor.heard.events[-1] == ("CANCELLATION", "CANCELED_EXPIRED_ORDER")


def test_the_resolution_cancels_what_rests_and_lets_tokens_be_redeemed_once():
    floor = Floor()
    floor.post()
    floor.post(**REST_AT_50)
    floor.pass_ms(10_000)
    settlement, before = floor.exchange.settlement, floor.wallet.cash
    with pytest.raises(Reverted, match="not received"):
        settlement.redeem(floor.wallet, floor.market, floor.now_ms, "0x1")
    floor.pass_ms(120_000)
    assert floor.market.resolved_ms == WINDOW.resolves_at_ms
    assert ("CANCELLATION", "CANCELED_MARKET_RESOLVED") in floor.heard.events
    assert settlement.redeem(floor.wallet, floor.market, floor.now_ms, "0x1") == 9_999_999
    assert floor.wallet.cash == before + 9_999_999
    assert settlement.redeem(floor.wallet, floor.market, floor.now_ms, "0x2") == 0
    assert len(settlement.redemptions) == 1
    assert floor.wallet.seen[COLLATERAL] == before
    floor.pass_ms(floor.exchange.rules.balance_lag_ms)
    assert floor.wallet.seen[COLLATERAL] == floor.wallet.cash


def test_a_failed_match_gives_everything_back():
    floor = Floor()
    floor.faults.arm("match_then_failed", match={"side": "BUY"})
    assert floor.post().body["status"] == "matched"
    floor.pass_ms(10_000)
    assert [status for kind, status in floor.heard.events if kind == "TRADE"] == ["MATCHED", "FAILED"]
    assert (floor.wallet.cash, floor.wallet.tokens, floor.wallet.on_the_way) == (micro("100"), {}, {})


def test_a_retried_match_settles_late():
    floor = Floor()
    floor.faults.arm("match_then_retrying")
    floor.post()
    floor.pass_ms(10_000)
    statuses = [status for kind, status in floor.heard.events if kind == "TRADE"]
    assert statuses == ["MATCHED", "RETRYING", "MINED", "CONFIRMED"]


def test_our_fills_eat_the_recorded_book_until_the_next_frame():
    floor = Floor(SmallWorld([FIRST, replace(FIRST, at_ms=START_MS + 100)]))
    floor.post()
    assert floor.market.book.asks[micro("0.52")] == micro("100") - 9_999_999
    floor.pass_ms(100)
    assert floor.market.book.asks[micro("0.52")] == micro("100")


def test_the_tick_becomes_finer_near_the_edge_and_stays_so():
    edge, back = ladder(START_MS + 100, "0.97x10", "0.98x10"), ladder(START_MS + 200, "0.50x10", "0.51x10")
    floor = Floor(SmallWorld([FIRST, edge, back]))
    floor.pass_ms(300)
    assert floor.heard.events.count(("tick", "10000->1000")) == 1
    assert floor.market.tick == 1_000


def test_silence_after_the_first_heartbeat_cancels_everything_of_the_key():
    floor = Floor()
    floor.post(**REST_AT_50)
    accepted, expected = floor.exchange.heartbeats.beat(API_KEY, "", floor.now_ms)
    assert accepted
    assert floor.exchange.heartbeats.beat(API_KEY, "stale", floor.now_ms) == (False, expected)
    floor.pass_ms(5_000)
    assert floor.exchange.heartbeats.beat(API_KEY, expected, floor.now_ms)[0]
    floor.pass_ms(9_999)
    assert list(floor.exchange.live_orders())
    floor.pass_ms(1)
    assert not list(floor.exchange.live_orders())


STRIKES = [
    (name, {"result": result} if result else {})
    for name, result in (
        ("refused", ""),
        ("partly_filled", ""),
        ("delayed", "matched"),
        ("delayed", "killed"),
        ("resting", ""),
        ("late_fill", ""),
        ("match_then_failed", ""),
        ("match_then_retrying", ""),
        ("mined_then_reorganised", "confirmed"),
        ("mined_then_reorganised", "failed"),
        ("phantom_lock", ""),
    )
]


def _some_order(chance: random.Random, salt: int) -> dict:
    side, price = chance.choice(["BUY", "SELL"]), chance.randint(20, 95)
    kind = chance.choice(["FAK", "FOK", "GTC"])
    shares = chance.randint(5, 25)
    # A GTC order has two decimals of shares, a FAK or FOK BUY two of dollars.
    whole = kind == "GTC" or side == "SELL"
    cash = shares * price * 10_000 if whole else shares * price // 100 * 1_000_000
    given_shares = shares * 1_000_000 if whole else cash // price * 100 // 100 * 100
    maker, taker = (cash, given_shares) if side == "BUY" else (given_shares, cash)
    return body(
        side=side,
        makerAmount=str(maker),
        takerAmount=str(taker),
        salt=salt,
        orderType=kind,
        tokenId=chance.choice([UP, DOWN]),
    )


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), rounding=st.sampled_from(["half_even", "up", "down"]))
def test_no_cent_appears_or_disappears(seed, rounding):
    """Whatever is traded: cash = deposits + net of settled trades + redemptions, tokens = bought - sold - burnt."""
    chance = random.Random(seed)
    frames = [
        ladder(
            START_MS + 200 * turn,
            f"0.{p}x{chance.randint(1, 30)} 0.{p - 1}x40",
            f"0.{p + 2}x{chance.randint(1, 30)} 0.{p + 3}x90",
        )
        for turn in range(60)
        for p in (chance.randint(20, 90),)
    ]
    floor = Floor(
        SmallWorld(frames),
        Rules(taker_hold_ms=50, mined_ms=300, confirmed_ms=500, fee_rounding=rounding),
        usdc=60,
    )
    for salt in range(40):
        if chance.random() < 0.5:
            name, options = chance.choice(STRIKES)
            floor.faults.arm(name, seconds=chance.choice([0.1, 1, 5]), **options)
        floor.post_held(_some_order(chance, salt))
        floor.pass_ms(chance.randint(0, 400))
    floor.pass_ms(130_000)
    wallet, settlement = floor.wallet, floor.exchange.settlement
    settlement.redeem(wallet, floor.market, floor.now_ms, "0x1")
    legs = [
        (trade, leg)
        for trade in settlement.trades.values()
        for leg in trade.own_legs()
        if trade.status == "CONFIRMED"
    ]
    assert all(trade.status in ("CONFIRMED", "FAILED") for trade in settlement.trades.values())
    assert wallet.cash == wallet.deposited + sum(leg.net_cash for _, leg in legs) + sum(
        r.paid for r in settlement.redemptions
    )
    assert wallet.cash >= 0
    assert (wallet.on_the_way, wallet.reserved, wallet.locked) == ({}, {}, {})
    for token, is_up in ((UP, True), (DOWN, False)):
        moved = sum(t.shares if leg.side == "BUY" else -t.shares for t, leg in legs if leg.is_up == is_up)
        burnt = sum(r.burnt.get(token, 0) for r in settlement.redemptions)
        assert wallet.tokens.get(token, 0) == moved - burnt == 0
    assert WALLET in floor.exchange.wallets
