"""The CLOB's user channel: our orders and trades as they happen.

It has no replay and no snapshot: after each Connected the consumer reads orders and trades, and only then listens on.
Connected comes when the venue has answered a PING sent after the login, so nothing falls between login and reading.
An Unreadable here may have been a fact: read orders and trades after it, too.
"""

import json
import random
from collections.abc import Collection, Sequence
from datetime import datetime

from shared.runtime.clock import Clock
from shared.venue.credentials import Credentials
from shared.venue.events import UserEvent
from shared.venue.market_feed import PING, PING_S, PONG
from shared.venue.parse import FeeOf
from shared.venue.parse_streams import parse_user_frame
from shared.venue.stream import Feed, Heard, Pace


class UserFeed(Feed[UserEvent]):
    """Yields UserEvent and FeedState for all markets of one API key."""

    def __init__(
        self, url: str, credentials: Credentials, clock: Clock, chance: random.Random, *, fee_of: FeeOf
    ) -> None:
        """``fee_of`` gives the fee schedule of a token's market, None where it is not known here."""
        super().__init__(_UserAdapter(url, credentials, fee_of), clock, chance)


class _UserAdapter:
    name = "user"
    ready_at_opening = False
    # Days without a trade are no fault: only a connection that answers no PING is given up.
    pace = Pace(PING, PING_S)
    watched: Collection[str] = ()

    def __init__(self, url: str, credentials: Credentials, fee_of: FeeOf) -> None:
        self.url = url
        self._credentials = credentials
        self.secrets: Sequence[str] = tuple(credentials.stream_login().values())
        self._fee_of = fee_of

    def opening(self) -> Sequence[str]:
        login = {"auth": dict(self._credentials.stream_login()), "type": "user", "markets": []}
        return (json.dumps(login), PING)

    def hear(self, text: str, received_at: datetime) -> Heard[UserEvent]:
        if text in {PONG, ""}:
            return Heard(is_ready=True)
        api_key = self._credentials.api_key.get_secret_value()
        return Heard(parse_user_frame(text, received_at, api_key=api_key, fee_of=self._fee_of))

    def heartbeat_frames(self) -> Sequence[str]:
        return ()
