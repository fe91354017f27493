"""The relayer takes what the wallet's owner signed, once, and does it on chain."""

import pytest
import pytest_asyncio
from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

from services.simulator.chain_calls import COLLATERAL_ADAPTER, PUSD
from tests.unit.services.simulator.venue_clients import Clients
from tests.unit.services.simulator.venue_world import (
    DOMAIN_FIELDS,
    OWNER,
    PRIVATE_KEY,
    UP,
    WALLET,
    WINDOW,
    body,
)

ADAPTER_CALL = "redeemPositions(address,bytes32,bytes32,uint256[])"


@pytest_asyncio.fixture
async def venue():
    clients = Clients()
    clients.relayer_key = (await clients.fund())[1]["relayer_api_key"]
    yield clients
    await clients.close()


def position_call(signature, *more, target=COLLATERAL_ADAPTER, parent=bytes(32)):
    types = signature[signature.index("(") + 1 : -1].split(",")
    arguments = [PUSD, parent, bytes.fromhex(WINDOW.condition_id[2:]), *more]
    return {
        "target": target,
        "value": "0",
        "data": "0x" + (keccak(text=signature)[:4] + encode(types, arguments)).hex(),
    }


REDEEM = position_call(ADAPTER_CALL, [1, 2])


def batch(calls, nonce=0, deadline=None, key=PRIVATE_KEY):
    deadline = deadline if deadline is not None else 1_791_300_000
    message = {
        "wallet": WALLET,
        "nonce": nonce,
        "deadline": deadline,
        "calls": [
            {"target": c["target"], "value": int(c["value"]), "data": bytes.fromhex(c["data"][2:])}
            for c in calls
        ],
    }
    typed = {
        "types": {
            "EIP712Domain": DOMAIN_FIELDS,
            "Batch": [
                {"name": "wallet", "type": "address"},
                {"name": "nonce", "type": "uint256"},
                {"name": "deadline", "type": "uint256"},
                {"name": "calls", "type": "Call[]"},
            ],
            "Call": [
                {"name": "target", "type": "address"},
                {"name": "value", "type": "uint256"},
                {"name": "data", "type": "bytes"},
            ],
        },
        "primaryType": "Batch",
        "domain": {"name": "DepositWallet", "version": "1", "chainId": 137, "verifyingContract": WALLET},
        "message": message,
    }
    signature = Account.sign_message(encode_typed_data(full_message=typed), key).signature.hex()
    return {
        "type": "WALLET",
        "from": OWNER,
        "to": "0x00000000000Fb5C9ADea0298D729A0CB3823Cc07",
        "nonce": str(nonce),
        "signature": "0x" + signature,
        "metadata": "",
        "depositWalletParams": {"depositWallet": WALLET, "deadline": str(deadline), "calls": calls},
    }


async def submit(venue, payload, key=None):
    headers = {"RELAYER_API_KEY": key or venue.relayer_key, "RELAYER_API_KEY_ADDRESS": OWNER}
    response = await (await venue.client("relayer")).post("/submit", json=payload, headers=headers)
    return response.status, await response.json()


async def finished(venue, payload):
    status, answer = await submit(venue, payload)
    assert (status, answer["state"]) == (200, "STATE_NEW")
    venue.pass_ms(3_000)
    return (await venue.get("relayer", f"/v1/account/transactions/{answer['transactionID']}"))[1]


async def test_a_redemption_burns_the_tokens_and_pays_the_winner_once(venue):
    await venue.call("POST", "/order", body(owner=venue.key.key))
    venue.pass_ms(125_000)
    assert (await venue.wallet())["tokens"][UP]["mined"] == "9.999999"
    done = await finished(venue, batch([REDEEM]))
    assert done["state"] == "STATE_CONFIRMED"
    wallet = await venue.wallet()
    assert wallet["tokens"] == {}
    assert wallet["cash"] == "104.625280"  # 100 - 5.199999 - 0.174720 + 9.999999
    assert (await finished(venue, batch([REDEEM], nonce=1)))["state"] == "STATE_CONFIRMED"
    assert len((await venue.truth())["redemptions"]) == 1


