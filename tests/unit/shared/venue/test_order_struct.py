import json
from decimal import Decimal

import pytest

from shared.domain.orders import OrderSide, OrderType
from shared.venue.order_struct import (
    EXCHANGE,
    EXCHANGE_V3,
    NEG_RISK_EXCHANGE,
    ORDER_TYPE_HASH,
    OrderStruct,
    build_order,
    domain_for,
    exchange_separator,
    post_body,
    prepared_order,
)
from shared.venue.refusals import Malformed, UnknownVersion
from tests.unit.shared.venue.venue_values import OWNER, TOKEN, V2_TOKEN, WALLET, intent

# Published by the venue's clients and recomputed: salt, maker, maker and taker amount, side, signature type, token,
# version, negative risk, order id.
VECTORS = [
    (123456789, OWNER, 100_000_000, 50_000_000, "BUY", 0, TOKEN, "v1", False,
     "0x32961c48ddac87ed3582f8e02097cd0eff4fcf80460306bd44b3710438dfa64c"),
    (987654321, OWNER, 50_000_000, 100_000_000, "SELL", 0, TOKEN, "v1", True,
     "0x8b878404bd92dea2bfea9975c9fcd816ec70a57ae431cb20d67bb773744aaef3"),
    (333333333, WALLET, 100_000_000, 50_000_000, "BUY", 3, TOKEN, "v1", False,
     "0x48cfd4c03dcee72230750e2dc5ea71048e91244c2a9fec2ed6ef790a74869596"),
    (123456789, OWNER, 100_000_000, 50_000_000, "BUY", 0, V2_TOKEN, "v2", False,
     "0xb7f66f00523a4330d63307641765f4127d3bcbdcffbc7b9065466cba5c63825c"),
]  # fmt: skip


@pytest.mark.parametrize("vector", VECTORS)
def test_an_order_has_the_id_the_venue_gives_it(vector):
    salt, maker, maker_amount, taker_amount, side, kind, token, version, neg_risk, order_id = vector
    domain = domain_for(token, version=version, neg_risk=neg_risk)
    order = OrderStruct(
        salt, maker, maker, token, maker_amount, taker_amount, OrderSide(side), kind, 1713398400000, domain
    )
    assert order.order_id() == order_id


def test_the_type_and_the_domains_hash_as_published():
    assert ORDER_TYPE_HASH.hex() == "bb86318a2138f5fa8ae32fbe8e659f8fcf13cc6ae4014a707893055433818589"
    found = [
        exchange_separator(*pair).hex()
        for pair in (("2", EXCHANGE), ("2", NEG_RISK_EXCHANGE), ("3", EXCHANGE_V3))
    ]
    assert found == [
        "3264e159346253e26a64e00b69032db0e7d32f94628de3e6eecb50304d7af3d2",
        "9b858f53327b0bd13af8ec14cfb35234fb9eb7b0504d1a4e61f433840d30e81a",
        "466c63910185bbd55e8679264200c4e0abdcbb0c6264eb3d41d13326022e095b",
    ]


@pytest.mark.parametrize(
    ("version", "neg_risk", "token", "signed_for"),
    [
        ("v1", False, TOKEN, ("2", EXCHANGE)),
        ("v1", True, TOKEN, ("2", NEG_RISK_EXCHANGE)),
        ("v2", False, V2_TOKEN, ("3", EXCHANGE_V3)),
        ("v2", True, V2_TOKEN, ("3", EXCHANGE_V3)),
    ],
)
def test_the_market_says_which_exchange_an_order_is_signed_for(version, neg_risk, token, signed_for):
    domain = domain_for(token, version=version, neg_risk=neg_risk)
    assert (domain.version, domain.exchange) == signed_for


@pytest.mark.parametrize(("version", "token"), [("v9", TOKEN), ("", TOKEN), ("v1", V2_TOKEN), ("v2", TOKEN)])
def test_an_unknown_version_or_a_contradicting_asset_is_refused(version, token):
    with pytest.raises(UnknownVersion):
        build_order(intent(version=version, token_id=token), maker=OWNER, signer=OWNER, signature_type=0)


@pytest.mark.parametrize("token", ["", "0", "-5", "0x12", "12.5", "9" * 90, "१२"])
def test_an_asset_id_that_is_no_256_bit_number_is_refused(token):
    with pytest.raises(Malformed):
        domain_for(token, version="v1", neg_risk=False)


@pytest.mark.parametrize(
    ("changes", "maker_amount", "taker_amount"),
    [
        ({}, 1_200_000, 2_181_800),  # captured at the venue
        ({"amount": Decimal(10), "limit_price": Decimal("0.52")}, 10_000_000, 19_230_700),
        (
            {"side": OrderSide.SELL, "amount": Decimal("2.18"), "limit_price": Decimal("0.53")},
            2_180_000,
            1_155_400,
        ),
        (
            {"order_type": OrderType.GTC, "amount": Decimal("21.04"), "limit_price": Decimal("0.56")},
            11_782_400,
            21_040_000,
        ),
    ],
)
def test_amounts_follow_the_order_type(changes, maker_amount, taker_amount):
    order = build_order(intent(**changes), maker=OWNER, signer=OWNER, signature_type=0)
    assert (order.maker_amount, order.taker_amount) == (maker_amount, taker_amount)


@pytest.mark.parametrize(
    "changes",
    [
        {"salt": 1 << 53},
        {"salt": -1},
        {"limit_price": Decimal("0.555")},
        {"tick": Decimal("0.03")},
        {"amount": Decimal("0.001")},
    ],
)
def test_what_the_venue_cannot_hold_is_refused_before_signing(changes):
    with pytest.raises(Malformed):
        build_order(intent(**changes), maker=OWNER, signer=OWNER, signature_type=0)


def test_an_address_that_is_none_is_refused():
    order = build_order(intent(), maker="0x1234", signer=OWNER, signature_type=0)
    with pytest.raises(Malformed):
        order.order_id()


def test_the_same_intent_has_the_same_id_and_another_salt_another():
    def id_of(**changes):
        return build_order(intent(**changes), maker=OWNER, signer=OWNER, signature_type=0).order_id()

    assert id_of() == id_of()
    assert id_of() != id_of(salt=1)


def test_the_body_is_compact_and_in_the_venues_order():
    order = build_order(intent(), maker=WALLET, signer=WALLET, signature_type=3)
    body = post_body(order, OrderType.FAK, signature="0xab", owner="the-key")
    zeros = "0x" + "00" * 32
    assert body == (
        f'{{"deferExec":false,"order":{{"builder":"{zeros}","expiration":"0","maker":"{WALLET}","makerAmount":"1200000",'
        f'"metadata":"{zeros}","salt":479249096354,"side":"BUY","signature":"0xab","signatureType":3,'
        f'"signer":"{WALLET}","takerAmount":"2181800","timestamp":"1791241800123","tokenId":"{TOKEN}"}},'
        '"orderType":"FAK","owner":"the-key"}'
    )


def test_a_prepared_order_stores_what_was_hashed_and_never_shows_its_body():
    order = build_order(intent(), maker=OWNER, signer=OWNER, signature_type=0)
    prepared = prepared_order(intent(), order, signature="0xsecret", owner="key")
    assert prepared.order_id == order.order_id()
    assert (prepared.domain_version, prepared.exchange) == ("2", EXCHANGE)
    assert json.loads(prepared.body)["order"]["makerAmount"] == str(prepared.maker_amount)
    assert "secret" not in repr(prepared)
