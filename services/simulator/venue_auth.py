"""API keys of the fake venue: made by a login signature (L1), proved by HMAC on every private request (L2)."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from eth_utils.address import to_checksum_address

from services.simulator.orders_intake import Caller
from services.simulator.signatures import is_address, login_signer, request_signature

CLOCK_SKEW_MAX_S: Final = 300
"""Undocumented at the venue; wide enough for a laptop, narrow enough to notice a wrong unit."""


class Unauthorized(Exception):
    """401; ``args[0]`` is the venue's text."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Credentials of one address and nonce."""

    address: str
    nonce: int
    key: str
    secret: str
    passphrase: str

    def wire(self) -> dict[str, str]:
        """Return the answer of the auth endpoints."""
        return {"apiKey": self.key, "secret": self.secret, "passphrase": self.passphrase}


class ApiKeys:
    """All API keys. They are functions of seed, address and nonce, so that the same seed gives the same keys."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._by_login: dict[tuple[str, int], ApiKey] = {}
        self._by_key: dict[str, ApiKey] = {}

    def create(self, headers: Mapping[str, str], now_s: int) -> ApiKey | None:
        """Return a new key, None where one exists for this address and nonce; raise Unauthorized."""
        login = self._login(headers, now_s)
        if login in self._by_login:
            return None
        made = self.make(*login)
        self._by_login[login] = self._by_key[made.key] = made
        return made

    def derive(self, headers: Mapping[str, str], now_s: int) -> ApiKey | None:
        """Return the key made before, None where there is none; raise Unauthorized."""
        return self._by_login.get(self._login(headers, now_s))

    def make(self, address: str, nonce: int) -> ApiKey:
        """Return the credentials of an address and nonce without handing them out."""

        def draw(what: str) -> bytes:
            return hashlib.sha256(f"{self._seed}:{address}:{nonce}:{what}".encode()).digest()

        secret = base64.urlsafe_b64encode(draw("secret")).decode("ascii")
        return ApiKey(
            address, nonce, str(UUID(bytes=draw("key")[:16], version=4)), secret, draw("passphrase").hex()
        )

    def caller(self, headers: Mapping[str, str], method: str, path: str, body: bytes, now_s: int) -> Caller:
        """Return who made a private request; raise Unauthorized unless every header and every byte fits."""
        found = self._by_key.get(headers.get("POLY_API_KEY", ""))
        timestamp = headers.get("POLY_TIMESTAMP", "")
        signature = headers.get("POLY_SIGNATURE", "")
        if found is None or not _fresh(timestamp, now_s):
            raise Unauthorized("Unauthorized/Invalid api key")
        expected = request_signature(found.secret, timestamp, method, path, body)
        proved = (
            headers.get("POLY_ADDRESS", "") == found.address
            and hmac.compare_digest(headers.get("POLY_PASSPHRASE", ""), found.passphrase)
            and hmac.compare_digest(signature, expected)
        )
        if not proved:
            raise Unauthorized("Unauthorized/Invalid api key")
        return Caller(found.address, found.key)

    def known(self, key: str, secret: str, passphrase: str) -> ApiKey | None:
        """Return the key these three belong to, as the streams check it."""
        found = self._by_key.get(key)
        if found is None or (found.secret, found.passphrase) != (secret, passphrase):
            return None
        return found

    def address_of(self, key: str) -> str | None:
        """Return whom an API key was made for, None for an unknown one; proves nothing about who shows it."""
        found = self._by_key.get(key)
        return found.address if found is not None else None

    def keys_of(self, address: str) -> list[str]:
        """Return the active keys of an address."""
        return [made.key for made in self._by_key.values() if made.address == address]

    def delete(self, key: str) -> None:
        """Forget a key."""
        made = self._by_key.pop(key)
        self._by_login.pop((made.address, made.nonce), None)

    def _login(self, headers: Mapping[str, str], now_s: int) -> tuple[str, int]:
        address, timestamp = headers.get("POLY_ADDRESS", ""), headers.get("POLY_TIMESTAMP", "")
        nonce = headers.get("POLY_NONCE", "0")
        if not is_address(address) or not nonce.isdecimal() or not _fresh(timestamp, now_s):
            raise Unauthorized("Invalid L1 Request headers")
        signer = login_signer(address, timestamp, int(nonce), headers.get("POLY_SIGNATURE", ""))
        if signer is None or signer != to_checksum_address(address):
            raise Unauthorized("Invalid L1 Request headers")
        return signer, int(nonce)


def builder_proved(
    secret: str, *, headers: Mapping[str, str], method: str, path: str, body: bytes, now_s: int
) -> bool:
    """Return whether the builder headers of a relayer request prove the secret."""
    timestamp = headers.get("POLY_BUILDER_TIMESTAMP", "")
    try:
        expected = request_signature(secret, timestamp, method, path, body)
    except binascii.Error:
        return False
    return _fresh(timestamp, now_s) and hmac.compare_digest(
        headers.get("POLY_BUILDER_SIGNATURE", ""), expected
    )


def _fresh(timestamp: str, now_s: int) -> bool:
    return timestamp.isdecimal() and abs(int(timestamp) - now_s) <= CLOCK_SKEW_MAX_S
