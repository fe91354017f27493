"""PolyBolt: the venue's reference prices and the average that settles its markets; wants API credentials.

A subscription the venue refuses (an average it does not make yet, a symbol it does not have) is reported as Unreadable
and asked for again with each heartbeat.
"""

import json
import random
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from shared.domain.ids import Instrument
from shared.runtime.clock import Clock
from shared.venue.credentials import Credentials
from shared.venue.events import OraclePrice
from shared.venue.parse import parse_json
from shared.venue.parse_streams import parse_price_frame
from shared.venue.refusals import Malformed
from shared.venue.stream import Feed, Heard, Pace

PING_S = 10.0
DEAD_AFTER_S = 30.0
SILENT_AFTER_S = 10.0


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
        self._wanted = {
            f"{kind}-{instrument}": _subscription(instrument, lookback_s if kind == "twap" else None)
            for instrument in sorted(instruments)
            for kind in ("twap", "spot")
        }
        self._refused: set[str] = set()

    def opening(self) -> Sequence[str]:
        self._refused.clear()
        return (json.dumps({"op": "auth", "rid": "login", "auth": dict(self._credentials.stream_login())}),)

    def hear(self, text: str, received_at: datetime) -> Heard[OraclePrice]:
        frame = parse_json(text)
        if not isinstance(frame, dict):
            raise Malformed("a frame is not an object")
        match frame.get("op"):
            case None:
                return Heard(parse_price_frame(text, received_at))
            case "authed":
                return Heard(
                    replies=[self._subscribe(rid) for rid in self._wanted], is_ready=True, is_data=False
                )
            case "error":
                return self._error(frame)
            case _:  # pong, subscribed and later words: a sign of life
                return Heard(is_data=False)

    def heartbeat_frames(self) -> Sequence[str]:
        refused, self._refused = sorted(self._refused), set()
        return [self._subscribe(rid) for rid in refused]

    def _subscribe(self, rid: str) -> str:
        return json.dumps({"op": "subscribe", "rid": rid, "subscriptions": [self._wanted[rid]]})

    def _error(self, frame: Mapping[str, Any]) -> Heard[OraclePrice]:
        rid, code = str(frame.get("rid")), str(frame.get("code"))
        if rid in self._wanted:
            self._refused.add(rid)
        raise Malformed(f"PolyBolt refuses {rid} with {code}", code=code)


def _subscription(instrument: Instrument, lookback_s: int | None) -> Mapping[str, Any]:
    symbol = f"{instrument.lower()}usd"
    if lookback_s is None:
        return {"channel": "price.crypto", "filter": {"symbol": symbol, "provider": "chainlink"}}
    return {"channel": "price.crypto.twap", "filter": {"symbol": symbol, "window_seconds": lookback_s}}
