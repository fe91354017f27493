"""API keys: who signed the login gets them, the same ones each time."""

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from services.simulator.venue_auth import ApiKeys, Unauthorized
from tests.unit.services.simulator.venue_world import OWNER, PRIVATE_KEY

NOW_S = 1_700_000_000
STRANGER = "0x" + "ab" * 20


def login(address=OWNER, nonce=0, timestamp=NOW_S, key=PRIVATE_KEY):
    types = {
        "EIP712Domain": [
            {"name": "name", "type": "string"},
            {"name": "version", "type": "string"},
            {"name": "chainId", "type": "uint256"},
        ],
        "ClobAuth": [
            {"name": "address", "type": "address"},
            {"name": "timestamp", "type": "string"},
            {"name": "nonce", "type": "uint256"},
            {"name": "message", "type": "string"},
        ],
    }
    message = {
        "address": address,
        "timestamp": str(timestamp),
        "nonce": nonce,
        "message": "This message attests that I control the given wallet",
    }
    domain = {"name": "ClobAuthDomain", "version": "1", "chainId": 137}
    full = {"types": types, "primaryType": "ClobAuth", "domain": domain, "message": message}
    signature = Account.sign_message(encode_typed_data(full_message=full), key).signature.hex()
    return {
        "POLY_ADDRESS": address,
        "POLY_NONCE": str(nonce),
        "POLY_TIMESTAMP": str(timestamp),
        "POLY_SIGNATURE": "0x" + signature,
    }


def test_a_key_is_made_once_and_derived_again():
    keys = ApiKeys(1)
    made = keys.create(login(), NOW_S)
    assert keys.create(login(), NOW_S) is None
    assert keys.derive(login(), NOW_S) == made
    assert keys.derive(login(nonce=1), NOW_S) is None
    assert keys.create(login(nonce=1), NOW_S) != made
    assert ApiKeys(1).create(login(), NOW_S) == made
    assert ApiKeys(2).create(login(), NOW_S) != made


@pytest.mark.parametrize(
    "headers",
    [
        login(address=STRANGER),
        login(key="0x" + "12" * 32),
        login() | {"POLY_NONCE": "1"},
        login() | {"POLY_NONCE": "-1"},
        login() | {"POLY_SIGNATURE": "0x"},
        login(timestamp=NOW_S - 301),
        {},
    ],
)
def test_a_login_nobody_signed_now_is_refused(headers):
    with pytest.raises(Unauthorized, match="Invalid L1 Request headers"):
        ApiKeys(1).create(headers, NOW_S)


def test_a_deleted_key_is_no_key_and_may_be_made_anew():
    keys = ApiKeys(1)
    made = keys.create(login(), NOW_S)
    assert keys.keys_of(OWNER) == [made.key]
    keys.delete(made.key)
    assert keys.keys_of(OWNER) == []
    assert keys.known(made.key, made.secret, made.passphrase) is None
    assert keys.create(login(), NOW_S) == made
