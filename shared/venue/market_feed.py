"""The CLOB's market channel: books and their changes for the tokens followed.

It has no sequence numbers and no replay: after each Connected every book is in doubt until its snapshot, and a best
price that differs from the kept book is the only sign of a lost frame.
"""

import json
import random
from collections.abc import Collection, Sequence
from datetime import datetime

from shared.domain.ids import TokenId
from shared.runtime.clock import Clock
from shared.venue.events import ChannelEvent, UnknownEvent
from shared.venue.parse import word_of
from shared.venue.parse_streams import parse_market_frame
from shared.venue.refusals import Rejected
from shared.venue.stream import Feed, Heard, Pace

PING = "PING"
PONG = "PONG"
PING_S = 10.0
SILENT_AFTER_S = 15.0
ASSETS_MAX = 500
"""Above so many a connection, snapshots went missing."""


class MarketFeed(Feed[ChannelEvent]):
    """Yields ChannelEvent and FeedState; connects once there is something to follow."""

    def __init__(
        self, url: str, clock: Clock, chance: random.Random, *, silent_after_s: float | None = SILENT_AFTER_S
    ) -> None:
        """``silent_after_s`` without a book's news means a new connection; None switches this off."""
        self._market = _MarketAdapter(url, Pace(PING, PING_S, silent_after_s=silent_after_s))
        super().__init__(self._market, clock, chance)
        self._may_open.clear()

    async def follow(self, tokens: Collection[TokenId]) -> None:
        """Follow exactly these tokens from now on; a new one's book comes as a snapshot.

        Raises ValueError for more than one connection can be trusted with.
        """
        wanted = frozenset(tokens)
        if len(wanted) > ASSETS_MAX:
            raise ValueError(f"{len(wanted)} tokens: one connection takes {ASSETS_MAX}")
        added, removed = wanted - self._market.tokens, self._market.tokens - wanted
        self._market.tokens = wanted
        for operation, changed in (("unsubscribe", removed), ("subscribe", added)):
            if changed:
                await self.send(_operation(operation, changed))
        if wanted:
            self._may_open.set()
        else:
            self._may_open.clear()


class _MarketAdapter:
    name = "market"
    ready_at_opening = True
    secrets: Sequence[str] = ()
    watched: Collection[str] = ()
    """A quiet market says nothing: only the silence of all is telling."""

    def __init__(self, url: str, pace: Pace) -> None:
        self.url = url
        self.pace = pace
        self.tokens: frozenset[TokenId] = frozenset()

    def opening(self) -> Sequence[str]:
        frame = {"assets_ids": sorted(self.tokens), "type": "market", "custom_feature_enabled": True}
        return (json.dumps(frame),)

    def hear(self, text: str, received_at: datetime) -> Heard[ChannelEvent]:
        if text in {PONG, ""}:
            return Heard(is_data=False)
        if text.startswith("INVALID"):
            raise Rejected(f"the venue says {word_of(text)!r} to what we sent")
        events = parse_market_frame(text, received_at)
        return Heard(events, is_data=any(not isinstance(event, UnknownEvent) for event in events))

    def heartbeat_frames(self) -> Sequence[str]:
        return ()


def _operation(operation: str, tokens: Collection[TokenId]) -> str:
    frame: dict[str, object] = {"operation": operation, "assets_ids": sorted(tokens)}
    if operation == "subscribe":
        frame |= {"custom_feature_enabled": True}
    return json.dumps(frame)
