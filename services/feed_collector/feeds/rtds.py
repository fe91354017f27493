"""RTDS: the oracle's prices a second time, where its address is set; they fill what PolyBolt left out."""

from collections.abc import Sequence
from functools import partial

from services.feed_collector.config import CollectorSettings
from services.feed_collector.feeds.ground import Ground, Plan
from services.feed_collector.feeds.polybolt import watch_oracle
from services.feed_collector.feeds.pull import LOOP_STALE_AFTER_S
from shared.domain.ids import Instrument
from shared.domain.ticks import Source
from shared.runtime.service import Loop
from shared.venue.rtds import RtdsFeed

CONNECTIONS = 2
"""It freezes on one connection while it speaks on another."""


def _sources(settings: CollectorSettings) -> Sequence[tuple[Source, Instrument]]:
    if not settings.rtds_url:
        return ()
    return [(Source.CHAINLINK, instrument) for instrument in settings.instruments]


def _loops(ground: Ground) -> Sequence[Loop]:
    settings = ground.settings
    if not settings.rtds_url:
        return ()

    def make(lookback_s: int) -> RtdsFeed:
        return RtdsFeed(
            settings.rtds_url,
            ground.clock,
            ground.chance,
            instruments=settings.instruments,
            lookback_s=lookback_s,
        )

    watched = partial(watch_oracle, make=make, watch=ground.watch, tape=ground.tape, is_second=True)
    return [Loop(f"rtds_{number + 1}", watched, LOOP_STALE_AFTER_S) for number in range(CONNECTIONS)]


PLAN = Plan(_sources, _loops)
