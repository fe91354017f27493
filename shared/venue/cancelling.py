"""Cancelling: an act with three outcomes, by credentials alone (E16). (Signatures first; bodies follow.)"""

from shared.domain.ids import ConditionId, OrderId
from shared.domain.outcomes import Outcome
from shared.runtime.clock import Clock
from shared.venue.accounts import Cancellation
from shared.venue.credentials import Credentials
from shared.venue.urls import VenueUrls


class Cancelling:
    """Use as ``async with Cancelling(urls, credentials, clock) as cancelling``."""

    def __init__(self, urls: VenueUrls, credentials: Credentials, clock: Clock) -> None:
        raise NotImplementedError

    async def cancel(self, order_id: OrderId) -> Outcome[Cancellation]:
        """Cancel one order."""
        raise NotImplementedError

    async def cancel_all(self) -> Outcome[Cancellation]:
        """Cancel every resting order of the API key."""
        raise NotImplementedError

    async def cancel_market(self, condition_id: ConditionId) -> Outcome[Cancellation]:
        """Cancel every resting order in one market."""
        raise NotImplementedError
