"""PolyBolt: the venue's reference prices and the average that settles its markets; wants API credentials.

A subscription the venue refuses (an average it does not make yet, a symbol it does not have) is reported as Unreadable
and asked for again with each heartbeat.
"""

import json
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from shared.domain.ids import Instrument
from shared.runtime.clock import Clock
from shared.venue.credentials import Credentials
from shared.venue.events import OracleKind, OraclePrice
from shared.venue.parse import word_of
from shared.venue.parse_prices import parse_object, parse_price_frame
from shared.venue.refusals import Rejected
from shared.venue.stream import Feed, Heard, Pace

PING_S = 10.0
DEAD_AFTER_S = 30.0
SILENT_AFTER_S = 10.0
SUBSCRIPTIONS_MAX = 20
"""PolyBolt takes so many subscribe frames a second; it would hold 64 subscriptions."""


class PolyboltFeed(Feed[OraclePrice]):
    """Yields OraclePrice and FeedState: spot and average of each instrument."""

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        clock: Clock,
        chance: random.Random,
        *,
        instruments: Collection[Instrument],
        lookback_s: int = 60,
        silent_after_s: float | None = SILENT_AFTER_S,
    ) -> None:
        """``lookback_s`` is that of the markets' own metadata: another average settles nothing."""
        adapter = _PolyboltAdapter(url, credentials, instruments, lookback_s, silent_after_s)
        super().__init__(adapter, clock, chance)


class _PolyboltAdapter:
    name = "polybolt"
    ready_at_opening = False

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        instruments: Collection[Instrument],
        lookback_s: int,
        silent_after_s: float | None,
    ) -> None:
        self.url = url
        self.pace = Pace(json.dumps({"op": "ping"}), PING_S, DEAD_AFTER_S, silent_after_s)
        self._credentials = credentials
        self.secrets: Sequence[str] = tuple(credentials.stream_login().values())
        self._instruments = frozenset(instruments)
        self._wanted = {
            _rid(kind, instrument): _subscription(instrument, lookback_s if kind is OracleKind.TWAP else None)
            for instrument in sorted(instruments)
            for kind in (OracleKind.TWAP, OracleKind.SPOT)
        }
        if len(self._wanted) > SUBSCRIPTIONS_MAX:
            raise ValueError(f"{len(self._wanted)} subscriptions: one connection takes {SUBSCRIPTIONS_MAX}")
        self._refused: set[str] = set()
        self._unserved: set[str] = set()
        """Refused and not spoken since: their silence is known, and no reason to connect anew."""
        self._serials: dict[OracleKind, int] = {}

    @property
    def watched(self) -> Collection[str]:
        return self._wanted.keys() - self._unserved

    def opening(self) -> Sequence[str]:
        self._refused.clear()
        self._unserved.clear()
        self._serials.clear()
        return (json.dumps({"op": "auth", "rid": "login", "auth": dict(self._credentials.stream_login())}),)

    def hear(self, text: str, received_at: datetime) -> Heard[OraclePrice]:
        frame = parse_object(text)
        match frame.get("op"):
            case None:
                return self._prices(frame, received_at)
            case "authed":
                return Heard(
                    replies=[self._subscribe(rid) for rid in self._wanted], is_ready=True, is_data=False
                )
            case "error":
                return self._error(frame)
            case _:  # pong, subscribed and later words: a sign of life
                return Heard(is_data=False)

    def _prices(self, frame: Mapping[str, Any], received_at: datetime) -> Heard[OraclePrice]:
        prices = parse_price_frame(frame, received_at, self._instruments)
        if not prices:
            return Heard()
        missing = self._missing(prices[0].kind, prices[0].seq)
        prices[0] = replace(prices[0], dropped=max(prices[0].dropped, missing))
        rid = _rid(prices[0].kind, prices[0].instrument)
        self._unserved.discard(rid)
        return Heard(prices, spoke=() if prices[0].backfill else (rid,))

    def _missing(self, channel: OracleKind, seq: int) -> int:
        """Return how many frames of a channel the numbers say are missing; they are consecutive and begin anew."""
        last = self._serials.get(channel, seq - 1)
        self._serials[channel] = max(seq, last)
        return max(seq - last - 1, 0)

    def heartbeat_frames(self) -> Sequence[str]:
        refused, self._refused = sorted(self._refused), set()
        return [self._subscribe(rid) for rid in refused]

    def _subscribe(self, rid: str) -> str:
        return json.dumps({"op": "subscribe", "rid": rid, "subscriptions": [self._wanted[rid]]})

    def _error(self, frame: Mapping[str, Any]) -> Heard[OraclePrice]:
        rid, code = word_of(frame.get("rid")), word_of(frame.get("code"))
        if rid in self._wanted:
            self._refused.add(rid)
            self._unserved.add(rid)
        raise Rejected(f"PolyBolt refuses {rid} with {code}", code=code)


def _rid(kind: OracleKind, instrument: Instrument) -> str:
    return f"{kind.lower()}-{instrument}"


def _subscription(instrument: Instrument, lookback_s: int | None) -> Mapping[str, Any]:
    symbol = f"{instrument.lower()}usd"
    if lookback_s is None:
        return {"channel": "price.crypto", "filter": {"symbol": symbol, "provider": "chainlink"}}
    return {"channel": "price.crypto.twap", "filter": {"symbol": symbol, "window_seconds": lookback_s}}
