"""The venue's refusals, in their order, with their words."""

from dataclasses import replace
from decimal import Decimal

import pytest

from services.simulator.orders_intake import Caller, Refused, Rules, parse
from services.simulator.refusal_texts import NOT_FILLED_FAK, NOT_READY, POST_ONLY_CROSSES
from tests.unit.services.simulator.venue_world import (
    API_KEY,
    DOWN,
    FIRST,
    OWNER,
    START_MS,
    WALLET,
    WINDOW,
    Floor,
    SmallWorld,
    body,
)

STRANGER = "0x" + "ab" * 20
LIMIT = {"orderType": "GTC"}


def text(answer):
    assert answer.http == 400
    return answer.body["error"]


@pytest.mark.parametrize(
    "spoil",
    [
        {"side": "HOLD"},
        {"maker": "0x12"},
        {"salt": "479249096354"},
        {"makerAmount": "0"},
        {"takerAmount": "-1"},
        {"makerAmount": "1.5"},
        {"tokenId": str(1 << 256)},
        {"signatureType": 7},
        {"metadata": "0x00"},
        {"signature": None},
        {"expiration": "soon"},
    ],
)
def test_a_malformed_order_is_an_invalid_payload(spoil):
    posted = body()
    posted["order"] |= spoil
    with pytest.raises(Refused, match="Invalid order payload"):
        parse(posted)


@pytest.mark.parametrize(
    "payload",
    [None, [], {}, {"order": 1}, "text", body() | {"orderType": "IOC"}, body() | {"postOnly": True}],
)
def test_what_is_no_order_at_all_is_an_invalid_payload(payload):
    with pytest.raises(Refused, match="Invalid order payload"):
        parse(payload)


def test_the_first_broken_rule_is_named():
    """Each row mends what the row before was refused for."""
    floor = Floor(usdc=5)
    foreign = Caller(OWNER, "another-key")
    unknown = str(int(DOWN) + (1 << 60))
    wrong: dict[str, object] = {
        "orderType": "GTC",
        "expiration": "5",
        "tokenId": unknown,
        "makerAmount": "525000",
        "takerAmount": "1000000",
        "domain": ("3", "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa"),
        "signature": "0x00",
    }
    assert (
        text(floor.post_body(body(**wrong), foreign)) == "the order owner has to be the owner of the API KEY"
    )
    assert text(floor.post(**wrong | {"maker": STRANGER, "signer": STRANGER})) == (
        "the order signer address has to be the address of the API KEY"
    )
    assert text(floor.post(**wrong)) == "invalid signature"
    del wrong["signature"]
    assert text(floor.post(**wrong)) == "order_version_mismatch"
    del wrong["domain"]
    assert text(floor.post(**wrong)) == NOT_READY
    del wrong["tokenId"]
    assert text(floor.post(**wrong)) == "invalid expiration"
    del wrong["expiration"]
    assert text(floor.post(**wrong)).endswith("is invalid. Price (0.525) breaks minimum tick size rule: 0.01")
    wrong["makerAmount"] = "520000"
    assert text(floor.post(**wrong)).endswith("is invalid. Size (1) lower than the minimum: 5")
    wrong |= {"takerAmount": "50000000", "makerAmount": "500000"}
    wrong |= {"tokenId": DOWN}  # its asks are at 0.50: this one rests
    assert floor.post(**wrong).body["status"] == "live"
    wrong |= {"tokenId": DOWN, "makerAmount": "25000000", "postOnly": True}
    assert text(floor.post(**wrong)) == (
        "not enough balance / allowance: the balance is not enough -> balance: 5000000, order amount: 25875000, "
        "sum of active orders: 500001"
    )
    floor.fund(WALLET, OWNER, 100)
    assert text(floor.post(**wrong)) == POST_ONLY_CROSSES
    wrong["postOnly"] = False
    assert floor.post(**wrong).body["status"] == "matched"


def test_an_order_of_a_kind_of_wallet_that_is_not_registered_is_sent_to_the_deposit_wallet():
    floor = Floor()
    refused = floor.post(maker=OWNER, signer=OWNER, signatureType=0)
    assert text(refused) == "maker address not allowed, please use the deposit wallet flow"
    floor.fund(OWNER, OWNER, 100, signature_type=0)
    assert floor.post(maker=OWNER, signer=OWNER, signatureType=0).http == 200


def test_a_proxy_that_existed_before_may_still_trade():
    floor = Floor()
    floor.fund(STRANGER_CHECKSUM, OWNER, 100, signature_type=1)
    answer = floor.post(maker=STRANGER, signer=OWNER, signatureType=1)
    assert answer.body["status"] == "matched"


STRANGER_CHECKSUM = "0xABaBaBaBABabABabAbAbABAbABabababaBaBABaB"


def test_a_key_of_another_owner_may_not_speak_for_the_wallet():
    floor = Floor()
    assert text(floor.post_body(body(), Caller(STRANGER_CHECKSUM, API_KEY))) == (
        "the order signer address has to be the address of the API KEY"
    )


