"""The JSON-RPC calls the venue's SDK makes of a Polygon node: balances, block time, and an EOA's own transactions."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import rlp  # type: ignore[import-untyped]
from aiohttp import web
from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_account import Account
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from services.simulator.accounts import COLLATERAL
from services.simulator.chain_calls import CONDITIONAL_TOKENS, PUSD, Call, Sender, perform
from services.simulator.settlement import Reverted
from services.simulator.signatures import CHAIN_ID, DEPOSIT_WALLET_BEACON, DEPOSIT_WALLET_FACTORY
from services.simulator.venue import Venue, answer

BLOCK_S: Final = 2
GAS: Final = 200_000
GAS_PRICE: Final = 30_000_000_000

_BALANCE: Final = keccak(text="balanceOf(address)")[:4]
_TOKEN_BALANCE: Final = keccak(text="balanceOf(address,uint256)")[:4]
_BEACON: Final = bytes.fromhex("49493a4d")


@dataclass(slots=True)
class Node:
    """Receipts and nonces of the fake chain; ``mined_ms`` after it was sent a transaction is in a block."""

    venue: Venue
    mined_ms: int
    nonces: dict[str, int] = field(default_factory=dict)
    receipts: dict[str, dict[str, str]] = field(default_factory=dict)

    def result(self, method: str, parameters: list[Any]) -> Any:
        """Return a call's result; raise LookupError for a method not served, ValueError where it reverts."""
        now_s = self.venue.now_ms() // 1000
        match method:
            case "eth_chainId":
                return hex(CHAIN_ID)
            case "eth_blockNumber":
                return hex(now_s // BLOCK_S)
            case "eth_getBlockByNumber":
                return {"number": hex(now_s // BLOCK_S), "timestamp": hex(now_s)}
            case "eth_gasPrice":
                return hex(GAS_PRICE)
            case "eth_estimateGas":
                return hex(GAS)
            case _:
                return self._account_result(method, parameters)

    def _account_result(self, method: str, parameters: list[Any]) -> Any:
        match method:
            case "eth_getTransactionCount":
                return hex(self.nonces.get(to_checksum_address(parameters[0]), 0))
            case "eth_getCode":
                return self._code(to_checksum_address(parameters[0]))
            case "eth_call":
                return self._view(parameters[0]["to"], bytes.fromhex(parameters[0]["data"][2:]))
            case "eth_sendRawTransaction":
                return self._send(bytes.fromhex(parameters[0][2:]))
            case "eth_getTransactionReceipt":
                return self.receipts.get(parameters[0])
            case _:
                raise LookupError(method)

    def _code(self, address: str) -> str:
        """Return the code at an address: every wallet but an EOA is a contract."""
        wallet = self.venue.exchange.wallets.get(address)
        return "0x" if wallet is None or wallet.signature_type == 0 else "0x6080"

    def _view(self, target: str, data: bytes) -> str:
        """Return the result of a view call: balances on chain, and the factory's beacon."""
        selector, arguments = data[:4], data[4:]
        if target.lower() == DEPOSIT_WALLET_FACTORY.lower() and selector == _BEACON:
            return _encoded("address", DEPOSIT_WALLET_BEACON)
        if target.lower() == PUSD.lower() and selector == _BALANCE:
            (owner,) = decode(["address"], arguments)
            return _encoded("uint256", self._balance(owner, COLLATERAL))
        if target.lower() == CONDITIONAL_TOKENS.lower() and selector == _TOKEN_BALANCE:
            owner, token = decode(["address", "uint256"], arguments)
            return _encoded("uint256", self._balance(owner, str(token)))
        raise ValueError("execution reverted")

    def _balance(self, owner: str, asset: str) -> int:
        wallet = self.venue.exchange.wallets.get(to_checksum_address(owner))
        return 0 if wallet is None else wallet.balance(asset)

    def _send(self, raw: bytes) -> str:
        """Take an EOA's signed transaction; what it calls happens when it is mined, or reverts then."""
        sender = to_checksum_address(Account.recover_transaction(raw))
        nonce, _price, _gas, target, value, data = rlp.decode(raw)[:6]
        wallet = self.venue.exchange.wallets.get(sender)
        expected = self.nonces.get(sender, 0)
        if wallet is None:
            raise ValueError("insufficient funds for gas * price + value")
        if int.from_bytes(nonce, "big") != expected:
            raise ValueError("nonce too low")
        self.nonces[sender] = expected + 1
        transaction_hash = "0x" + keccak(raw).hex()
        call = Call("0x" + target.hex(), int.from_bytes(value, "big"), data)

        def mine(when_ms: int) -> None:
            try:
                perform(Sender(self.venue.exchange, wallet, when_ms, transaction_hash), call)
                status = "0x1"
            except Reverted:
                status = "0x0"
            self.receipts[transaction_hash] = {"transactionHash": transaction_hash, "status": status}

        self.venue.exchange.timetable.at(self.venue.now_ms() + self.mined_ms, mine)
        return transaction_hash


def rpc_routes(node: Node) -> list[web.RouteDef]:
    """Return the single route of the fake node."""

    async def route(request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.read())
        except ValueError:
            return answer({"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "parse error"}})
        return answer([_reply(node, item) for item in body] if isinstance(body, list) else _reply(node, body))

    handler: Callable[[web.Request], Awaitable[web.Response]] = route
    return [web.post("/", handler)]


def _reply(node: Node, call: Any) -> dict[str, Any]:
    head = {"jsonrpc": "2.0", "id": call.get("id")}
    try:
        return head | {"result": node.result(call["method"], call.get("params", []))}
    except LookupError:
        return head | {
            "error": {"code": -32601, "message": f"method {call.get('method')} is not served here"}
        }
    except (DecodingError, ValueError) as error:
        return head | {"error": {"code": 3, "message": str(error)}}


def _encoded(kind: str, value: object) -> str:
    return "0x" + encode([kind], [value]).hex()
