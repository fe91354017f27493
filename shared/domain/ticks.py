"""One price of one feed, and how long each feed may be silent."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from shared.domain.ids import Instrument, TokenId


class Source(StrEnum):
    """The feeds by the names under which they are recorded."""

    BINANCE = "binance_spot"
    CHAINLINK = "chainlink"
    """The venue's reference price, instantaneous."""
    CHAINLINK_TWAP = "chainlink_twap"
    """Its running average over the windows' look-back: what settles."""
    PYTH = "pyth"
    """An independent aggregate of many exchanges."""
    POLYMARKET = "polymarket"
    """The middle of a token's book."""


PRIMARY = Source.BINANCE
"""The feed without which no new signal is made (R12)."""
STALE_AFTER: Mapping[Source, timedelta] = MappingProxyType(
    {
        Source.BINANCE: timedelta(seconds=5),
        Source.CHAINLINK: timedelta(seconds=60),
        Source.CHAINLINK_TWAP: timedelta(seconds=60),
        Source.PYTH: timedelta(seconds=10),
        Source.POLYMARKET: timedelta(seconds=10),
    }
)
"""Silence after which a feed is stale, and a gap begins (C1, C11)."""


@dataclass(frozen=True, slots=True)
class PriceTick:
    """A price as it was received; USD, or USDC per share where it names a token."""

    instrument: Instrument
    source: Source
    price: Decimal
    source_at: datetime | None
    """The source's own time."""
    received_at: datetime
    token_id: TokenId | None = None
    trade_id: str | None = None
    """The exchange's id of the trade."""
