"""Binance spot: the primary, fast feed."""

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
from shared.venue.binance import BinanceFeed, FastEvent
from shared.venue.events import FastPrice, FastQuote, FeedState


async def watch_binance(pulse: LoopPulse, *, feed: BinanceFeed, tape: Tape) -> None:
    """Put every trade on the tape; best prices are a sign of life."""

    def take(event: FastEvent | FeedState) -> None:
        match event:
            case FastPrice():
                tape.trade(event)
            case FastQuote():
                tape.quote(event)
            case state:
                note_state(tape, Source.BINANCE, state)

    await pull(feed, pulse, take)


def _sources(settings: CollectorSettings) -> Sequence[tuple[Source, Instrument]]:
    return [(Source.BINANCE, instrument) for instrument in settings.instruments]


def _loops(ground: Ground) -> Sequence[Loop]:
    settings = ground.settings
    feed = BinanceFeed(settings.binance_url, ground.clock, ground.chance, instruments=settings.instruments)
    return [Loop("binance", partial(watch_binance, feed=feed, tape=ground.tape), LOOP_STALE_AFTER_S)]


PLAN = Plan(_sources, _loops)
