"""Reads of one account, by credentials alone. (Signatures first; bodies follow.)"""

from collections.abc import Sequence
from datetime import datetime

from shared.domain.ids import ConditionId, OrderId, TokenId
from shared.domain.trades import VenueTrade
from shared.domain.windows import FeeSchedule
from shared.runtime.clock import Clock
from shared.venue.accounts import Balances, OrderReading
from shared.venue.credentials import Credentials
from shared.venue.urls import VenueUrls


class AccountReading:
    """Use as ``async with AccountReading(urls, credentials, clock, signature_type=3) as account``."""

    def __init__(
        self, urls: VenueUrls, credentials: Credentials, clock: Clock, *, signature_type: int
    ) -> None:
        raise NotImplementedError

    async def order(self, order_id: OrderId) -> OrderReading | None:
        """Return the order; None on a 404, which proves nothing (D3)."""
        raise NotImplementedError

    async def open_orders(self, condition_id: ConditionId | None = None) -> tuple[OrderReading, ...]:
        """Return the resting orders, all pages; absence is not cancellation."""
        raise NotImplementedError

    async def trades(
        self, condition_id: ConditionId, fee: FeeSchedule, *, since: datetime | None = None
    ) -> tuple[VenueTrade, ...]:
        """Return our side of every trade in a market, all pages, oldest first."""
        raise NotImplementedError

    async def balances(self, tokens: Sequence[TokenId], *, refresh: bool = False) -> Balances:
        """Return cash and token balances; ``refresh`` asks the venue to renew its cached view first."""
        raise NotImplementedError
