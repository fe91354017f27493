"""A service's settings: read once from the environment, checked, frozen (P2).

Variables carry secrets, addresses, the trading mode and its confirmations; limits and intervals are constants or rows.
A variable is a field's name in capitals. No code path asks where it runs.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NoReturn, TypeVar

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.domain.modes import Mode
from shared.observability.redaction import secret_parts
from shared.runtime.database_url import parse_database_url

BAD_SETTING_STATUS = 2
"""Exit status of a process whose settings are wrong: starting it again changes nothing."""

_KEY_VARIABLE = re.compile(r"(^|_)(SIGNING|PRIVATE)_KEYS?$")
_TYPO_LENGTH_MIN = 10
"""Shorter names of ours (HTTP_PORT, LOG_LEVEL) have honest foreign neighbours (HTTPS_PORT)."""

_NO_ARGUMENTS: Mapping[str, Any] = {}
"""Fields come from the environment; a bare call would look to the type checker as if they were forgotten."""

SettingsT = TypeVar("SettingsT", bound="BaseServiceSettings")


class BaseServiceSettings(BaseSettings):
    """What every service needs to start. Subclasses add fields with bounds."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    may_sign: ClassVar[bool] = False
    """Only execution's settings say True: whoever else finds a signing key refuses to start (E17)."""
    own_prefix: ClassVar[str] = ""
    """Variables that begin so are ours alone: one that names no field is a mistake and stops the start."""

    database_url: SecretStr
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=0, ge=0, le=65535)
    http_port_file: Path | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: SecretStr) -> SecretStr:
        return SecretStr(parse_database_url(value.get_secret_value()).text)

    def warnings(self) -> list[str]:
        """Return what a person should know although the process starts; logged once at the start."""
        return []

    def secrets(self) -> Iterator[str]:
        """Yield every secret value of these settings, for redaction; of a JSON value also its secret parts."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                yield value.get_secret_value()
                yield from secret_parts(value.get_secret_value())
        password = parse_database_url(self.database_url.get_secret_value()).password
        if password is not None:
            yield password


def _parse_mode(value: object) -> object:
    text = str(value).strip().upper()
    if text not in {Mode.PAPER, Mode.LIVE, Mode.DRY_RUN}:
        # The value is not repeated: whoever mistakes one variable for another may have put a secret here.
        raise ValueError("it must be PAPER, LIVE or DRY_RUN (E14)")
    return Mode(text)


def parse_confirmation(value: object) -> object:
    """Return True for exactly the word true, in any case of letters; everything else does not confirm."""
    return str(value).strip().lower() == "true"


class TradingSettings(BaseServiceSettings):
    """Adds the trading mode, the ceiling of what this process may do (D5, E14)."""

    trading_mode: Annotated[Mode, BeforeValidator(_parse_mode)] = Mode.PAPER
    confirm_live_trading: Annotated[bool, BeforeValidator(parse_confirmation)] = False

    @model_validator(mode="after")
    def _check_live(self) -> "TradingSettings":
        if self.trading_mode is not Mode.LIVE:
            return self
        if not self.confirm_live_trading:
            raise ValueError(
                'TRADING_MODE is LIVE: set CONFIRM_LIVE_TRADING to exactly "true" if real money is meant'
            )
        url = parse_database_url(self.database_url.get_secret_value())
        if not url.is_local and not url.is_encrypted:
            raise ValueError(
                "TRADING_MODE is LIVE and DATABASE_URL leaves this machine: add ?sslmode=require (B1)"
            )
        return self

    def warnings(self) -> list[str]:
        if "trading_mode" in self.model_fields_set:
            return super().warnings()
        return [
            *super().warnings(),
            "TRADING_MODE is not set: PAPER is assumed, no order leaves this machine",
        ]


def load_settings(cls: type[SettingsT]) -> SettingsT:
    """Return the settings, or print one line a problem on stderr and exit with status 2.

    No value is ever repeated in a message (B2).
    """
    problems = list(_environment_problems(cls, os.environ))
    try:
        settings = cls(**_NO_ARGUMENTS)
    except ValidationError as error:
        _refuse(cls, problems + [_explain(cls, details) for details in error.errors(include_input=False)])
    if problems:
        _refuse(cls, problems)
    return settings


def _refuse(cls: type[BaseServiceSettings], problems: list[str]) -> NoReturn:
    service = cls.__module__.removesuffix(".config").rpartition(".")[2]
    for problem in problems:
        print(f"{service}: {problem}", file=sys.stderr)  # noqa: T201 the logs are not set up before the settings are known
    raise SystemExit(BAD_SETTING_STATUS)


def _explain(cls: type[BaseServiceSettings], details: Mapping[str, object]) -> str:
    location = details["loc"]
    assert isinstance(location, tuple)
    if not location:
        return str(details["msg"]).removeprefix("Value error, ")
    variable = str(location[0]).upper()
    if details["type"] == "missing":
        return f"{variable} is not set: {_meaning(cls, str(location[0]))}"
    return f"{variable} is wrong: {str(details['msg']).removeprefix('Value error, ')}"


def _meaning(cls: type[BaseServiceSettings], name: str) -> str:
    if name == "database_url":
        return "give the Book's address, postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
    field = cls.model_fields.get(name)
    return (field.description if field else None) or "it is required, see .env.example"


def _environment_problems(cls: type[BaseServiceSettings], environment: Mapping[str, str]) -> Iterator[str]:
    known = {name.upper() for name in cls.model_fields}
    for variable in sorted(environment):
        name = variable.upper()
        if _KEY_VARIABLE.search(name) and environment[variable] and not cls.may_sign:
            yield f"{variable} is set, but only execution may hold a signing key: remove it from this service (E17)"
        elif name in known:
            continue
        elif cls.own_prefix and name.startswith(cls.own_prefix):
            yield f"{variable} is no setting of this service: see .env.example for those there are"
        else:
            meant = next((field for field in sorted(known) if _is_typo_of(name, field)), None)
            if meant is not None and meant not in environment:
                yield f"{variable} is no setting: rename it to {meant}, or unset it"


def _is_typo_of(name: str, field: str) -> bool:
    """Return True when one letter more, less, changed or swapped with its neighbour turns ``name`` into ``field``."""
    if len(field) < _TYPO_LENGTH_MIN or name == field or abs(len(name) - len(field)) > 1:
        return False
    same = next((i for i, pair in enumerate(zip(name, field, strict=False)) if pair[0] != pair[1]), None)
    if same is None:
        return True
    left, right = name[same:], field[same:]
    swapped = left[1:2] + left[:1] + left[2:]
    return right in (swapped, left[1:]) or left[1:] == right[1:] or left == right[1:]
