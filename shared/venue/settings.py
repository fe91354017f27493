"""The venue's addresses as settings: the same variables in every service that speaks to it (D11)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, SecretStr, field_validator

from shared.domain.ids import AccountId
from shared.runtime.settings import BaseServiceSettings
from shared.venue.credentials import Credentials
from shared.venue.urls import VenueUrls

_REAL = VenueUrls()


class VenueSettings(BaseServiceSettings):
    """Adds where the world is; the defaults are the real venue's."""

    clob_url: str = _REAL.clob
    gamma_url: str = _REAL.gamma
    data_url: str = _REAL.data
    site_url: str = _REAL.site
    relayer_url: str = _REAL.relayer
    rpc_url: str = _REAL.rpc
    market_stream_url: str = _REAL.market_stream
    user_stream_url: str = _REAL.user_stream
    polybolt_url: str = _REAL.polybolt
    binance_url: str = _REAL.binance

    @property
    def venue_urls(self) -> VenueUrls:
        return VenueUrls(
            clob=self.clob_url,
            gamma=self.gamma_url,
            data=self.data_url,
            site=self.site_url,
            relayer=self.relayer_url,
            rpc=self.rpc_url,
            market_stream=self.market_stream_url,
            user_stream=self.user_stream_url,
            polybolt=self.polybolt_url,
            binance=self.binance_url,
        )


@dataclass(frozen=True, slots=True)
class AccountAccess:
    """What reading (and cancelling) one account at the venue needs: credentials and the wallet, no signing key."""

    credentials: Credentials
    wallet: str
    signature_type: int


class AccountAccessSettings(VenueSettings):
    """Adds read access to accounts.

    ACCOUNT_CREDENTIALS is JSON: ``{account: {address, api_key, secret, passphrase, wallet, signature_type}}``.
    """

    account_credentials: SecretStr = Field(
        default=SecretStr("{}"),
        description="JSON of each account's API credentials, wallet and signature type",
    )

    @field_validator("account_credentials")
    @classmethod
    def _check_credentials(cls, value: SecretStr) -> SecretStr:
        _read_access(value)
        return value

    @property
    def account_access(self) -> Mapping[AccountId, AccountAccess]:
        return _read_access(self.account_credentials)


def read_accounts(value: SecretStr, *, required: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return the JSON object of accounts; raises ValueError that names what is missing and repeats no value."""
    try:
        accounts = json.loads(value.get_secret_value() or "{}")
    except json.JSONDecodeError:
        raise ValueError("it is not JSON: give one object, account name to its fields") from None
    if not isinstance(accounts, dict) or not all(isinstance(fields, dict) for fields in accounts.values()):
        raise ValueError("give one JSON object, account name to an object of its fields")
    for name, fields in accounts.items():
        missing = [field for field in required if field not in fields]
        if missing:
            raise ValueError(f"account {name} lacks {', '.join(missing)}")
    return accounts


def _read_access(value: SecretStr) -> dict[AccountId, AccountAccess]:
    accounts = read_accounts(
        value, required=("address", "api_key", "secret", "passphrase", "wallet", "signature_type")
    )
    return {
        AccountId(name): AccountAccess(
            Credentials(
                str(fields["address"]),
                SecretStr(str(fields["api_key"])),
                SecretStr(str(fields["secret"])),
                SecretStr(str(fields["passphrase"])),
            ),
            str(fields["wallet"]),
            int(fields["signature_type"]),
        )
        for name, fields in accounts.items()
    }
