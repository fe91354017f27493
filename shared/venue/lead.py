"""PURE: which of two connections of the market channel is believed.

The channel is known to fall silent on one connection while it answers pings and speaks on another
(py-clob-client#292). So two are kept: the leader's events are passed on, the second keeps the books. When the leader is
lost, or says nothing for two seconds while the second speaks, the second takes over with the books as it has them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from shared.domain.ids import ConditionId, TokenId
from shared.venue.book_keeping import BookState, fold, in_doubt
from shared.venue.events import (
    BookDelta,
    BookSnapshot,
    ChannelEvent,
    Connected,
    Disconnected,
    FeedState,
    LastTrade,
    MarketEvent,
    MarketResolved,
    TickSizeChange,
    TookOver,
    TopOfBook,
    Unreadable,
)

FROZEN_AFTER_S = 2.0
FRAMES_AHEAD = 3
"""So many frames the second must have spoken since the leader did: one may just be earlier."""
PLACES = (0, 1)
PairEvent: TypeAlias = ChannelEvent | FeedState


@dataclass(slots=True)
class _Ear:
    """What one connection has heard."""

    is_connected: bool = False
    data_at: float = float("-inf")
    books: dict[TokenId, BookState] = field(default_factory=dict)
    conditions: dict[TokenId, ConditionId] = field(default_factory=dict)


class Lead:
    """Takes the events of both connections, gives those that count."""

    def __init__(self) -> None:
        self.leader = PLACES[0]
        self._ears = [_Ear() for _ in PLACES]
        self._tokens: frozenset[TokenId] = frozenset()
        self._ahead = 0

    def follow(self, tokens: Collection[TokenId]) -> None:
        """Keep the books of exactly these tokens."""
        self._tokens = frozenset(tokens)
        for ear in self._ears:
            ear.books = {token: book for token, book in ear.books.items() if token in self._tokens}
            ear.conditions = {token: name for token, name in ear.conditions.items() if token in self._tokens}

    def take(self, place: int, event: PairEvent, now: float) -> Sequence[PairEvent]:
        """Return what is to be believed after one connection's event; ``now`` is monotonic, seconds."""
        ear, leads = self._ears[place], place == self.leader
        self._note(ear, event, now, keep=not leads)
        if leads:
            self._ahead = 0
            second = self._ears[1 - place]
            if isinstance(event, Disconnected) and second.is_connected:
                return self._taken_over(1 - place, event, f"the first is lost: {event.reason}")
            return (event,)
        if not ear.is_connected:
            return ()
        leader = self._ears[self.leader]
        if not leader.is_connected:
            return self._taken_over(place, event, "the first is not connected")
        self._ahead += isinstance(event, MarketEvent)
        if self._ahead >= FRAMES_AHEAD and now - leader.data_at >= FROZEN_AFTER_S:
            return self._taken_over(place, event, f"the first says nothing for {now - leader.data_at:.1f} s")
        # A result is told once, and some never hear it: whoever hears it first passes it on.
        return (event,) if isinstance(event, MarketResolved) else ()

    def _note(self, ear: _Ear, event: PairEvent, now: float, *, keep: bool) -> None:
        match event:
            case Connected() | Disconnected():
                ear.is_connected = isinstance(event, Connected)
                ear.data_at = now
                ear.books.clear()
            case Unreadable():
                ear.books = {token: in_doubt(book, "a frame was lost") for token, book in ear.books.items()}
            case BookSnapshot() | BookDelta() | TickSizeChange() | TopOfBook():
                ear.data_at = now
                if isinstance(event, BookSnapshot):
                    ear.conditions[event.token_id] = event.condition_id
                if keep:
                    for token in self._tokens & _tokens_of(event):
                        ear.books[token] = fold(ear.books.get(token, BookState(token)), event)
            case LastTrade() | MarketResolved():
                ear.data_at = now

    def _taken_over(self, place: int, event: PairEvent, why: str) -> Sequence[PairEvent]:
        """Let the second lead, with its sound books as snapshots; its own are the first's to keep from now on."""
        at = event.at if isinstance(event, FeedState) else event.received_at
        ear = self._ears[place]
        snapshots = [
            _snapshot(state, ear.conditions[state.token_id])
            for state in ear.books.values()
            if state.token_id in ear.conditions
        ]
        self.leader, self._ahead = place, 0
        for each in self._ears:
            each.books = {}
        return (TookOver("market", at, why), *(snapshot for snapshot in snapshots if snapshot is not None))


def _tokens_of(event: BookSnapshot | BookDelta | TickSizeChange | TopOfBook) -> frozenset[TokenId]:
    if isinstance(event, BookDelta):
        return frozenset(change.token_id for change in event.changes)
    return frozenset((event.token_id,))


def _snapshot(state: BookState, condition_id: ConditionId) -> BookSnapshot | None:
    """Return a sound book as a snapshot of now; None for one in doubt, which is read anew."""
    book = state.book()
    if book is None or not book.continuous:
        return None
    return BookSnapshot(
        token_id=book.token_id,
        condition_id=condition_id,
        bids=book.bids,
        asks=book.asks,
        tick=state.tick,
        source_at=book.source_at,
        received_at=book.received_at,
    )
