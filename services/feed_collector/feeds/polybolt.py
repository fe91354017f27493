"""PolyBolt: the oracle's price and the average that settles, over the look-back the windows themselves name."""

import asyncio
from collections.abc import Callable
from functools import partial

from services.feed_collector.feeds.pull import note_state, pull
from services.feed_collector.tape import Tape
from services.feed_collector.watch import Watch
from shared.domain.ticks import Source
from shared.runtime.pulse import LoopPulse
from shared.venue.events import FeedState, OraclePrice
from shared.venue.polybolt import PolyboltFeed

LOOK_EVERY_S = 0.2


async def watch_oracle(
    pulse: LoopPulse, *, make: Callable[[int], PolyboltFeed], watch: Watch, tape: Tape
) -> None:
    """Put the oracle's prices on the tape; ``make`` returns a feed of averages over so many seconds.

    It begins when the first windows are known, for only they say which average settles them, and begins anew when
    later windows look back over another span.
    """

    def take(event: OraclePrice | FeedState) -> None:
        match event:
            case OraclePrice():
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
