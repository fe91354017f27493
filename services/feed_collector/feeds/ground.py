"""What every feed stands on, and what it is to the collector: its sources, and its loops."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.feed_collector.config import CollectorSettings
from services.feed_collector.shelf import Shelf
from services.feed_collector.tape import Tape
from services.feed_collector.watch import Watch
from shared.db.engine import Database
from shared.domain.ids import Instrument
from shared.domain.ticks import Source
from shared.runtime.clock import Clock
from shared.runtime.service import Loop
from shared.venue.market_pair import MarketPair
from shared.venue.reading import PublicReading


@dataclass(frozen=True, slots=True)
class Ground:
    """What the feeds are given."""

    settings: CollectorSettings
    clock: Clock
    chance: random.Random
    database: Database
    reading: PublicReading
    tape: Tape
    shelf: Shelf
    watch: Watch
    market: MarketPair


@dataclass(frozen=True, slots=True)
class Plan:
    """One feed: whose prices should speak all the time with these settings, and what is to run for it."""

    sources: Callable[[CollectorSettings], Sequence[tuple[Source, Instrument]]]
    loops: Callable[[Ground], Sequence[Loop]]
