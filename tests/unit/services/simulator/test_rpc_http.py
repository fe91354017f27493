"""The fake node: balances on chain, block time, an EOA's transaction."""

import pytest_asyncio
from eth_abi.abi import encode
from eth_account import Account
from eth_utils.crypto import keccak

from services.simulator.chain_calls import COLLATERAL_ADAPTER, CONDITIONAL_TOKENS, PUSD
from tests.unit.services.simulator.venue_clients import Clients
from tests.unit.services.simulator.venue_world import OWNER, PRIVATE_KEY, START_MS, UP, WALLET, WINDOW, body


@pytest_asyncio.fixture
async def venue():
    clients = Clients()
    await clients.fund()
    yield clients
    await clients.close()


async def ask(venue, method, *parameters):
    _status, reply = await venue.post(
        "rpc", "/", {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(parameters)}
    )
    assert reply["id"] == 7
    return reply.get("result", reply.get("error"))


def view(target, signature, types, *arguments):
    return {"to": target, "data": "0x" + (keccak(text=signature)[:4] + encode(types, arguments)).hex()}


async def test_balances_are_those_of_the_chain(venue):
    await venue.call("POST", "/order", body(owner=venue.key.key))
    tokens = view(CONDITIONAL_TOKENS, "balanceOf(address,uint256)", ["address", "uint256"], WALLET, int(UP))
    cash = view(PUSD, "balanceOf(address)", ["address"], WALLET)
    assert int(await ask(venue, "eth_call", tokens, "latest"), 16) == 0
    venue.pass_ms(5_000)
    assert int(await ask(venue, "eth_call", tokens, "latest"), 16) == 9_999_999
    assert int(await ask(venue, "eth_call", cash, "latest"), 16) == 100_000_000 - 5_374_719
    assert (await ask(venue, "eth_call", {"to": PUSD, "data": "0x12345678"}, "latest"))["code"] == 3


async def test_the_head_of_the_chain(venue):
    assert await ask(venue, "eth_chainId") == hex(137)
    assert (
        int((await ask(venue, "eth_getBlockByNumber", "latest", False))["timestamp"], 16) == START_MS // 1000
    )
    assert (await ask(venue, "eth_feeHistory"))["code"] == -32601
    _status, batch = await venue.post(
        "rpc", "/", [{"id": 1, "method": "eth_chainId"}, {"id": 2, "method": "eth_gasPrice"}]
    )
    assert [reply["id"] for reply in batch] == [1, 2]


async def test_a_plain_key_redeems_by_its_own_transaction(venue):
    await venue.fund(signature_type=0)
    plain = body(owner=venue.key.key, maker=OWNER, signer=OWNER, signatureType=0)
    assert (await venue.call("POST", "/order", plain))[1]["status"] == "matched"
    venue.pass_ms(125_000)
    arguments = [PUSD, bytes(32), bytes.fromhex(WINDOW.condition_id[2:]), [1, 2]]
    call = keccak(text="redeemPositions(address,bytes32,bytes32,uint256[])")[:4] + encode(
        ["address", "bytes32", "bytes32", "uint256[]"], arguments
    )
    transaction = {
        "to": COLLATERAL_ADAPTER,
        "value": 0,
        "data": call,
        "gas": 200_000,
        "gasPrice": 1,
        "nonce": 0,
        "chainId": 137,
    }
    raw = "0x" + Account.sign_transaction(transaction, PRIVATE_KEY).raw_transaction.hex()
    sent = await ask(venue, "eth_sendRawTransaction", raw)
    assert await ask(venue, "eth_getTransactionReceipt", sent) is None
    assert (await ask(venue, "eth_sendRawTransaction", raw))["message"] == "nonce too low"
    venue.pass_ms(2_000)
    assert (await ask(venue, "eth_getTransactionReceipt", sent))["status"] == "0x1"
    assert int(await ask(venue, "eth_getTransactionCount", OWNER), 16) == 1
    wallet = (await venue.truth())["wallets"][OWNER]
    assert (wallet["tokens"], wallet["cash"]) == ({}, "104.625280")
