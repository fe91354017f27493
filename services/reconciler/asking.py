"""Asking the venue for its side of a comparison. Everything is asked before the Book is read for the comparing."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.reconciler.decide.cash import EXTERNAL_KINDS, Movement
from services.reconciler.decide.sides import VenueOrder, VenueSide
from services.reconciler.queries import MarketToRead
from shared.domain.ids import AccountId, OrderId, WindowId
from shared.domain.trades import VenueTrade
from shared.runtime.clock import Clock
from shared.venue.account_reading import AccountReading
from shared.venue.accounts import OrderReading
from shared.venue.reading import PublicReading
from shared.venue.refusals import ReadFailed

ANSWERED_WITHIN_S = 20.0
ACTIVITY_LAG = timedelta(minutes=5)
"""The Data API is a minute late and more: movements this much before the last clean comparison may be news."""


@dataclass(frozen=True, slots=True)
class VenueDesk:
    """The venue's doors for the accounts we have credentials of."""

    public: PublicReading
    accounts: Mapping[AccountId, AccountReading]
    wallets: Mapping[AccountId, str]
    clock: Clock

    async def ask(
        self, account: AccountId, *, markets: Sequence[MarketToRead], orders: Collection[OrderId]
    ) -> VenueSide:
        """Return the venue's side of one account.

        Raises ReadFailed, Refusal: a part that cannot be read is no answer at all (R3).
        """
        asked_at = self.clock.now()
        reading = self.accounts.get(account)
        if reading is None:
            raise ReadFailed("the account", "ACCOUNT_CREDENTIALS names no such account")
        try:
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                # What proves an order absent is asked in this order: first that the market is closed, then the rest.
                over = {
                    market.window_id
                    for market in markets
                    if market.prove_closed and await self._is_over(market)
                }
                found = {order: _venue_order(await reading.order(order)) for order in orders}
                resting = [_venue_order(order) for order in await reading.open_orders()]
                trades: list[VenueTrade] = []
                for market in markets:
                    trades += await reading.trades(market.condition_id, market.fee)
                tokens = [token for market in markets for token in market.tokens]
                balances = await reading.balances(tokens, refresh=True)
        except TimeoutError:
            raise ReadFailed("the account", f"no answer within {ANSWERED_WITHIN_S:g} s") from None
        return VenueSide(
            asked_at=asked_at,
            found=found,
            resting=tuple(order for order in resting if order is not None),
            trades=tuple(trades),
            windows=frozenset(market.window_id for market in markets),
            over=frozenset(over),
            collateral=balances.collateral,
            tokens=balances.tokens,
        )

    async def _is_over(self, market: MarketToRead) -> bool:
        listing = await self.public.market(WindowId(market.window_id))
        return listing is not None and listing.closed

    async def movements(
        self, account: AccountId, *, since: datetime, booked: Collection[str]
    ) -> tuple[Movement, ...]:
        """Return what moved an account's money outside trading and is not booked; raises ReadFailed, Refusal."""
        found = []
        for activity in await self.public.activity(self.wallets[account], since - ACTIVITY_LAG):
            if activity.kind not in EXTERNAL_KINDS:
                continue
            kind, sign = EXTERNAL_KINDS[activity.kind]
            reference = f"{activity.kind}:{activity.transaction_hash or activity.at.isoformat()}"
            if reference not in booked:
                found.append(Movement(kind, sign * activity.usdc, reference, activity.at))
        return tuple(found)


def _venue_order(reading: OrderReading | None) -> VenueOrder | None:
    if reading is None:
        return None
    return VenueOrder(reading.order_id, reading.event, reading.status_text, reading.matched_shares)
