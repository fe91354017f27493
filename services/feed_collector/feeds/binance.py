"""Binance spot: the primary, fast feed."""

from services.feed_collector.feeds.pull import note_state, pull
from services.feed_collector.tape import Tape
from shared.domain.ticks import Source
from shared.runtime.pulse import LoopPulse
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
