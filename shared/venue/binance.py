"""Binance spot: trades and best prices of each instrument against USDT, the fast feed.

The server pings, the library answers; text of our own would end the connection. It lives a day at most, so it is
replaced before, and at once when the server says that it is going down.
"""

import random
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TypeAlias

from shared.domain.ids import Instrument
from shared.runtime.clock import Clock
from shared.venue.events import FastPrice, FastQuote
from shared.venue.parse_prices import parse_binance_frame, parse_object
from shared.venue.refusals import Malformed
from shared.venue.stream import Feed, Heard, Pace

SILENT_AFTER_S = 5.0
MAX_AGE_S = 23 * 3600.0
SHUTDOWN = "serverShutdown"
FastEvent: TypeAlias = FastPrice | FastQuote


class BinanceFeed(Feed[FastEvent]):
    """Yields FastPrice, FastQuote and FeedState."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        chance: random.Random,
        *,
        instruments: Collection[Instrument],
        silent_after_s: float | None = SILENT_AFTER_S,
    ) -> None:
        """``url`` is that of the combined stream, without its query."""
        super().__init__(_BinanceAdapter(url, instruments, silent_after_s), clock, chance)


class _BinanceAdapter:
    name = "binance"
    ready_at_opening = True
    secrets: Sequence[str] = ()

    def __init__(self, url: str, instruments: Collection[Instrument], silent_after_s: float | None) -> None:
        symbols = [f"{instrument.lower()}usdt" for instrument in sorted(instruments)]
        streams = "/".join(f"{symbol}@{kind}" for symbol in symbols for kind in ("trade", "bookTicker"))
        self.url = f"{url}?streams={streams}"
        self.pace = Pace(dead_after_s=None, silent_after_s=silent_after_s, max_age_s=MAX_AGE_S)
        self.watched: Collection[str] = frozenset(instruments)
        self._instruments = frozenset(instruments)

    def opening(self) -> Sequence[str]:
        return ()

    def hear(self, text: str, received_at: datetime) -> Heard[FastEvent]:
        frame = parse_object(text)
        data = frame.get("data", frame)
        if not isinstance(data, dict):
            raise Malformed("the data of a frame is not an object")
        if data.get("e") == SHUTDOWN:
            return Heard(is_data=False, is_ending=True)
        event = parse_binance_frame(data, received_at, self._instruments)
        if event is None:
            return Heard(is_data=False)
        return Heard((event,), spoke=(event.instrument,))

    def heartbeat_frames(self) -> Sequence[str]:
        return ()
