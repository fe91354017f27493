"""Settings of execution: the only ones that hold signing keys (E17)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from shared.domain.ids import AccountId
from shared.domain.modes import Mode
from shared.runtime.settings import TradingSettings, parse_confirmation
from shared.venue.settings import VenueSettings, read_accounts


@dataclass(frozen=True, slots=True)
class SigningAccount:
    """What trading one account needs; the relayer's key redeems, without it a person does."""

    private_key: SecretStr
    wallet: str
    signature_type: int
    relayer_api_key: SecretStr
    relayer_api_key_address: str


class ExecutionSettings(TradingSettings, VenueSettings):
    """Where to trade, as whom, and up to which mode."""

    may_sign: ClassVar[bool] = True

    signing_keys: SecretStr = Field(
        default=SecretStr("{}"),
        description="JSON {account: {private_key, wallet, signature_type, relayer_api_key, relayer_api_key_address}}",
    )
    preflight_waived: str = Field(
        default="",
        description="checks of `operator preflight` a person lets pass, by first word, comma separated",
    )
    instance: str = Field(default="execution", min_length=1, description="name of this process in the Book")
    cb_allow_extended_halt: Annotated[bool, BeforeValidator(parse_confirmation)] = Field(
        default=False, description='only "true" keeps the process running when trading is halted'
    )

    @field_validator("signing_keys")
    @classmethod
    def _check_keys(cls, value: SecretStr) -> SecretStr:
        read_accounts(value, required=("private_key", "wallet", "signature_type"))
        return value

    @model_validator(mode="after")
    def _check_live_has_keys(self) -> "ExecutionSettings":
        if self.trading_mode is Mode.LIVE and not self.signing_accounts:
            raise ValueError(
                "TRADING_MODE is LIVE and SIGNING_KEYS names no account: give each account its key"
            )
        return self

    @property
    def signing_accounts(self) -> Mapping[AccountId, SigningAccount]:
        accounts = read_accounts(self.signing_keys, required=())
        return {
            AccountId(name): SigningAccount(
                SecretStr(str(fields["private_key"])),
                str(fields["wallet"]),
                int(fields["signature_type"]),
                SecretStr(str(fields.get("relayer_api_key", ""))),
                str(fields.get("relayer_api_key_address", "")),
            )
            for name, fields in accounts.items()
        }

    def secrets(self) -> Iterator[str]:
        """Yield every secret, each key by itself too: a log may hold one without the JSON around it."""
        yield from super().secrets()
        for account in self.signing_accounts.values():
            key = account.private_key.get_secret_value()
            yield key
            yield key.removeprefix("0x")
            if account.relayer_api_key.get_secret_value():
                yield account.relayer_api_key.get_secret_value()
