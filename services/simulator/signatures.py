"""What the venue signs and checks: order hashes, wrapped wallet signatures, login signatures, HMAC. PURE.

Written from the venue's published types and contracts (CLOB V2, domains "2" and "3"), on its own: the client
under test has another implementation, and the published vectors keep both honest.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import coincurve
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

CHAIN_ID: Final = 137
EXCHANGE: Final = "0xE111180000d2663C0091e4f400237545B87B996B"
EXCHANGE_NEG_RISK: Final = "0xe2222d279d744050d28e00520010520000310F59"
EXCHANGE_V3: Final = "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa"
DEPOSIT_WALLET_FACTORY: Final = "0x00000000000Fb5C9ADea0298D729A0CB3823Cc07"
DEPOSIT_WALLET_BEACON: Final = "0x7A18EDfe055488A3128f01F563e5B479D92ffc3a"

Side = Literal["BUY", "SELL"]

_ORDER_TYPE: Final = (
    "Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,uint256 takerAmount,"
    "uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,bytes32 builder)"
)
_TYPED_DATA_SIGN_TYPE: Final = (
    "TypedDataSign(Order contents,string name,string version,uint256 chainId,address verifyingContract,"
    "bytes32 salt)" + _ORDER_TYPE
)
_DOMAIN_TYPE: Final = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_LOGIN_DOMAIN_TYPE: Final = "EIP712Domain(string name,string version,uint256 chainId)"
_LOGIN_TYPE: Final = "ClobAuth(address address,string timestamp,uint256 nonce,string message)"
_LOGIN_MESSAGE: Final = "This message attests that I control the given wallet"
_BATCH_TYPE: Final = (
    "Batch(address wallet,uint256 nonce,uint256 deadline,Call[] calls)"
    "Call(address target,uint256 value,bytes data)"
)
_CALL_TYPE: Final = "Call(address target,uint256 value,bytes data)"
_POSITION_ID_RESERVED: Final = ((1 << 64) - 1) << 40
_SIGNATURE_BYTES: Final = 65
_WALLET_SIGNATURE_BYTES: Final = 65 + 32 + 32 + len(_ORDER_TYPE) + 2

# Init code of an ERC-1967 beacon proxy as the deposit-wallet factory makes it.
_BEACON_PREFIX: Final = 0x6100523D8160233D3973
_BEACON_CODE: Final = bytes.fromhex(
    "60195155f3363d3d373d3d363d602036600436635c60da"
    "1b60e01b36527fa3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6c"
    "b3582b35133d50545afa5036515af43d6000803e604d573d6000fd5b3d6000f3"
)


@dataclass(frozen=True, slots=True)
class SignedFields:
    """The eleven signed fields of an order; two orders with equal fields are one order."""

    salt: int
    maker: str
    signer: str
    token_id: int
    maker_amount: int  # base units, 6 decimals
    taker_amount: int
    side: Side
    signature_type: int
    timestamp: int  # ms
    metadata: str  # 0x and 64 hex digits
    builder: str


@dataclass(frozen=True, slots=True)
class Domain:
    """The exchange an order is signed for."""

    version: str
    contract: str

    @property
    def separator(self) -> bytes:
        """EIP-712 domain separator."""
        name, version = keccak(text="Polymarket CTF Exchange"), keccak(text=self.version)
        return keccak(keccak(text=_DOMAIN_TYPE) + name + version + _word(CHAIN_ID) + _address(self.contract))


DOMAIN_STANDARD: Final = Domain("2", EXCHANGE)
DOMAIN_NEG_RISK: Final = Domain("2", EXCHANGE_NEG_RISK)
DOMAIN_V3: Final = Domain("3", EXCHANGE_V3)


def domain_for(token_id: int, *, neg_risk: bool) -> Domain:
    """Return the domain of an asset: bits 40..103 all zero mark a Protocol-V2 position id."""
    if token_id & _POSITION_ID_RESERVED == 0:
        return DOMAIN_V3
    return DOMAIN_NEG_RISK if neg_risk else DOMAIN_STANDARD


def order_id(fields: SignedFields, domain: Domain) -> str:
    """Return the venue's id of an order: its EIP-712 digest, whatever the signature."""
    return "0x" + _digest(domain.separator, _struct_hash(fields)).hex()


def order_signer(fields: SignedFields, domain: Domain, signature: str) -> str | None:
    """Return the checksummed address whose key signed the order, None where the bytes are no signature.

    Type 3 carries the ERC-7739 wrapper: 65 bytes, the domain separator, the struct hash, the type string and its
    length; a wrapper that names another domain or order is no signature.
    """
    raw = _unhex(signature)
    if raw is None:
        return None
    struct = _struct_hash(fields)
    if fields.signature_type != 3:  # noqa: PLR2004 - the venue's number for a deposit wallet
        return recover(_digest(domain.separator, struct), raw)
    trailer = domain.separator + struct + _ORDER_TYPE.encode("ascii") + len(_ORDER_TYPE).to_bytes(2, "big")
    if len(raw) != _WALLET_SIGNATURE_BYTES or raw[_SIGNATURE_BYTES:] != trailer:
        return None
    wrapped = keccak(
        keccak(text=_TYPED_DATA_SIGN_TYPE)
        + struct
        + keccak(text="DepositWallet")
        + keccak(text="1")
        + _word(CHAIN_ID)
        + _address(fields.signer)
        + bytes(32)
    )
    return recover(_digest(domain.separator, wrapped), raw[:_SIGNATURE_BYTES])


