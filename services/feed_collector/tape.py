"""The prices on their way from the feeds to the Book: a bounded queue, and how each feed is.

Nothing here is decided from: it is what has been heard and not yet written, and it may be lost with the process.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from services.feed_collector.clocks import Lead
from services.feed_collector.decide import Novelty, Seen, change_pct, milliseconds, smoothed_ms
from services.feed_collector.divergences import Divergences
from services.feed_collector.metrics import (
    DUPLICATES,
    MALFORMED,
    OUT_OF_ORDER,
    TICKS,
    TICKS_DROPPED,
    TICKS_WAITING,
)
from services.feed_collector.predictions import Predictions
from shared.db.queries.feeds import FeedRow, OracleChange
from shared.domain.ids import Instrument
from shared.domain.settlement import Reading
from shared.domain.ticks import PriceTick, Source
from shared.observability.logs import get_logger
from shared.venue.events import AggregatePrice, FastPrice, FastQuote, OracleKind, OraclePrice, Unreadable

QUEUE_MAX = 100_000
CHANGES_MAX = 10_000
READINGS_MAX = 2_000
EVERY = Instrument("*")
"""The row of a feed as a whole: what cannot be told by instrument."""
_MICROSECOND = timedelta(microseconds=1)

log = get_logger()


@dataclass(slots=True)
class FeedNews:
    """One feed of one instrument: what is known, and what has been counted since it was last written."""

    source: Source
    instrument: Instrument
    seen: Seen = field(default_factory=Seen)
    readings: deque[Reading] = field(default_factory=lambda: deque(maxlen=READINGS_MAX))
    """Recent prices by the source's time: what a window's first price is taken from."""
    last_source_at: datetime | None = None
    last_received_at: datetime | None = None
    last_price: Decimal | None = None
    last_change_at: datetime | None = None
    last_trade_id: str | None = None
    offset_ms: Decimal | None = None
    lead: Lead = field(default_factory=Lead)
    received: int = 0
    """New prices since this process began; the counters below are those not yet written."""
    ticks: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    malformed: int = 0

    def take_row(self, stale_since: datetime | None) -> FeedRow:
        """Return what to write, and begin to count anew."""
        row = FeedRow(
            feed=self.source,
            instrument=self.instrument,
            last_source_at=self.last_source_at,
            last_received_at=self.last_received_at,
            stale_since=stale_since,
            ticks=self.ticks,
            duplicates=self.duplicates,
            out_of_order=self.out_of_order,
            malformed=self.malformed,
            offset_ms=self.offset_ms,
            last_trade_id=self.last_trade_id,
            last_price=self.last_price,
        )
        self.ticks = self.duplicates = self.out_of_order = self.malformed = 0
        return row

    def give_back(self, row: FeedRow) -> None:
        """Count again what could not be written."""
        self.ticks += row.ticks
        self.duplicates += row.duplicates
        self.out_of_order += row.out_of_order
        self.malformed += row.malformed

    def heard(self, source_at: datetime | None, received_at: datetime) -> None:
        """Note a sign of life, and how far the source's clock is ahead of ours."""
        self.last_received_at = received_at
        if source_at is not None:
            self.lead.heard(source_at, received_at)
            self.offset_ms = smoothed_ms(self.offset_ms, milliseconds(source_at - received_at))

    def judged(self, serial: int) -> Novelty:
        """Return what a numbered event is, counted."""
        novelty = self.seen.judge(serial)
        if novelty is Novelty.DUPLICATE:
            self.duplicates += 1
            DUPLICATES.labels(self.source.value).inc()
        elif novelty is Novelty.LATE:
            self.out_of_order += 1
            OUT_OF_ORDER.labels(self.source.value).inc()
        return novelty


