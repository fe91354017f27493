"""RTDS, the venue's older feed of reference prices: an optional second beside PolyBolt, without credentials.

It freezes for minutes while it still answers pings, then sends all at once, and leaves out about three seconds in a
hundred (real-time-data-client#26, #42), so each price's own silence is watched and two connections are worth having.
One unknown topic silences all that were asked for in the same frame, so each is asked for in a frame of its own.
"""

import json
import random
from collections.abc import Collection, Sequence
from datetime import datetime

from shared.domain.ids import Instrument
from shared.runtime.clock import Clock
from shared.venue.events import OracleKind, OraclePrice
from shared.venue.parse_prices import parse_object, parse_rtds_frame
from shared.venue.stream import Feed, Heard, Pace

PING = "PING"
PING_S = 5.0
SILENT_AFTER_S = 10.0
_AVERAGES = {30: "crypto_prices_twap_thirty", 60: "crypto_prices_twap_sixty"}


class RtdsFeed(Feed[OraclePrice]):
    """Yields OraclePrice and FeedState: spot of each instrument, and the average where RTDS has one of that length."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        chance: random.Random,
        *,
        instruments: Collection[Instrument],
        lookback_s: int = 60,
        silent_after_s: float | None = SILENT_AFTER_S,
    ) -> None:
        """``lookback_s`` is that of the markets' own metadata: another average settles nothing."""
        super().__init__(_RtdsAdapter(url, instruments, lookback_s, silent_after_s), clock, chance)


class _RtdsAdapter:
    name = "rtds"
    ready_at_opening = True
    secrets: Sequence[str] = ()

    def __init__(
        self, url: str, instruments: Collection[Instrument], lookback_s: int, silent_after_s: float | None
    ) -> None:
        self.url = url
        # No answer to a ping is promised: only data tell that it lives.
        self.pace = Pace(PING, PING_S, dead_after_s=None, silent_after_s=silent_after_s)
        self._instruments = frozenset(instruments)
        self._topics = {OracleKind.SPOT: "crypto_prices_chainlink"}
        if lookback_s in _AVERAGES:
            self._topics[OracleKind.TWAP] = _AVERAGES[lookback_s]
        self._lookbacks = {OracleKind.SPOT: 0, OracleKind.TWAP: lookback_s}
        self.watched: Collection[str] = frozenset(
            _stream(kind, instrument) for kind in self._topics for instrument in instruments
        )

    def opening(self) -> Sequence[str]:
        return [
            _subscription(topic, instrument)
            for instrument in sorted(self._instruments)
            for topic in self._topics.values()
        ]

    def hear(self, text: str, received_at: datetime) -> Heard[OraclePrice]:
        if not text.strip():
            return Heard(is_data=False)  # the greeting, and its answer to a ping
        prices = parse_rtds_frame(parse_object(text), received_at, self._instruments)
        ours = [price for price in prices if price.lookback_s == self._lookbacks[price.kind]]
        spoke = {_stream(price.kind, price.instrument) for price in ours if not price.backfill}
        return Heard(ours, is_data=bool(spoke), spoke=spoke)

    def heartbeat_frames(self) -> Sequence[str]:
        return ()


def _stream(kind: OracleKind, instrument: Instrument) -> str:
    return f"{kind.lower()}-{instrument}"


def _subscription(topic: str, instrument: Instrument) -> str:
    """Return one subscription; the filter is JSON in a string and must be compact."""
    wanted = json.dumps({"symbol": f"{instrument.lower()}/usd"}, separators=(",", ":"))
    kind = "*" if topic == "crypto_prices_chainlink" else "update"
    subscription = {"topic": topic, "type": kind, "filters": wanted}
    return json.dumps({"action": "subscribe", "subscriptions": [subscription]})
