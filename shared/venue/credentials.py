"""API credentials of the CLOB and the headers made of them; reading and cancelling need no more than these."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr

from shared.venue.refusals import Malformed


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the venue gave a key's address at login: they read and cancel, and cannot sign an order."""

    address: str
    """The key's own address, checksummed, also when a deposit wallet holds the money."""
    api_key: SecretStr
    secret: SecretStr
    """URL-safe base64."""
    passphrase: SecretStr

    def headers(self, method: str, path: str, body: str, at: datetime) -> dict[str, str]:
        """Return the L2 headers of one request (CLOB authentication: HMAC-SHA256 over time, method, path and body).

        ``path`` is without host and query; ``body`` the exact text sent, empty when there is none.

        Raises:
            Malformed: the secret is not base64.
        """
        timestamp = str(int(at.timestamp()))
        return {
            "POLY_ADDRESS": self.address,
            "POLY_SIGNATURE": sign_request(self.secret, timestamp, method, path, body),
            "POLY_TIMESTAMP": timestamp,
            "POLY_API_KEY": self.api_key.get_secret_value(),
            "POLY_PASSPHRASE": self.passphrase.get_secret_value(),
        }

    def stream_login(self) -> Mapping[str, str]:
        """Return the ``auth`` object of the user channel and of PolyBolt; it holds secrets: never log it."""
        return {
            "apiKey": self.api_key.get_secret_value(),
            "secret": self.secret.get_secret_value(),
            "passphrase": self.passphrase.get_secret_value(),
        }


@dataclass(frozen=True, slots=True)
class RelayerKey:
    """The key that lets an address use the gasless relayer."""

    key: SecretStr
    address: str

    def headers(self) -> dict[str, str]:
        """Return the relayer's authentication headers."""
        return {"RELAYER_API_KEY": self.key.get_secret_value(), "RELAYER_API_KEY_ADDRESS": self.address}


def sign_request(secret: SecretStr, timestamp: str, method: str, path: str, body: str) -> str:
    """Return the URL-safe base64 signature the CLOB expects, padding kept.

    Raises:
        Malformed: the secret is not base64.
    """
    text = secret.get_secret_value()
    try:
        key = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise Malformed("the API secret is not URL-safe base64; log in anew to get another") from None
    message = f"{timestamp}{method}{path}{body}".encode()
    return base64.urlsafe_b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()
