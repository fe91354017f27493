"""Pyth: an independent aggregate to hold the oracle against, where we have a key for it."""

from collections.abc import Sequence
from functools import partial

from services.feed_collector.config import CollectorSettings
from services.feed_collector.feeds.ground import Ground, Plan
from services.feed_collector.feeds.pull import LOOP_STALE_AFTER_S, note_state, pull
from services.feed_collector.tape import Tape
from shared.domain.ids import Instrument
from shared.domain.ticks import Source
from shared.runtime.pulse import LoopPulse
from shared.runtime.service import Loop
from shared.venue.events import AggregatePrice, FeedState
from shared.venue.pyth import PythFeed, pyth_instruments


async def watch_pyth(pulse: LoopPulse, *, feed: PythFeed, tape: Tape) -> None:
    """Put every aggregate on the tape."""

    def take(event: AggregatePrice | FeedState) -> None:
        match event:
            case AggregatePrice():
                tape.aggregate(event)
            case state:
                note_state(tape, Source.PYTH, state)

    await pull(feed, pulse, take)


def _sources(settings: CollectorSettings) -> Sequence[tuple[Source, Instrument]]:
    if settings.pyth_api_key is None:
        return ()
    return [(Source.PYTH, instrument) for instrument in pyth_instruments(settings.instruments)]


def _loops(ground: Ground) -> Sequence[Loop]:
    settings = ground.settings
    if settings.pyth_api_key is None or not pyth_instruments(settings.instruments):
        return ()
    feed = PythFeed(
        settings.pyth_url,
        settings.pyth_api_key,
        ground.clock,
        ground.chance,
        instruments=settings.instruments,
    )
    return [Loop("pyth", partial(watch_pyth, feed=feed, tape=ground.tape), LOOP_STALE_AFTER_S)]


PLAN = Plan(_sources, _loops)