@pytest.mark.parametrize("order_type", ["FAK", "GTC"])
def test_an_id_is_never_free_again(order_type):
    floor = Floor()
    again = {"orderType": order_type, "makerAmount": "2000000", "takerAmount": "10000000"}
    first = floor.post(**again)
    assert (first.body.get("error"), first.body.get("status")) in ((NOT_FILLED_FAK, None), (None, "live"))
    repeated = text(floor.post(**again))
    assert repeated.startswith("order 0x")
    assert repeated.endswith("is invalid. Duplicated.")
    for order_id in floor.exchange.orders:
        floor.exchange.cancel(order_id, API_KEY)
    assert text(floor.post(**again)) == repeated


def test_a_refused_order_does_not_use_up_its_id():
    floor = Floor(usdc=1)
    assert "balance is not enough" in text(floor.post())
    floor.fund(WALLET, OWNER, 100)
    assert floor.post().body["status"] == "matched"


def test_orders_are_taken_from_listing_to_close_only():
    floor = Floor(SmallWorld(window=replace(WINDOW, closes_at_ms=START_MS + 1_000)))
    assert floor.post().http == 200
    floor.pass_ms(1_000)
    assert text(floor.post(salt=2)) == NOT_READY
    assert len(floor.exchange.orders) == 1  # the refused one did not use up its id


def test_a_gtd_order_must_end_three_minutes_ahead():
    floor = Floor()
    resting = {"orderType": "GTD", "makerAmount": "2000000", "takerAmount": "10000000"}
    assert text(floor.post(**resting, expiration=str(START_MS // 1000 + 179))) == "invalid expiration"
    assert floor.post(**resting, expiration=str(START_MS // 1000 + 180)).body["status"] == "live"


@pytest.mark.parametrize(
    ("tick", "side", "maker", "taker", "order_type"),
    [  # what the SDK makes of a price and a size, by tick
        ("0.01", "BUY", "11782400", "21040000", "GTC"),
        ("0.01", "SELL", "100500000", "34170000", "GTC"),
        ("0.0001", "BUY", "60418", "17770000", "GTC"),
        ("0.005", "BUY", "10427300", "12340000", "GTC"),
        ("0.01", "BUY", "10000000", "19230700", "FAK"),
        ("0.01", "BUY", "1200000", "2181800", "FAK"),
        ("0.01", "SELL", "2180000", "1155400", "FAK"),
    ],
)
def test_amounts_rounded_as_the_sdk_rounds_them_are_on_the_grid(tick, side, maker, taker, order_type):
    floor = Floor(SmallWorld(window=replace(WINDOW, tick=Decimal(tick)), frames=[]))
    floor.give(WINDOW.up_token, "200")
    answer = floor.post(side=side, makerAmount=maker, takerAmount=taker, orderType=order_type)
    assert answer.body.get("status") == "live" or answer.body["error"] == NOT_FILLED_FAK


@pytest.mark.parametrize(
    ("side", "maker", "taker"),
    [("BUY", "5200001", "10000000"), ("BUY", "5200000", "10000001"), ("SELL", "10000001", "5200000")],
)
def test_market_orders_take_two_decimals_and_the_ticks_four(side, maker, taker):
    floor = Floor()
    floor.give(WINDOW.up_token, "200")
    assert text(floor.post(side=side, makerAmount=maker, takerAmount=taker)).startswith(
        "invalid amounts, the market"
    )


def test_a_price_outside_the_book_is_off_the_grid():
    assert "breaks minimum tick size rule" in text(
        Floor().post(makerAmount="10000000", takerAmount="10000000")
    )


def test_a_marketable_order_is_worth_a_dollar():
    small = {"makerAmount": "990000", "takerAmount": "1903800"}
    assert text(Floor().post(**small)) == "invalid amount for a marketable BUY order ($0.99), min size: $1"


def test_a_taker_needs_its_fee_on_top():
    # 5.20 dollars at 0.52: the fee is 10 · 0.07 · 0.52 · 0.48 = 0.17472 dollars.
    floor = Floor(usdc=0)
    floor.wallet.deposit(5_374_719)
    floor.wallet.refresh("COLLATERAL")
    assert text(floor.post()) == (
        "not enough balance / allowance: the balance is not enough -> balance: 5374719, order amount: 5374720"
    )
    floor.wallet.deposit(1)
    floor.wallet.refresh("COLLATERAL")
    assert floor.post().body["status"] == "matched"


def test_tokens_cannot_be_sold_before_they_are_mined():
    floor = Floor(rules=Rules(taker_hold_ms=0))
    assert floor.post().body["status"] == "matched"
    sale = {"side": "SELL", "makerAmount": "9000000", "takerAmount": "4500000"}
    assert "balance: 0, order amount: 9000000" in text(floor.post(**sale))
    floor.pass_ms(floor.exchange.rules.mined_ms)
    assert floor.post(**sale).body["status"] == "matched"
    assert "sum of matched orders: 9000000" in text(floor.post(**sale, salt=2))


def test_without_allowance_nothing_is_placed():
    floor = Floor()
    floor.wallet.approved = False
    assert text(floor.post()).startswith("not enough balance / allowance: the allowance is not enough")


def test_frames_of_the_small_world_are_what_these_tests_say():
    assert FIRST.asks[0] == (Decimal("0.52"), Decimal(100))
