"""PURE: an order as the exchange contract sees it — its fields, its hash, which is its id, and the body of its POST.

Sources: the exchange's EIP-712 struct of 2026 (domain versions "2" and "3"), the venue's SDK 0.14 and recomputed
vectors. The id does not depend on the signature, so it is known before anything is signed or sent (D3).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from types import MappingProxyType

from eth_utils.crypto import keccak

from shared.domain.amounts import limit_amounts, market_amounts
from shared.domain.ids import SALT_BITS, OrderId, TokenId
from shared.domain.orders import OrderSide, OrderType
from shared.domain.prepared import OrderIntent, PreparedOrder
from shared.venue.refusals import Malformed, UnknownVersion

CHAIN_ID = 137
EXCHANGE = "0xE111180000d2663C0091e4f400237545B87B996B"
NEG_RISK_EXCHANGE = "0xe2222d279d744050d28e00520010520000310F59"
EXCHANGE_V3 = "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa"

ORDER_TYPE = (
    "Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,uint256 takerAmount,"
    "uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,bytes32 builder)"
)
ORDER_TYPE_HASH = keccak(text=ORDER_TYPE)
DOMAIN_TYPE_HASH = keccak(
    text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
NO_BYTES32 = "0x" + "00" * 32

_V2_ID_RESERVED = ((1 << 64) - 1) << 40
"""Bits that are all zero in a Protocol-V2 position id and practically never in an older token id."""
_UINT256_MAX = (1 << 256) - 1
_SIDE_CODE: Mapping[OrderSide, int] = MappingProxyType({OrderSide.BUY: 0, OrderSide.SELL: 1})
_TAKES_AT_ONCE = frozenset({OrderType.FAK, OrderType.FOK})


@dataclass(frozen=True, slots=True)
class SigningDomain:
    """The exchange that will settle the order."""

    version: str
    exchange: str
    separator: bytes


@dataclass(frozen=True)
class OrderStruct:
    """An unsigned order: everything the signature covers."""

    salt: int
    maker: str
    signer: str
    token_id: TokenId
    maker_amount: int
    taker_amount: int
    side: OrderSide
    signature_type: int
    timestamp_ms: int
    domain: SigningDomain

    @cached_property
    def struct_hash(self) -> bytes:
        """The EIP-712 hash of the fields alone: signed, and part of the id."""
        return keccak(
            ORDER_TYPE_HASH
            + word(self.salt)
            + address_word(self.maker)
            + address_word(self.signer)
            + word(int(self.token_id))
            + word(self.maker_amount)
            + word(self.taker_amount)
            + word(_SIDE_CODE[self.side])
            + word(self.signature_type)
            + word(self.timestamp_ms)
            + bytes(64)  # metadata and builder: unused
        )

    def digest(self) -> bytes:
        """Return what is signed, and what the venue names the order by."""
        return typed_digest(self.domain.separator, self.struct_hash)

    def order_id(self) -> OrderId:
        """Return the venue's order id."""
        return OrderId("0x" + self.digest().hex())


def word(value: int) -> bytes:
    """Return a 32-byte big-endian word."""
    return value.to_bytes(32, "big")


def address_word(address: str) -> bytes:
    """Return an address as a 32-byte word.

    Raises:
        Malformed: not 20 bytes of hex.
    """
    try:
        raw = bytes.fromhex(address.removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) != 20:  # noqa: PLR2004 - an address has twenty bytes
        raise Malformed(f"not an address: {address!r}")
    return raw.rjust(32, b"\0")


def typed_digest(separator: bytes, struct_hash: bytes) -> bytes:
    """Return the EIP-712 digest of a struct under a domain."""
    return keccak(b"\x19\x01" + separator + struct_hash)


@cache
def exchange_separator(version: str, exchange: str, chain_id: int = CHAIN_ID) -> bytes:
    """Return the domain separator of an exchange contract; cached, for it never changes."""
    return keccak(
        DOMAIN_TYPE_HASH
        + keccak(text="Polymarket CTF Exchange")
        + keccak(text=version)
        + word(chain_id)
        + address_word(exchange)
    )


def is_v2_position_id(token_id: TokenId) -> bool:
    """Return whether an asset id has the layout of Protocol V2; raises Malformed for what is no 256-bit integer."""
    return not token_number(token_id) & _V2_ID_RESERVED


