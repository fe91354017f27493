"""Two connections to the CLOB's market channel, of which one is believed."""

import random
from collections.abc import Collection, Sequence

from shared.domain.ids import TokenId
from shared.runtime.clock import Clock
from shared.venue.lead import PLACES, Lead
from shared.venue.market_feed import MarketFeed


class MarketPair:
    """Pull each of ``feeds`` and give its events to ``lead.take``, which says what is to be believed."""

    def __init__(self, url: str, clock: Clock, chance: random.Random) -> None:
        self.lead = Lead()
        self.feeds: Sequence[MarketFeed] = [MarketFeed(url, clock, chance) for _ in PLACES]

    async def follow(self, tokens: Collection[TokenId]) -> None:
        """Follow exactly these tokens on both from now on."""
        self.lead.follow(tokens)
        for feed in self.feeds:
            await feed.follow(tokens)
