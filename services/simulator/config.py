"""Settings of the simulator, from variables SIMULATOR_…; the command line may override the most used ones."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from services.simulator.matching import FeeRounding
from services.simulator.orders_intake import Rules


def _split(value: Any) -> Any:
    return (
        [part.strip().lower() for part in value.split(",") if part.strip()]
        if isinstance(value, str)
        else value
    )


class SimulatorSettings(BaseSettings):
    """What the fake world is made of; a bad value stops the start."""

    model_config = SettingsConfigDict(
        env_prefix="SIMULATOR_", frozen=True, extra="forbid", env_ignore_empty=True
    )

    seed: int = 1
    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65_500)
    """The CLOB's port; the other surfaces take the ones after it. 0: the system chooses each."""
    public_host: str | None = None
    """The name others reach this machine by, for the ready file; by default ``host``."""
    ready_file: Path | None = None

    source: str = "sample"
    recordings: Path | None = Field(
        default=None, validation_alias=AliasChoices("SIMULATOR_RECORDINGS", "ONEBOOK_RECORDINGS")
    )
    assets: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ("btc",)
    window_s: int = Field(default=60, gt=0, le=86_400)
    lookback_s: int | None = Field(default=None, gt=0)
    resolution_delay_s: float | None = Field(default=None, ge=0)
    windows_ahead: int = Field(default=2, ge=1, le=100)
    first_open_in_s: int = Field(default=10, ge=1)

    mined_s: float = Field(default=1.0, ge=0)
    confirmed_s: float = Field(default=2.0, ge=0)
    taker_hold_ms: int = Field(default=150, ge=0, le=10_000)
    heartbeat_limit_s: float = Field(default=10.0, gt=0)
    """Silence after which an armed heartbeat cancels everything."""
    gtd_ahead_s: int = Field(default=180, ge=0)
    gtd_early_s: int = Field(default=60, ge=0)
    """A GTD order's end must lie this far ahead, and comes this much sooner than it says."""
    limits_enforced: bool = False
    """Whether the venue refuses beyond its token buckets; so far it warns."""
    keepalive_s: float = Field(default=75.0, gt=0)
    """After how long an idle connection is closed."""
    fee_rounding: FeeRounding = "half_even"
    short_fill: bool = True
    """Whether a BUY that spends a budget gets one micro-share less, as captured at the venue."""
    balance_lag_s: float = Field(default=2.0, ge=0)
    """How long the venue's cached balances miss a redemption, a split or a merge."""
    data_lag_s: float = Field(default=3.0, ge=0)
    relayer_mined_s: float = Field(default=1.0, ge=0)
    initial_usdc: Decimal = Field(default=Decimal(1000), ge=0)
    """What an account gets that is made without an amount."""

    def rules(self) -> Rules:
        """Return the engine's part."""
        return Rules(
            fee_rounding=self.fee_rounding,
            short_micro=1 if self.short_fill else 0,
            taker_hold_ms=self.taker_hold_ms,
            mined_ms=int(self.mined_s * 1000),
            confirmed_ms=int(max(self.confirmed_s, self.mined_s) * 1000),
            balance_lag_ms=int(self.balance_lag_s * 1000),
            heartbeat_limit_ms=int(self.heartbeat_limit_s * 1000),
            gtd_ahead_s=self.gtd_ahead_s,
            gtd_early_s=self.gtd_early_s,
        )
