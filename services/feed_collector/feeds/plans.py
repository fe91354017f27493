"""Every feed there is. Adding one is one file beside this, and one line here."""

from collections.abc import Sequence

from services.feed_collector.config import CollectorSettings
from services.feed_collector.feeds import binance, market, polybolt, pyth, rtds
from services.feed_collector.feeds.ground import Ground, Plan
from shared.domain.ids import Instrument
from shared.domain.ticks import Source
from shared.runtime.service import Loop

PLANS: Sequence[Plan] = (
    binance.PLAN,
    polybolt.PLAN,
    rtds.PLAN,
    pyth.PLAN,
    market.PLAN,
)


def expected(settings: CollectorSettings) -> list[tuple[Source, Instrument]]:
    """Return whose prices should speak all the time: of each feed we may listen to."""
    return list(dict.fromkeys(source for plan in PLANS for source in plan.sources(settings)))


def feed_loops(ground: Ground) -> list[Loop]:
    """Return what is to run for the feeds we may listen to."""
    return [loop for plan in PLANS for loop in plan.loops(ground)]