def login_signer(address: str, timestamp: str, nonce: int, signature: str) -> str | None:
    """Return who signed an L1 login (``ClobAuth``), None where the bytes are no signature."""
    raw = _unhex(signature)
    if raw is None or not is_address(address):
        return None
    domain = keccak(
        keccak(text=_LOGIN_DOMAIN_TYPE) + keccak(text="ClobAuthDomain") + keccak(text="1") + _word(CHAIN_ID)
    )
    struct = keccak(
        keccak(text=_LOGIN_TYPE)
        + _address(address)
        + keccak(text=timestamp)
        + _word(nonce)
        + keccak(text=_LOGIN_MESSAGE)
    )
    return recover(_digest(domain, struct), raw)


def request_signature(secret: str, timestamp: str, method: str, path: str, body: bytes) -> str:
    """Return the L2 signature of one request: HMAC-SHA256 over timestamp, method, path without query, body."""
    key = base64.urlsafe_b64decode(secret)
    message = f"{timestamp}{method}{path}".encode() + body
    return base64.urlsafe_b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode("ascii")


def batch_signer(
    wallet: str, nonce: int, deadline: int, calls: Sequence[tuple[str, int, bytes]], signature: str
) -> str | None:
    """Return who signed a deposit wallet's batch of (target, value, data) calls."""
    raw = _unhex(signature)
    if raw is None:
        return None
    domain = keccak(
        keccak(text=_DOMAIN_TYPE)
        + keccak(text="DepositWallet")
        + keccak(text="1")
        + _word(CHAIN_ID)
        + _address(wallet)
    )
    call_type = keccak(text=_CALL_TYPE)
    hashes = b"".join(
        keccak(call_type + _address(target) + _word(value) + keccak(data)) for target, value, data in calls
    )
    struct = keccak(
        keccak(text=_BATCH_TYPE) + _address(wallet) + _word(nonce) + _word(deadline) + keccak(hashes)
    )
    return recover(_digest(domain, struct), raw)


def deposit_wallet_of(owner: str) -> str:
    """Return the address of an owner's deposit wallet: CREATE2 of the factory's beacon proxy."""
    arguments = _address(DEPOSIT_WALLET_FACTORY) + _address(owner)
    prefix = (_BEACON_PREFIX + (len(arguments) << 56)).to_bytes(10, "big")
    code = prefix + _address(DEPOSIT_WALLET_BEACON)[12:] + _BEACON_CODE + arguments
    raw = b"\xff" + _address(DEPOSIT_WALLET_FACTORY)[12:] + keccak(arguments) + keccak(code)
    return to_checksum_address(keccak(raw)[12:])


def recover(digest: bytes, signature: bytes) -> str | None:
    """Return the checksummed address behind a 65-byte r,s,v signature of a digest, None if there is none."""
    if len(signature) != _SIGNATURE_BYTES:
        return None
    recovery = signature[64] - 27 if signature[64] >= 27 else signature[64]  # noqa: PLR2004 - v is 27 or 28
    if recovery not in (0, 1):
        return None
    try:
        key = coincurve.PublicKey.from_signature_and_message(
            signature[:64] + bytes([recovery]), digest, hasher=None
        )
    except ValueError:
        return None
    except Exception as error:  # coincurve raises a bare Exception where no point fits
        if type(error) is Exception:
            return None
        raise
    return to_checksum_address(keccak(key.format(compressed=False)[1:])[12:])


def is_address(text: str) -> bool:
    """Return whether a text is 0x and 40 hex digits."""
    raw = _unhex(text)
    return raw is not None and len(raw) == 20  # noqa: PLR2004 - bytes of an address


def _struct_hash(fields: SignedFields) -> bytes:
    return keccak(
        keccak(text=_ORDER_TYPE)
        + _word(fields.salt)
        + _address(fields.maker)
        + _address(fields.signer)
        + _word(fields.token_id)
        + _word(fields.maker_amount)
        + _word(fields.taker_amount)
        + _word(0 if fields.side == "BUY" else 1)
        + _word(fields.signature_type)
        + _word(fields.timestamp)
        + bytes.fromhex(fields.metadata[2:])
        + bytes.fromhex(fields.builder[2:])
    )


def _digest(separator: bytes, struct: bytes) -> bytes:
    return keccak(b"\x19\x01" + separator + struct)


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _address(address: str) -> bytes:
    return bytes(12) + bytes.fromhex(address[2:])


def _unhex(text: str) -> bytes | None:
    try:
        return binascii.unhexlify(text[2:]) if text.startswith("0x") else None
    except (binascii.Error, ValueError):
        return None
