"""The signing key: the only module that touches it, importable by trading and redeeming alone (E17).

Signatures are secp256k1 by coincurve over digests computed here and in ``order_struct``. Sources: EIP-712; the deposit
wallet's nested signature (ERC-7739 style) and batch as the venue's SDK 0.14 makes them, proved equal in the tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from coincurve import PrivateKey
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from pydantic import SecretStr

from shared.venue.order_struct import (
    CHAIN_ID,
    DOMAIN_TYPE_HASH,
    ORDER_TYPE,
    OrderStruct,
    address_word,
    typed_digest,
    word,
)
from shared.venue.refusals import Malformed

EOA = 0
DEPOSIT_WALLET = 3
"""POLY_1271: the wallet contract checks the owner's signature."""

_LOGIN_MESSAGE = "This message attests that I control the given wallet"
_LOGIN_DOMAIN_TYPE_HASH = keccak(text="EIP712Domain(string name,string version,uint256 chainId)")
_LOGIN_TYPE_HASH = keccak(text="ClobAuth(address address,string timestamp,uint256 nonce,string message)")
_NESTED_TYPE_HASH = keccak(
    text="TypedDataSign(Order contents,string name,string version,uint256 chainId,address verifyingContract,"
    "bytes32 salt)" + ORDER_TYPE
)
_CALL_TYPE = "Call(address target,uint256 value,bytes data)"
_CALL_TYPE_HASH = keccak(text=_CALL_TYPE)
_BATCH_TYPE_HASH = keccak(
    text="Batch(address wallet,uint256 nonce,uint256 deadline,Call[] calls)" + _CALL_TYPE
)
_WALLET_NAME_HASH = keccak(text="DepositWallet")
_ONE_HASH = keccak(text="1")
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class WalletCall:
    """One call the deposit wallet is to make."""

    target: str
    data: bytes
    value: int = 0


class OrderSigner:
    """Signs for one key and the wallet that holds its money."""

    def __init__(
        self,
        private_key: SecretStr,
        wallet: str | None = None,
        signature_type: int = EOA,
        chain_id: int = CHAIN_ID,
    ) -> None:
        """Take the key; ``wallet`` is the maker of orders, the key's own address when left out.

        Raises:
            Malformed: not a private key, or a signature type without its wallet; the key is never in the message.
        """
        self._key = _key(private_key)
        public = self._key.public_key.format(compressed=False)[1:]
        self.address: str = to_checksum_address(keccak(public)[12:])
        """The key's own address: who logs in, whatever wallet trades."""
        self.signature_type = signature_type
        self.chain_id = chain_id
        self.wallet: str = to_checksum_address(wallet) if wallet else self.address
        """Maker and signer of orders."""
        if signature_type not in {EOA, DEPOSIT_WALLET}:
            raise Malformed(
                f"signature type {signature_type}: only 0 (EOA) and 3 (deposit wallet) are supported"
            )
        if (signature_type == EOA) != (self.wallet == self.address):
            raise Malformed(
                "signature type 0 trades from the key's own address, type 3 from its deposit wallet"
            )

    def __repr__(self) -> str:
        """Name the address, never the key (B2)."""
        return f"OrderSigner({self.address}, wallet={self.wallet})"

    def sign_order(self, order: OrderStruct) -> str:
        """Return the order's signature as hex: 65 bytes, or the deposit wallet's wrapper around them."""
        if order.signature_type == EOA:
            return "0x" + self._sign(order.digest()).hex()
        contents = order.struct_hash
        nested = keccak(
            _NESTED_TYPE_HASH
            + contents
            + _WALLET_NAME_HASH
            + _ONE_HASH
            + word(self.chain_id)
            + address_word(order.signer)
            + bytes(32)
        )
        signature = self._sign(typed_digest(order.domain.separator, nested))
        order_type = ORDER_TYPE.encode()
        trailer = order.domain.separator + contents + order_type + len(order_type).to_bytes(2, "big")
        return "0x" + (signature + trailer).hex()

    def sign_login(self, timestamp_s: int, nonce: int = 0) -> str:
        """Return the L1 signature (ClobAuth) that proves to the venue that we hold the key."""
        domain = keccak(
            _LOGIN_DOMAIN_TYPE_HASH + keccak(text="ClobAuthDomain") + _ONE_HASH + word(self.chain_id)
        )
        struct = keccak(
            _LOGIN_TYPE_HASH
            + address_word(self.address)
            + keccak(text=str(timestamp_s))
            + word(nonce)
            + keccak(text=_LOGIN_MESSAGE)
        )
        return "0x" + self._sign(typed_digest(domain, struct)).hex()

    def sign_batch(self, calls: Sequence[WalletCall], *, nonce: int, deadline_s: int) -> str:
        """Return the owner's signature of a batch of calls the relayer may carry to the deposit wallet."""
        domain = keccak(
            DOMAIN_TYPE_HASH + _WALLET_NAME_HASH + _ONE_HASH + word(self.chain_id) + address_word(self.wallet)
        )
        hashes = b"".join(
            keccak(_CALL_TYPE_HASH + address_word(call.target) + word(call.value) + keccak(call.data))
            for call in calls
        )
        struct = keccak(
            _BATCH_TYPE_HASH + address_word(self.wallet) + word(nonce) + word(deadline_s) + keccak(hashes)
        )
        return "0x" + self._sign(typed_digest(domain, struct)).hex()

    def _sign(self, digest: bytes) -> bytes:
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([signature[64] + 27])  # Ethereum counts the recovery id from 27


def _key(private_key: SecretStr) -> PrivateKey:
    try:
        raw = bytes.fromhex(private_key.get_secret_value().strip().removeprefix("0x"))
        if len(raw) == _KEY_BYTES:  # a shorter one would be taken, padded to some other key
            return PrivateKey(raw)
    except ValueError:
        pass
    raise Malformed("the signing key is not 32 bytes of hex")
