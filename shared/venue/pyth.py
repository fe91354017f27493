"""Pyth by Hermes: an independent aggregate of many exchanges, to hold the oracle against.

A stream of server-sent events that ends after a day; since August 2026 it wants an API key (docs.pyth.network). Only
the feeds whose ids we know can be asked for.
"""

import random
from collections.abc import Collection, Sequence
from datetime import datetime

from pydantic import SecretStr

from shared.domain.ids import Instrument
from shared.runtime.clock import Clock
from shared.venue.events import AggregatePrice
from shared.venue.lines import dial_events
from shared.venue.parse_prices import PYTH_FEEDS, parse_object, parse_pyth_frame
from shared.venue.stream import Feed, Heard, Pace

SILENT_AFTER_S = 10.0
MAX_AGE_S = 23 * 3600.0


class PythFeed(Feed[AggregatePrice]):
    """Yields AggregatePrice and FeedState."""

    def __init__(
        self,
        url: str,
        api_key: SecretStr,
        clock: Clock,
        chance: random.Random,
        *,
        instruments: Collection[Instrument],
        silent_after_s: float | None = SILENT_AFTER_S,
    ) -> None:
        """``url`` is Hermes' base address; instruments without a known feed are left out."""
        dial = dial_events({"Authorization": f"Bearer {api_key.get_secret_value()}"})
        super().__init__(_PythAdapter(url, api_key, instruments, silent_after_s), clock, chance, dial)


def pyth_instruments(instruments: Collection[Instrument]) -> list[Instrument]:
    """Return those of the instruments that Pyth can be asked for."""
    return sorted(set(PYTH_FEEDS.values()) & set(instruments))


class _PythAdapter:
    name = "pyth"
    ready_at_opening = True

    def __init__(
        self, url: str, api_key: SecretStr, instruments: Collection[Instrument], silent_after_s: float | None
    ) -> None:
        self._instruments = frozenset(pyth_instruments(instruments))
        asked = "&".join(f"ids[]={feed}" for feed, name in PYTH_FEEDS.items() if name in self._instruments)
        self.url = f"{url}/v2/updates/price/stream?{asked}&parsed=true"
        self.pace = Pace(dead_after_s=None, silent_after_s=silent_after_s, max_age_s=MAX_AGE_S)
        self.secrets: Sequence[str] = (api_key.get_secret_value(),)
        self.watched: Collection[str] = self._instruments

    def opening(self) -> Sequence[str]:
        return ()

    def hear(self, text: str, received_at: datetime) -> Heard[AggregatePrice]:
        if not text:
            return Heard(is_data=False)
        prices = parse_pyth_frame(parse_object(text), received_at, self._instruments)
        return Heard(prices, is_data=bool(prices), spoke=[price.instrument for price in prices])

    def heartbeat_frames(self) -> Sequence[str]:
        return ()
