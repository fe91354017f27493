"""The contract calls a wallet may make on the fake chain, decoded from their bytes and done. PURE."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from services.simulator.accounts import COLLATERAL, Wallet
from services.simulator.exchange import Exchange
from services.simulator.orders import Market
from services.simulator.settlement import Reverted

PUSD: Final = "0xC011a7E12a19f7B1f670d46F03B03f3342E82DFB"
CONDITIONAL_TOKENS: Final = "0x4D97DCd97eC945f40cF65F87097ACe5EA0476045"
COLLATERAL_ADAPTER: Final = "0xAdA100Db00Ca00073811820692005400218FcE1f"
ROUTER_V2: Final = "0x12121212006e4CD160D18e3f00711DA5c3372600"
NEG_RISK_ADAPTER: Final = "0xadA2005600Dec949baf300f4C6120000bDB6eAab"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a batch."""

    target: str
    value: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Sender:
    """The wallet a call is made by, when, and in which transaction."""

    exchange: Exchange
    wallet: Wallet
    at_ms: int
    transaction_hash: str


def perform(sender: Sender, call: Call) -> None:
    """Do one call; raise Reverted for what would revert or what this chain does not know."""
    known = _CALLS.get(call.data[:4])
    if known is None:
        raise Reverted(f"unknown call {call.data[:4].hex()} to {call.target}")
    types, act = known
    try:
        arguments = decode(types, call.data[4:])
    except DecodingError as error:
        raise Reverted("execution reverted") from error
    act(sender, call.target, arguments)


def _approve(sender: Sender, _target: str, _arguments: tuple[Any, ...]) -> None:
    sender.wallet.approved = True


def _redeem(sender: Sender, target: str, arguments: tuple[Any, ...]) -> None:
    market = _market(sender, target, arguments)
    if list(arguments[3]) != [1, 2]:
        raise Reverted("execution reverted: partition")
    sender.exchange.settlement.redeem(sender.wallet, market, sender.at_ms, sender.transaction_hash)


def _split(sender: Sender, target: str, arguments: tuple[Any, ...]) -> None:
    _exchange_pairs(sender, _market(sender, target, arguments), arguments[4])


def _merge(sender: Sender, target: str, arguments: tuple[Any, ...]) -> None:
    _exchange_pairs(sender, _market(sender, target, arguments), -arguments[4])


def _redeem_position(sender: Sender, target: str, arguments: tuple[Any, ...]) -> None:
    """Pay one outcome of a Protocol V2 market; it must be resolved, and the whole amount held."""
    condition, outcome, amount = arguments
    market = sender.exchange.listing.markets.get(f"0x{condition.hex()}00")
    if market is None or target.lower() != ROUTER_V2.lower() or outcome not in (0, 1):
        raise Reverted("execution reverted")
    if sender.wallet.tokens.get(market.token(is_up=outcome == 0), 0) < amount:
        raise Reverted("ERC1155: insufficient balance for transfer")
    sender.exchange.settlement.redeem_outcome(
        sender.wallet, market, (outcome == 0, amount), sender.at_ms, sender.transaction_hash
    )


def _exchange_pairs(sender: Sender, market: Market, amount: int) -> None:
    """Turn collateral into pairs of tokens (amount > 0) or back."""
    wallet = sender.wallet
    tokens = [market.token(is_up=is_up) for is_up in (True, False)]
    if wallet.cash < amount or any(wallet.tokens.get(token, 0) < -amount for token in tokens):
        raise Reverted("ERC20: transfer amount exceeds balance")
    wallet.cash -= amount
    for token in tokens:
        wallet.tokens[token] = wallet.tokens.get(token, 0) + amount
    for asset in (COLLATERAL, *tokens):
        sender.exchange.settlement.refresh_later(wallet, asset, sender.at_ms)


def _market(sender: Sender, target: str, arguments: tuple[Any, ...]) -> Market:
    """Return the market a position call names; only the adapters take these calls, for pUSD."""
    collateral, parent, condition = arguments[:3]
    market = sender.exchange.listing.markets.get("0x" + condition.hex())
    adapters = (COLLATERAL_ADAPTER.lower(), NEG_RISK_ADAPTER.lower())
    if market is None or target.lower() not in adapters or collateral != PUSD.lower() or parent != bytes(32):
        raise Reverted("execution reverted")
    return market


def _selector(signature: str) -> bytes:
    return keccak(text=signature)[:4]


def _types(signature: str) -> list[str]:
    return signature[signature.index("(") + 1 : -1].split(",")


_CALLS: Final[Mapping[bytes, tuple[list[str], Callable[[Sender, str, tuple[Any, ...]], None]]]] = {
    _selector(signature): (_types(signature), act)
    for signature, act in (
        ("redeemPositions(address,bytes32,bytes32,uint256[])", _redeem),
        ("redeem(bytes31,uint256,uint256)", _redeem_position),
        ("splitPosition(address,bytes32,bytes32,uint256[],uint256)", _split),
        ("mergePositions(address,bytes32,bytes32,uint256[],uint256)", _merge),
        ("approve(address,uint256)", _approve),
        ("setApprovalForAll(address,bool)", _approve),
    )
}
