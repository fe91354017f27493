"""The signatures equal published ones, and those the venue's own SDK makes of the same fields."""

import pytest
from eth_account import Account
from polymarket._internal.actions.orders.typed_data import build_order_signature, build_order_typed_data
from polymarket._internal.actions.orders.types import UnsignedOrder
from polymarket._internal.actions.relayer.calls import TransactionCall
from polymarket._internal.actions.relayer.signing.deposit_wallet import sign_deposit_wallet_batch
from pydantic import SecretStr

from shared.domain.orders import OrderSide
from shared.venue.order_struct import (
    EXCHANGE,
    NO_BYTES32,
    OrderStruct,
    SigningDomain,
    build_order,
    domain_for,
    exchange_separator,
)
from shared.venue.refusals import Malformed
from shared.venue.signing import DEPOSIT_WALLET, OrderSigner, WalletCall
from tests.unit.shared.venue.venue_values import OWNER, PRIVATE_KEY, TOKEN, WALLET, intent


def test_a_key_signs_an_order_as_published():
    order = OrderStruct(
        123456789,
        OWNER,
        OWNER,
        TOKEN,
        100_000_000,
        50_000_000,
        OrderSide.BUY,
        0,
        1713398400000,
        domain_for(TOKEN, version="v1", neg_risk=False),
    )
    signer = OrderSigner(PRIVATE_KEY)
    assert signer.address == OWNER
    assert signer.sign_order(order) == (
        "0x89f178136333c8ebb32a19146cb891233e3202d474be6ef730c24dbc06ae4d2a"
        "0c99948a86d9b57de0f2c0bb8ec6964aa244ecf17cfa3a95b86878d0b64ad78a1b"
    )


def test_a_deposit_wallets_signature_is_the_published_wrapper():
    amoy = 80002
    domain = SigningDomain("2", EXCHANGE, exchange_separator("2", EXCHANGE, amoy))
    order = OrderStruct(
        479249096354, WALLET, WALLET, "1234", 100_000_000, 50_000_000, OrderSide.BUY, 3, 1710000000000, domain
    )
    signed = OrderSigner(PRIVATE_KEY, WALLET, DEPOSIT_WALLET, amoy).sign_order(order)
    assert signed.startswith(
        "0xa3a093c83b6c20c83355c16ce94c92e6e9fcbdeb840618cc74f6c57a42ad145b"
        "2b98db73d2c73cbf1f2b6af288566ae81960ddbc3a13921027358a8bff3be6ff1c"
        "a440cbd865bc0c6243d7a8df9a8bf48a8827b0a4abbb61c30e96d305423af148"
        "d23d42d3ad94e65d78258cecaf8dcbaddac0f73dc085040f2c12bb595dd83804"
    )
    assert signed.endswith("00ba")
    assert len(signed) == 2 + 2 * (65 + 32 + 32 + 186 + 2)


@pytest.mark.parametrize(("kind", "wallet"), [(0, OWNER), (DEPOSIT_WALLET, WALLET)])
def test_an_order_is_signed_as_the_venues_sdk_signs_it(kind, wallet):
    signer = OrderSigner(PRIVATE_KEY, wallet, kind)
    order = build_order(intent(), maker=signer.wallet, signer=signer.wallet, signature_type=kind)
    theirs = UnsignedOrder(
        builder=NO_BYTES32,
        chain_id=137,
        exchange_address=EXCHANGE,
        expiration=0,
        maker=wallet,
        maker_amount=order.maker_amount,
        metadata=NO_BYTES32,
        order_type="FAK",
        protocol_version="2",
        salt=order.salt,
        side="BUY",
        signature_type=kind,
        signer=wallet,
        taker_amount=order.taker_amount,
        timestamp=order.timestamp_ms,
        token_id=order.token_id,
    )
    plain = Account.from_key(PRIVATE_KEY.get_secret_value()).sign_typed_data(
        full_message=build_order_typed_data(theirs)
    )
    assert signer.sign_order(order) == build_order_signature(theirs, "0x" + plain.signature.hex())


def test_a_login_is_signed_as_published():
    assert OrderSigner(PRIVATE_KEY).sign_login(1700000000) == (
        "0x659ed4b28ae28e0f038fdf0023c00863c9559caacb9ebc83f44eea87059a099a"
        "36f1e1dee110e7faa1c4f65d17489b2da1333ebef78bbe2116d81207b975052d1c"
    )
    assert OrderSigner(PRIVATE_KEY, chain_id=80002).sign_login(10000000, nonce=23) == (
        "0xf62319a987514da40e57e2f4d7529f7bac38f0355bd88bb5adbb3768d80de6c1"
        "682518e0af677d5260366425f4361e7b70c25ae232aff0ab2331e2b164a1aedc1b"
    )


def test_a_wallets_batch_is_signed_as_the_venues_sdk_signs_it():
    calls = [WalletCall(EXCHANGE, b"\x01\x02\x03"), WalletCall(WALLET, b"", 7)]
    theirs = sign_deposit_wallet_batch(
        Account.from_key(PRIVATE_KEY.get_secret_value()),
        wallet=WALLET,
        calls=[TransactionCall(call.target, "0x" + call.data.hex(), call.value) for call in calls],
        nonce="5",
        deadline="1791242400",
        chain_id=137,
    )
    ours = OrderSigner(PRIVATE_KEY, WALLET, DEPOSIT_WALLET).sign_batch(calls, nonce=5, deadline_s=1791242400)
    assert ours == theirs


def test_the_key_is_in_no_text():
    signer = OrderSigner(PRIVATE_KEY)
    digits = PRIVATE_KEY.get_secret_value()[2:]
    assert digits not in f"{signer!r} {signer} {vars(signer)}"


@pytest.mark.parametrize("bad", ["", "0x1234", "zz" * 32, "00" * 32])
def test_a_bad_key_is_refused_without_repeating_it(bad):
    with pytest.raises(Malformed) as raised:
        OrderSigner(SecretStr(bad))
    assert not bad or bad not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(("wallet", "kind"), [(WALLET, 0), (None, 3), (WALLET, 1), (WALLET, 2)])
def test_a_wallet_that_does_not_fit_the_signature_type_is_refused(wallet, kind):
    with pytest.raises(Malformed):
        OrderSigner(PRIVATE_KEY, wallet, kind)
