"""PolyBolt: the oracle's price and the average that settles, over the look-back the windows themselves name."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from services.feed_collector.config import CollectorSettings
from services.feed_collector.feeds.ground import Ground, Plan
from services.feed_collector.feeds.pull import LOOP_STALE_AFTER_S, note_state, pull
from services.feed_collector.metrics import FRAMES_MISSED
from services.feed_collector.tape import Tape
from services.feed_collector.watch import Watch
from shared.domain.ids import Instrument
from shared.domain.ticks import Source
from shared.runtime.pulse import LoopPulse
from shared.runtime.service import Loop
from shared.venue.events import FeedState, OraclePrice
from shared.venue.polybolt import PolyboltFeed
from shared.venue.stream import Feed

LOOK_EVERY_S = 0.2


async def watch_oracle(
    pulse: LoopPulse,
    *,
    make: Callable[[int], Feed[OraclePrice]],
    watch: Watch,
    tape: Tape,
    is_second: bool = False,
) -> None:
    """Put the oracle's prices on the tape; ``make`` returns a feed of averages over so many seconds.

    It begins when the first windows are known, for only they say which average settles them, and begins anew when
    later windows look back over another span. Of a second feed only what the first has not told is taken.
    """

    def take(event: OraclePrice | FeedState) -> None:
        match event:
            case OraclePrice():
                FRAMES_MISSED.labels(Source.CHAINLINK.value).inc(event.dropped)
                if not (is_second and tape.knows(event)):
                    tape.oracle(event)
            case state:
                note_state(tape, Source.CHAINLINK, state)

    def is_another(lookback_s: int) -> bool:
        return watch.lookback_s not in {None, lookback_s}

    while not pulse.stopping.is_set():
        pulse.tick()
        lookback_s = watch.lookback_s
        if lookback_s is None:
            await asyncio.sleep(LOOK_EVERY_S)
            continue
        await pull(make(lookback_s), pulse, take, until=partial(is_another, lookback_s))


def _sources(settings: CollectorSettings) -> Sequence[tuple[Source, Instrument]]:
    if settings.feed_credentials is None:
        return ()
    return [
        (source, instrument)
        for source in (Source.CHAINLINK, Source.CHAINLINK_TWAP)
        for instrument in settings.instruments
    ]


def _loops(ground: Ground) -> Sequence[Loop]:
    settings, credentials = ground.settings, ground.settings.feed_credentials
    if credentials is None:
        return ()

    def make(lookback_s: int) -> PolyboltFeed:
        return PolyboltFeed(
            settings.polybolt_url,
            credentials,
            ground.clock,
            ground.chance,
            instruments=settings.instruments,
            lookback_s=lookback_s,
        )

    watched = partial(watch_oracle, make=make, watch=ground.watch, tape=ground.tape)
    return [Loop("polybolt", watched, LOOP_STALE_AFTER_S)]


PLAN = Plan(_sources, _loops)
