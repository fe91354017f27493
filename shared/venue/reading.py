"""Public reads: markets, books, resolutions, the venue's clock. (Signatures first; bodies follow.)"""

from datetime import datetime

from shared.domain.books import Book
from shared.domain.ids import ConditionId, Instrument, TokenId, WindowId
from shared.runtime.clock import Clock
from shared.venue.accounts import Activity, HeldPosition
from shared.venue.listings import ClobMarket, Discovery, MarketListing, Resolutions, VenueTime
from shared.venue.urls import VenueUrls


class PublicReading:
    """Use as ``async with PublicReading(urls, clock) as reading``."""

    def __init__(self, urls: VenueUrls, clock: Clock) -> None:
        raise NotImplementedError

    async def discover(self, instrument: Instrument, interval: str, now: datetime) -> Discovery:
        """Return the markets of one series that are not over, soonest first; raises ReadFailed."""
        raise NotImplementedError

    async def market(self, window_id: WindowId) -> MarketListing | None:
        """Return one market by slug, closed ones too; None when Gamma has none; raises ReadFailed, Refusal."""
        raise NotImplementedError

    async def book(self, token_id: TokenId) -> Book | None:
        """Return the book; None while the CLOB does not know the token."""
        raise NotImplementedError

    async def clob_market(self, condition_id: ConditionId) -> ClobMarket | None:
        """Return the matching engine's own view of a market; None while it does not know it."""
        raise NotImplementedError

    async def resolutions(self, window_id: WindowId, condition_id: ConditionId) -> Resolutions:
        """Return what Data API, Gamma and CLOB each say of the market's end."""
        raise NotImplementedError

    async def positions(
        self, wallet: str, condition_id: ConditionId | None = None
    ) -> tuple[HeldPosition, ...]:
        """Return the Data API's positions of a wallet, dust included."""
        raise NotImplementedError

    async def activity(self, wallet: str, since: datetime) -> tuple[Activity, ...]:
        """Return what moved a wallet's money since a moment, oldest first."""
        raise NotImplementedError

    async def venue_time(self) -> VenueTime:
        """Return one reading of the CLOB's clock."""
        raise NotImplementedError
