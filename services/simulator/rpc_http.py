"""The few JSON-RPC calls the venue's SDK makes of a Polygon node around a gasless transaction."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from services.simulator.accounts import COLLATERAL
from services.simulator.chain_calls import CONDITIONAL_TOKENS, PUSD
from services.simulator.signatures import CHAIN_ID, DEPOSIT_WALLET_BEACON, DEPOSIT_WALLET_FACTORY
from services.simulator.venue import Venue, answer

_BALANCE: Final = keccak(text="balanceOf(address)")[:4]
_TOKEN_BALANCE: Final = keccak(text="balanceOf(address,uint256)")[:4]
_BEACON: Final = bytes.fromhex("49493a4d")


def rpc_routes(venue: Venue) -> list[web.RouteDef]:
    """Return the single route of the fake node."""

    async def route(request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.read())
        except ValueError:
            return answer({"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "parse error"}})
        if isinstance(body, list):
            return answer([_reply(venue, item) for item in body])
        return answer(_reply(venue, body))

    handler: Callable[[web.Request], Awaitable[web.Response]] = route
    return [web.post("/", handler)]


def _reply(venue: Venue, call: Any) -> dict[str, Any]:
    head = {"jsonrpc": "2.0", "id": call.get("id")}
    try:
        return head | {"result": _result(venue, call["method"], call.get("params", []))}
    except LookupError:
        return head | {
            "error": {"code": -32601, "message": f"method {call.get('method')} is not served here"}
        }
    except (DecodingError, ValueError):
        return head | {"error": {"code": 3, "message": "execution reverted"}}


def _result(venue: Venue, method: str, parameters: list[Any]) -> Any:
    now_s = venue.now_ms() // 1000
    if method == "eth_chainId":
        return hex(CHAIN_ID)
    if method == "eth_blockNumber":
        return hex(now_s // 2)
    if method == "eth_getBlockByNumber":
        return {"number": hex(now_s // 2), "timestamp": hex(now_s)}
    if method == "eth_call":
        return _call(venue, parameters[0]["to"], bytes.fromhex(parameters[0]["data"][2:]))
    raise LookupError(method)


def _call(venue: Venue, target: str, data: bytes) -> str:
    """Return the result of a view call: balances on chain, and the factory's beacon."""
    selector, arguments = data[:4], data[4:]
    if target.lower() == DEPOSIT_WALLET_FACTORY.lower() and selector == _BEACON:
        return _encoded("address", DEPOSIT_WALLET_BEACON)
    if target.lower() == PUSD.lower() and selector == _BALANCE:
        (owner,) = decode(["address"], arguments)
        return _encoded("uint256", _balance(venue, owner, COLLATERAL))
    if target.lower() == CONDITIONAL_TOKENS.lower() and selector == _TOKEN_BALANCE:
        owner, token = decode(["address", "uint256"], arguments)
        return _encoded("uint256", _balance(venue, owner, str(token)))
    raise ValueError(target)


def _balance(venue: Venue, owner: str, asset: str) -> int:
    wallet = venue.exchange.wallets.get(to_checksum_address(owner))
    return 0 if wallet is None else wallet.balance(asset)


def _encoded(kind: str, value: object) -> str:
    return "0x" + encode([kind], [value]).hex()
