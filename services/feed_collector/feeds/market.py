"""The CLOB's market channel: the books of the followed tokens, and a hint when a market is resolved."""

import asyncio
from collections.abc import Sequence
from functools import partial

from services.feed_collector import actions
from services.feed_collector.config import CollectorSettings
from services.feed_collector.feeds.ground import Ground, Plan
from services.feed_collector.feeds.pull import LOOP_STALE_AFTER_S, note_state, pull
from services.feed_collector.metrics import BOOK_S, RESYNCS
from services.feed_collector.shelf import NOT_CONNECTED, Shelf
from services.feed_collector.tape import Tape
from services.feed_collector.watch import Watch
from shared.db.engine import Database
from shared.db.patience import endure
from shared.db.queries.books import BookRow
from shared.domain.ids import Instrument, TokenId
from shared.domain.ticks import Source
from shared.observability.logs import get_logger
from shared.runtime.clock import Clock
from shared.runtime.pulse import LoopPulse
from shared.runtime.service import Loop
from shared.venue.events import (
    BookDelta,
    BookSnapshot,
    ChannelEvent,
    Connected,
    Disconnected,
    FeedState,
    LastTrade,
    MarketResolved,
    TickSizeChange,
    TookOver,
    TopOfBook,
    UnknownEvent,
    Unreadable,
)
from shared.venue.lead import PLACES
from shared.venue.market_pair import MarketPair
from shared.venue.reading import PublicReading
from shared.venue.refusals import VenueProblem

LOOK_EVERY_S = 1.0
RESYNC_AFTER_S = 0.5
"""The snapshot of a new subscription is given so long before a doubtful book is asked for."""
RESYNC_EVERY_S = 2.0
RESYNC_PATIENT_S = 60.0
"""The venue may take that long to answer."""

log = get_logger()


async def watch_market(
    pulse: LoopPulse, *, pair: MarketPair, place: int, shelf: Shelf, tape: Tape, watch: Watch, clock: Clock
) -> None:
    """Keep the books from one of two connections, as far as it is the one to be believed.

    A lost connection or frame puts all books in doubt, because nothing is repeated.
    """

    def take(event: ChannelEvent | FeedState) -> None:
        now = clock.monotonic()
        if isinstance(event, FeedState):
            note_state(tape, Source.POLYMARKET, event)
        for believed in pair.lead.take(place, event, now):
            if isinstance(believed, FeedState):
                _take_state(believed, shelf, tape, now)
            else:
                _take_news(believed, shelf, tape, watch, now)

    await pull(pair.feeds[place], pulse, take)


def _take_state(state: FeedState, shelf: Shelf, tape: Tape, now: float) -> None:
    match state:
        case Connected():
            shelf.is_connected = True
        case TookOver():
            shelf.is_connected = True
            shelf.doubt_all(state.reason, now)
            note_state(tape, Source.POLYMARKET, state)
        case Disconnected():
            shelf.is_connected = False
            shelf.doubt_all(NOT_CONNECTED, now)
        case Unreadable():
            shelf.doubt_all("a frame was not understood", now)


def _take_news(event: ChannelEvent, shelf: Shelf, tape: Tape, watch: Watch, now: float) -> None:
    match event:
        case BookSnapshot() | BookDelta() | TopOfBook() | TickSizeChange():
            shelf.apply(event, now)
        case LastTrade():
            shelf.heard(event.token_id, event.source_at, event.received_at)
        case MarketResolved():
            watch.resolved.set()
        case UnknownEvent():
            tape.unreadable(Source.POLYMARKET, kind="UnknownEvent", reason=event.kind)


async def write_books(
    pulse: LoopPulse, *, database: Database, shelf: Shelf, watch: Watch, clock: Clock
) -> None:
    """Write changed books, each at most 20 times a second, the first change of a quiet one at once (C6)."""

    async def turn() -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await shelf.changed.wait()
        except TimeoutError:
            return
        now = clock.monotonic()
        rows = shelf.take_due(now)
        if not rows:
            await asyncio.sleep(shelf.wait_s(now))
            return
        try:
            await actions.write_books(database, rows)
        except BaseException:
            shelf.give_back(rows, clock.monotonic())
            raise
        _measure(rows, clock)
        watch.announce(row.window_id for row in rows)

    await endure(pulse, turn)


async def resync_books(pulse: LoopPulse, *, reading: PublicReading, shelf: Shelf, clock: Clock) -> None:
    """Read doubtful books anew, each every two seconds at most, until they are sound again."""
    doubted_since: dict[TokenId, float] = {}
    asked_at: dict[TokenId, float] = {}
    while not pulse.stopping.is_set():
        pulse.tick()
        now = clock.monotonic()
        # While the stream is away, a book read now would be old a moment later, and look sound.
        doubtful = set(shelf.doubtful()) if shelf.is_connected else set()
        doubted_since = {token: doubted_since.get(token, now) for token in doubtful}
        asked_at = {token: at for token, at in asked_at.items() if token in doubtful}
        for token in doubtful:
            waited_s = now - doubted_since[token]
            if waited_s >= RESYNC_AFTER_S and now - asked_at.get(token, float("-inf")) >= RESYNC_EVERY_S:
                asked_at[token] = now
                await _resync(reading, shelf, token, clock)
        await asyncio.sleep(RESYNC_AFTER_S / 2)


async def _resync(reading: PublicReading, shelf: Shelf, token: TokenId, clock: Clock) -> None:
    try:
        book = await reading.book(token)
    except VenueProblem as problem:
        RESYNCS.labels("failed").inc()
        log.warning("resync_failed", token_id=token, reason=str(problem))
        return
    if book is None:
        RESYNCS.labels("unknown").inc()  # the CLOB learns of a new market minutes after Gamma
        return
    shelf.resync(book, clock.monotonic())
    RESYNCS.labels("done").inc()


def _measure(rows: Sequence[BookRow], clock: Clock) -> None:
    now = clock.now()
    for row in rows:
        BOOK_S.observe(max((now - row.book.received_at).total_seconds(), 0.0))


def _sources(settings: CollectorSettings) -> Sequence[tuple[Source, Instrument]]:
    return [(Source.POLYMARKET, instrument) for instrument in settings.instruments]


def _loops(ground: Ground) -> Sequence[Loop]:
    """Return the loops of both connections, and those that bring the books into the Book."""
    watched = partial(
        watch_market,
        pair=ground.market,
        shelf=ground.shelf,
        tape=ground.tape,
        watch=ground.watch,
        clock=ground.clock,
    )
    written = partial(
        write_books, database=ground.database, shelf=ground.shelf, watch=ground.watch, clock=ground.clock
    )
    resynced = partial(resync_books, reading=ground.reading, shelf=ground.shelf, clock=ground.clock)
    return [
        *(Loop(f"market_{place + 1}", partial(watched, place=place), LOOP_STALE_AFTER_S) for place in PLACES),
        Loop("books", written),
        Loop("resync", resynced, RESYNC_PATIENT_S),
    ]


PLAN = Plan(_sources, _loops)