def token_number(token_id: TokenId) -> int:
    """Return an asset id as an integer.

    Raises:
        Malformed: not a decimal 256-bit integer.
    """
    if not (token_id.isascii() and token_id.isdigit()) or not 0 < int(token_id) <= _UINT256_MAX:
        raise Malformed(f"not an asset id: {token_id!r}")
    return int(token_id)


def domain_for(token_id: TokenId, *, version: str, neg_risk: bool) -> SigningDomain:
    """Return the exchange a market trades on, by its own version and by its asset id, which must agree.

    Raises:
        UnknownVersion: a version that is neither v1 nor v2, or one the asset id contradicts: an order signed for the
            wrong exchange would be refused, or worse, settle somewhere else.
    """
    if version not in {"v1", "v2"}:
        raise UnknownVersion(
            f"market version {version!r} is not known; trading it needs new code", version=version
        )
    if is_v2_position_id(token_id) != (version == "v2"):
        raise UnknownVersion(f"asset {token_id} does not belong to a {version} market", version=version)
    if version == "v2":
        return SigningDomain("3", EXCHANGE_V3, exchange_separator("3", EXCHANGE_V3))
    exchange = NEG_RISK_EXCHANGE if neg_risk else EXCHANGE
    return SigningDomain("2", exchange, exchange_separator("2", exchange))


def build_order(intent: OrderIntent, *, maker: str, signer: str, signature_type: int) -> OrderStruct:
    """Return the order an intent makes: a function of its arguments, so the same intent has the same id anywhere.

    Raises:
        UnknownVersion: see ``domain_for``.
        Malformed: a salt beyond what JSON numbers carry, or an amount or price the venue's grid cannot hold.
    """
    if not 0 <= intent.salt < 1 << SALT_BITS:
        raise Malformed("the salt must survive a JSON number")
    domain = domain_for(intent.token_id, version=intent.version, neg_risk=intent.neg_risk)
    amounts = market_amounts if intent.order_type in _TAKES_AT_ONCE else limit_amounts
    try:
        maker_amount, taker_amount = amounts(intent.side, intent.amount, intent.limit_price, intent.tick)
    except ValueError as error:
        raise Malformed(f"the order does not fit the market's grid: {error}") from error
    if (intent.order_type is OrderType.GTD) != (intent.expires_s > 0):
        raise Malformed("a GTD order expires, and no other does")
    if maker_amount <= 0 or taker_amount <= 0:
        raise Malformed(f"an order of {intent.amount} at {intent.limit_price} rounds to nothing")
    return OrderStruct(
        salt=intent.salt,
        maker=maker,
        signer=signer,
        token_id=intent.token_id,
        maker_amount=maker_amount,
        taker_amount=taker_amount,
        side=intent.side,
        signature_type=signature_type,
        timestamp_ms=intent.timestamp_ms,
        domain=domain,
    )


def post_body(
    order: OrderStruct, order_type: OrderType, *, signature: str, owner: str, expires_s: int = 0
) -> str:
    """Return the JSON of POST /order, compact, keys in the venue's order: these very bytes are authenticated."""
    return json.dumps(
        {
            "deferExec": False,
            "order": {
                "builder": NO_BYTES32,
                "expiration": str(expires_s),  # not signed
                "maker": order.maker,
                "makerAmount": str(order.maker_amount),
                "metadata": NO_BYTES32,
                "salt": order.salt,
                "side": order.side.value,
                "signature": signature,
                "signatureType": order.signature_type,
                "signer": order.signer,
                "takerAmount": str(order.taker_amount),
                "timestamp": str(order.timestamp_ms),
                "tokenId": order.token_id,
            },
            "orderType": order_type.value,
            "owner": owner,
        },
        separators=(",", ":"),
    )


def prepared_order(intent: OrderIntent, order: OrderStruct, *, signature: str, owner: str) -> PreparedOrder:
    """Return what the claim stores of an order: its id, its amounts and the very bytes to post."""
    return PreparedOrder(
        intent=intent,
        order_id=order.order_id(),
        maker_amount=order.maker_amount,
        taker_amount=order.taker_amount,
        maker=order.maker,
        signer=order.signer,
        signature_type=order.signature_type,
        domain_version=order.domain.version,
        exchange=order.domain.exchange,
        body=post_body(
            order, intent.order_type, signature=signature, owner=owner, expires_s=intent.expires_s
        ),
    )
