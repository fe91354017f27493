"""Settings of feed_collector."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from shared.db.tick_archive import folder_of
from shared.domain.ids import Instrument
from shared.venue.credentials import Credentials
from shared.venue.settings import VenueSettings

INSTRUMENTS = frozenset({"BTC", "ETH", "SOL", "XRP", "DOGE", "BNB"})
"""Those that Binance and PolyBolt both quote, so that a window can be watched on both."""
INTERVALS = frozenset({"5m", "15m", "1h", "4h", "1d"})
"""The venue's labels; the length of a window is its own metadata's."""


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _known_instruments(value: Any) -> Any:
    names = [str(name).upper() for name in _split(value)]
    unknown = sorted(set(names) - INSTRUMENTS)
    if unknown or not names:
        raise ValueError(
            f"{', '.join(unknown) or 'nothing'} cannot be watched: name some of {', '.join(sorted(INSTRUMENTS))}"
        )
    return tuple(dict.fromkeys(names))


def _known_intervals(value: Any) -> Any:
    labels = [str(label).lower() for label in _split(value)]
    unknown = sorted(set(labels) - INTERVALS)
    if unknown or not labels:
        raise ValueError(
            f"{', '.join(unknown) or 'nothing'} is no interval: name some of {', '.join(sorted(INTERVALS))}"
        )
    return tuple(dict.fromkeys(labels))


class CollectorSettings(VenueSettings):
    """What to watch, and the credentials of an unfunded key for the oracle's feed (E17)."""

    instruments: Annotated[tuple[Instrument, ...], NoDecode, BeforeValidator(_known_instruments)] = (
        Instrument("BTC"),
    )
    intervals: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_known_intervals)] = ("15m",)
    instance: str = Field(
        default="feed_collector", min_length=1, description="name of this process in the Book"
    )
    archive_address: str | None = Field(
        default=None, description="folder in which a day of ticks is archived before it is dropped"
    )
    feed_api_key: SecretStr | None = None
    feed_api_secret: SecretStr | None = None
    feed_api_passphrase: SecretStr | None = None
    feed_api_address: str | None = None
    rtds_url: str = Field(
        default="", description="the oracle's older feed, a second source; empty: not watched"
    )
    pyth_url: str = "https://pyth.dourolabs.app/hermes"
    pyth_api_key: SecretStr | None = Field(default=None, description="of Pyth's Hermes; none: not watched")

    @field_validator("archive_address")
    @classmethod
    def _check_archive(cls, value: str | None) -> str | None:
        if value is not None and not folder_of(value).is_absolute():
            raise ValueError(f"{value!r} is no absolute folder")
        return value

    @model_validator(mode="after")
    def _check_credentials(self) -> "CollectorSettings":
        given = (self.feed_api_key, self.feed_api_secret, self.feed_api_passphrase, self.feed_api_address)
        if any(given) and not all(given):
            raise ValueError(
                "set all of FEED_API_KEY, FEED_API_SECRET, FEED_API_PASSPHRASE, FEED_API_ADDRESS, or none of them"
            )
        return self

    @property
    def feed_credentials(self) -> Credentials | None:
        """Credentials for PolyBolt; None: the oracle is not watched."""
        if self.feed_api_key is None or self.feed_api_secret is None or self.feed_api_passphrase is None:
            return None
        return Credentials(
            self.feed_api_address or "", self.feed_api_key, self.feed_api_secret, self.feed_api_passphrase
        )

    def warnings(self) -> list[str]:
        if self.feed_credentials is not None:
            return super().warnings()
        return [
            *super().warnings(),
            "FEED_API_KEY is not set: the oracle is not recorded, and strategies that need it stay silent",
        ]
