"""The books on their way from the market channel to the Book, each written at most 20 times a second.

A book in doubt is written at once as not continuous, and read anew.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from services.feed_collector.metrics import BOOKS_IN_DOUBT, CHANGES_LOST
from services.feed_collector.tape import Tape
from shared.db.queries.books import BookRow
from shared.domain.books import Book
from shared.domain.ids import TokenId
from shared.domain.ticks import PriceTick, Source
from shared.domain.windows import Window
from shared.venue.book_keeping import CHANGE_LOST, BookState, fold, in_doubt, resynced
from shared.venue.events import BookDelta, BookSnapshot, MarketEvent, TickSizeChange, TopOfBook

WRITE_EVERY_S = 0.05
NOT_CONNECTED = "the market channel is not connected"


class Shelf:
    """One book a followed token. ``changed`` is set while one waits to be written."""

    def __init__(self, tape: Tape) -> None:
        self.changed = asyncio.Event()
        self.is_connected = False
        self._tape = tape
        self._windows: dict[TokenId, Window] = {}
        self._states: dict[TokenId, BookState] = {}
        self._mids: dict[TokenId, Decimal] = {}
        self._dirty_since: dict[TokenId, float] = {}
        self._written_at: dict[TokenId, float] = {}

    @property
    def tokens(self) -> frozenset[TokenId]:
        return frozenset(self._windows)

    def follow(self, wanted: Mapping[TokenId, Window]) -> None:
        """Keep the books of exactly these tokens; a new one is in doubt until its snapshot."""
        self._windows = dict(wanted)
        for token in self._states.keys() - wanted.keys():
            for kept in (self._states, self._mids, self._dirty_since, self._written_at):
                kept.pop(token, None)
        for token in wanted.keys() - self._states.keys():
            self._states[token] = BookState(token)
        self._count_doubts()

    def apply(self, event: MarketEvent, now: float) -> None:
        """Take one event of the market channel; ``now`` is monotonic, seconds."""
        for token in _tokens_of(event):
            window = self._windows.get(token)
            if window is None:
                continue
            self.heard(token, event.source_at, event.received_at)
            before = self._states[token]
            self._put(token, before, fold(before, event), now)

    def heard(self, token: TokenId, source_at: datetime, received_at: datetime) -> None:
        """Note that the channel spoke of a followed token: it lives."""
        window = self._windows.get(token)
        if window is not None:
            self._tape.book_heard(window.instrument, source_at, received_at)

    def doubt_all(self, why: str, now: float) -> None:
        """Put every book in doubt: a connection or a frame was lost."""
        for token, state in self._states.items():
            self._put(token, state, in_doubt(state, why), now)

    def resync(self, book: Book, now: float) -> None:
        """Take a book read anew; what the stream sent since then follows."""
        state = self._states.get(book.token_id)
        if state is not None and state.doubt:
            self._put(book.token_id, state, resynced(state, book), now)

    def doubtful(self) -> list[TokenId]:
        """Return the tokens whose books had a snapshot and are in doubt now, or never had one."""
        return sorted(token for token, state in self._states.items() if state.doubt)

    def book(self, token: TokenId | None) -> Book | None:
        """Return the book of a token as kept; None while there is none."""
        state = None if token is None else self._states.get(token)
        return None if state is None else state.book()

    def followed(self) -> list[tuple[Window, TokenId]]:
        """Return every followed token with its window."""
        return [(window, token) for token, window in self._windows.items()]

    def take_due(self, now: float) -> list[BookRow]:
        """Return the changed books that may be written now."""
        rows: list[BookRow] = []
        for token in list(self._dirty_since):
            if now - self._written_at.get(token, float("-inf")) < WRITE_EVERY_S:
                continue
            row = self._row(token)
            del self._dirty_since[token]
            if row is not None:
                self._written_at[token] = now
                rows.append(row)
        if not self._dirty_since:
            self.changed.clear()
        return rows

    def give_back(self, rows: list[BookRow], now: float) -> None:
        """Let books that could not be written wait again."""
        for row in rows:
            if row.book.token_id in self._states:
                self._dirty_since.setdefault(row.book.token_id, now)
        if self._dirty_since:
            self.changed.set()

    def wait_s(self, now: float) -> float:
        """Return the seconds until the next waiting book may be written; 0 when none waits."""
        waits = [
            self._written_at.get(token, float("-inf")) + WRITE_EVERY_S - now for token in self._dirty_since
        ]
        return max(min(waits, default=0.0), 0.0)

    def _row(self, token: TokenId) -> BookRow | None:
        state, window = self._states.get(token), self._windows.get(token)
        book = None if state is None else state.book()
        if state is None or window is None or book is None or state.snapshot_at is None:
            return None
        return BookRow(window.window_id, book, state.snapshot_at)

    def _put(self, token: TokenId, before: BookState, after: BookState, now: float) -> None:
        if after is before:
            return
        self._states[token] = after
        self._dirty_since.setdefault(token, now)
        self.changed.set()
        if bool(before.doubt) != bool(after.doubt):
            self._written_at.pop(token, None)  # a doubt, and its end, wait for nothing
            self._count_doubts()
        if after.doubt == CHANGE_LOST and not before.doubt:
            CHANGES_LOST.inc()
        self._note_mid(token, after)

    def _note_mid(self, token: TokenId, state: BookState) -> None:
        bid, ask = state.best_bid, state.best_ask
        if state.doubt or bid is None or ask is None or state.source_at is None or state.received_at is None:
            return
        mid = (bid + ask) / 2
        if self._mids.get(token) != mid:
            self._mids[token] = mid
            instrument = self._windows[token].instrument
            self._tape.mid(
                PriceTick(
                    instrument, Source.POLYMARKET, mid, state.source_at, state.received_at, token_id=token
                )
            )

    def _count_doubts(self) -> None:
        BOOKS_IN_DOUBT.set(len(self.doubtful()) / max(len(self._states), 1))


def _tokens_of(event: MarketEvent) -> tuple[TokenId, ...]:
    match event:
        case BookSnapshot() | TopOfBook() | TickSizeChange():
            return (event.token_id,)
        case BookDelta():
            return tuple(dict.fromkeys(change.token_id for change in event.changes))
        case _:
            return ()
