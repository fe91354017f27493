"""Logging in: API credentials from a key, made the first time and derived ever after."""

from http import HTTPStatus
from typing import Protocol

from pydantic import SecretStr

from shared.runtime.clock import Clock
from shared.venue.credentials import Credentials
from shared.venue.http import HttpReads
from shared.venue.parse import read, read_json
from shared.venue.refusals import LoginFailed, ReadFailed, Refusal
from shared.venue.urls import VenueUrls
from shared.venue.wire import WireApiKey
from shared.venue.writes import HttpWrites


class LoginSigner(Protocol):
    """What logging in needs of a key's holder; any key will do, an unfunded one for feeds (E17)."""

    address: str

    def sign_login(self, timestamp_s: int, nonce: int = 0) -> str:
        """Return the L1 signature."""
        ...


async def credentials(signer: LoginSigner, urls: VenueUrls, clock: Clock) -> Credentials:
    """Return the address's API credentials: made the first time, the same ones each time after.

    Making them is refused with 400 when they exist, and its answer may be lost; deriving returns them in either case.

    Raises:
        LoginFailed: the venue neither made nor derived them, with what it said.
    """
    async with HttpWrites(urls.clob, clock) as writes:
        made = await writes.send("POST", "/auth/api-key", headers=_login(signer, clock), body="")
    try:
        if made.status == HTTPStatus.OK:
            return _credentials(signer.address, read_json(WireApiKey, made.body))
        async with HttpReads(urls.clob, clock) as reads:
            derived = await reads.get("/auth/derive-api-key", headers=_login(signer, clock))
        return _credentials(signer.address, read(WireApiKey, derived))
    except (ReadFailed, Refusal) as problem:
        raise LoginFailed(f"no API credentials for {signer.address}: {problem}") from problem


def _login(signer: LoginSigner, clock: Clock) -> dict[str, str]:
    timestamp_s = int(clock.now().timestamp())
    return {
        "POLY_ADDRESS": signer.address,
        "POLY_SIGNATURE": signer.sign_login(timestamp_s),
        "POLY_TIMESTAMP": str(timestamp_s),
        "POLY_NONCE": "0",
    }


def _credentials(address: str, wire: WireApiKey) -> Credentials:
    return Credentials(address, SecretStr(wire.api_key), SecretStr(wire.secret), SecretStr(wire.passphrase))