async def test_a_redemption_before_the_resolution_fails_on_chain(venue):
    done = await finished(venue, batch([REDEEM]))
    assert (done["state"], done["error_msg"]) == ("STATE_FAILED", "result for condition not received yet")


async def test_pairs_are_split_and_merged(venue):
    split = position_call("splitPosition(address,bytes32,bytes32,uint256[],uint256)", [1, 2], 7_000_000)
    assert (await finished(venue, batch([split])))["state"] == "STATE_CONFIRMED"
    wallet = await venue.wallet()
    assert (wallet["cash"], wallet["tokens"][UP]["mined"]) == ("93.000000", "7.000000")
    merge = position_call("mergePositions(address,bytes32,bytes32,uint256[],uint256)", [1, 2], 7_000_001)
    assert (await finished(venue, batch([merge], nonce=1)))["state"] == "STATE_FAILED"
    assert (await venue.wallet())["cash"] == "93.000000"


@pytest.mark.parametrize(
    "call",
    [
        position_call(ADAPTER_CALL, [1, 2], target=PUSD),
        position_call(ADAPTER_CALL, [1]),
        position_call(ADAPTER_CALL, [1, 2], parent=b"\x01" * 32),
        {"target": PUSD, "value": "0", "data": "0x12345678"},
        {"target": COLLATERAL_ADAPTER, "value": "0", "data": REDEEM["data"][:40]},
    ],
)
async def test_what_the_contracts_do_not_know_reverts(venue, call):
    await venue.call("POST", "/order", body(owner=venue.key.key))
    venue.pass_ms(125_000)
    assert (await finished(venue, batch([call])))["state"] == "STATE_FAILED"
    assert (await venue.wallet())["tokens"][UP]["mined"] == "9.999999"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (batch([REDEEM], nonce=4), "batch nonce 4 does not match on-chain nonce 0"),
        (batch([REDEEM], deadline=1_791_241_200), "deadline expired"),
        (batch([REDEEM], key="0x" + "12" * 32), "invalid signature"),
        (batch([REDEEM]) | {"from": "0x" + "ab" * 20}, "wallet is not registered for this owner"),
        (batch([REDEEM]) | {"type": "SAFE"}, "unsupported transaction type SAFE"),
        ({"type": "WALLET"}, "invalid payload"),
    ],
)
async def test_a_batch_that_is_wrong_is_refused_by_reason(venue, payload, reason):
    assert await submit(venue, payload) == (400, {"error": reason})


async def test_a_tampered_batch_has_no_signature(venue):
    payload = batch([REDEEM])
    payload["depositWalletParams"]["calls"][0]["value"] = "1"
    assert await submit(venue, payload) == (400, {"error": "invalid signature"})


async def test_one_batch_at_a_time(venue):
    assert (await submit(venue, batch([REDEEM])))[0] == 200
    status, answer = await submit(venue, batch([REDEEM], nonce=1))
    assert (status, answer["error"]) == (400, f"wallet busy: {WALLET} has an active action")


async def test_without_a_key_nothing_is_taken(venue):
    assert (await submit(venue, batch([REDEEM]), key="forged"))[0] == 401


async def test_a_wallet_is_deployed_for_its_owner():
    venue = Clients()
    _status, funded = await venue.post("control", "/_sim/accounts", {"address": OWNER, "signature_type": 0})
    venue.relayer_key = funded["relayer_api_key"]
    assert (await venue.get("relayer", "/deployed", address=WALLET))[1] == {"deployed": False}
    assert (await finished(venue, {"type": "WALLET-CREATE", "from": OWNER}))["state"] == "STATE_CONFIRMED"
    assert (await venue.get("relayer", "/deployed", address=WALLET))[1] == {"deployed": True}
    assert (await venue.get("relayer", "/v1/account/transactions/params", address=OWNER))[1] == {
        "address": OWNER,
        "nonce": "0",
    }
    await venue.close()