class Tape:
    """Takes what the feeds say; gives it to the writer. ``arrived`` is set while something waits."""

    def __init__(self, known: Iterable[FeedRow] = ()) -> None:
        """``known`` is what was written before this process: an event that is in the Book is not new (C4)."""
        self.arrived = asyncio.Event()
        self.news: dict[tuple[Source, Instrument], FeedNews] = {}
        self.received = 0
        self.dropped = 0
        self.divergences = Divergences()
        self.predictions = Predictions()
        self._queue: deque[PriceTick] = deque()
        self._changes: deque[OracleChange] = deque(maxlen=CHANGES_MAX)
        self._said: set[tuple[str, str]] = set()
        for row in known:
            self._remember(row)

    def feed(self, source: Source, instrument: Instrument) -> FeedNews:
        """Return the news of one feed of one instrument."""
        key = (source, instrument)
        if key not in self.news:
            self.news[key] = FeedNews(source, instrument)
        return self.news[key]

    def trade(self, event: FastPrice) -> None:
        """Take a trade of the exchange."""
        news = self.feed(Source.BINANCE, event.instrument)
        news.heard(event.event_at, event.received_at)
        if news.judged(event.trade_id) is Novelty.DUPLICATE:
            return
        news.last_trade_id = str(news.seen.last)
        tick = PriceTick(
            event.instrument,
            Source.BINANCE,
            event.price,
            event.traded_at,
            event.received_at,
            trade_id=str(event.trade_id),
        )
        self._put(news, tick)

    def quote(self, event: FastQuote) -> None:
        """Take best prices of the exchange: a sign of life."""
        self.feed(Source.BINANCE, event.instrument).heard(None, event.received_at)

    def oracle(self, event: OraclePrice) -> None:
        """Take a reference price; one that was history when it came says nothing of the feed's age."""
        if not event.source.lower().startswith("chainlink"):
            self.unreadable(
                Source.CHAINLINK, kind="UnknownProvider", reason=f"the oracle's provider is {event.source!r}"
            )
            return
        source = Source.CHAINLINK_TWAP if event.kind is OracleKind.TWAP else Source.CHAINLINK
        news = self.feed(source, event.instrument)
        if event.backfill:
            if news.seen.last is not None and _serial(event.observed_at) <= news.seen.last:
                return  # sent again with each connection: no duplicate of the source's making
        else:
            news.heard(event.sent_at, event.received_at)
        novelty = news.judged(_serial(event.observed_at))
        if novelty is Novelty.DUPLICATE:
            return
        if novelty is Novelty.NEW:
            self._note_change(news, event.price, event.observed_at, event.received_at)
        self._put(
            news, PriceTick(event.instrument, source, event.price, event.observed_at, event.received_at)
        )

    def knows(self, event: OraclePrice) -> bool:
        """Return whether an oracle's price was taken before, by whichever feed."""
        source = Source.CHAINLINK_TWAP if event.kind is OracleKind.TWAP else Source.CHAINLINK
        seen, serial = self.feed(source, event.instrument).seen, _serial(event.observed_at)
        return serial in seen.recent or serial == seen.last

    def aggregate(self, event: AggregatePrice) -> None:
        """Take a price of Pyth."""
        news = self.feed(Source.PYTH, event.instrument)
        news.heard(event.published_at, event.received_at)
        if news.judged(event.serial) is Novelty.DUPLICATE:
            return
        self._put(
            news,
            PriceTick(event.instrument, Source.PYTH, event.price, event.published_at, event.received_at),
        )

    def mid(self, tick: PriceTick) -> None:
        """Take the middle of a token's book, which moved."""
        self._put(self.feed(Source.POLYMARKET, tick.instrument), tick)

    def book_heard(self, instrument: Instrument, source_at: datetime, received_at: datetime) -> None:
        """Note that the market channel spoke of an instrument."""
        self.feed(Source.POLYMARKET, instrument).heard(source_at, received_at)

    def unreadable(self, source: Source, *, kind: str, reason: str) -> None:
        """Count a frame nobody understood; each kind is logged once."""
        self.feed(source, EVERY).malformed += 1
        MALFORMED.labels(source.value).inc()
        if (source.value, kind) not in self._said:
            self._said.add((source.value, kind))
            log.warning(
                "frame_refused",
                feed=source.value,
                kind=kind,
                reason=reason,
                note="later ones are only counted",
            )

    def refused(self, source: Source, event: Unreadable) -> None:
        """Count a frame the feed could not read."""
        self.unreadable(source, kind=event.kind, reason=event.reason)

    def take(self, at_most: int) -> list[PriceTick]:
        """Return the oldest waiting prices."""
        taken = [self._queue.popleft() for _ in range(min(at_most, len(self._queue)))]
        TICKS_WAITING.set(len(self._queue))
        if not self._queue:
            self.arrived.clear()
        return taken

    def take_changes(self) -> list[OracleChange]:
        """Return the oracle's changes since the last call."""
        changes = list(self._changes)
        self._changes.clear()
        return changes

    def give_back_changes(self, changes: list[OracleChange]) -> None:
        """Take back what could not be written."""
        self._changes.extendleft(reversed(changes))

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def _put(self, news: FeedNews, tick: PriceTick) -> None:
        self.received += 1
        news.received += 1
        news.ticks += 1
        if tick.source_at is None or news.last_source_at is None or tick.source_at >= news.last_source_at:
            news.last_price = tick.price  # one that came late is no news of now
        if tick.source_at is not None:
            news.last_source_at = max(news.last_source_at or tick.source_at, tick.source_at)
            if tick.source is not Source.POLYMARKET:
                news.readings.append(Reading(tick.source_at, tick.price))
        if tick.token_id is None:
            self.divergences.take(tick)
            self.predictions.take(tick)
        TICKS.labels(tick.source.value).inc()
        if len(self._queue) >= QUEUE_MAX:
            self._drop()
        self._queue.append(tick)
        self.arrived.set()

    def _drop(self) -> None:
        self._queue.popleft()
        self.dropped += 1
        TICKS_DROPPED.inc()
        if self.dropped % 1_000 == 1:
            log.error("ticks_dropped", dropped=self.dropped, queue_max=QUEUE_MAX)

    def _note_change(
        self, news: FeedNews, price: Decimal, observed_at: datetime, received_at: datetime
    ) -> None:
        if price == news.last_price:
            return
        before = news.last_change_at
        since_ms = None if before is None else max(0, int(milliseconds(observed_at - before)))
        news.last_change_at = observed_at
        change = OracleChange(
            received_at,
            news.instrument,
            news.source,
            news.last_price,
            price,
            change_pct(news.last_price, price),
            since_ms,
        )
        self._changes.append(change)

    def _remember(self, row: FeedRow) -> None:
        news = self.feed(row.feed, row.instrument)
        news.last_price = row.last_price
        news.last_received_at = row.last_received_at  # so that the time nobody ran shows as a gap
        if row.feed is Source.BINANCE and row.last_trade_id is not None:
            news.seen.last = int(row.last_trade_id)
        elif row.feed in {Source.CHAINLINK, Source.CHAINLINK_TWAP} and row.last_source_at is not None:
            news.seen.last = _serial(row.last_source_at)


def _serial(at: datetime) -> int:
    """Return the oracle's time as a number: it gives its prices no other."""
    return int(at.timestamp() * 1_000_000)
