"""PURE: a token's book kept from snapshot and changes, with doubt (C6).

The channel numbers nothing and repeats nothing, so a lost frame shows only as a contradiction: best prices that differ
from the kept book's, a bid at or above an ask, a change of the grid, a hash that is not the kept book's. From then on
the book is not continuous, and nobody trades on it, until the next snapshot, by stream or read anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from shared.domain.books import Book, Level
from shared.domain.ids import TokenId
from shared.domain.orders import OrderSide
from shared.venue.book_seal import Seal, head_of, seal_of
from shared.venue.events import BookDelta, BookSnapshot, LevelChange, MarketEvent, TickSizeChange, TopOfBook

CHANGE_LOST = "by the venue's hash a change was lost"
UNSEALED_FOR = timedelta(seconds=30)
"""After such a doubt the hash is not asked for so long: were it ever made otherwise, no book would be sound again."""


@dataclass(frozen=True, slots=True)
class BookState:
    """One token's book as kept; ``doubt`` says why it is not to be traded on, empty when it is sound."""

    token_id: TokenId
    bids: Mapping[Decimal, Decimal] = field(default_factory=dict)
    asks: Mapping[Decimal, Decimal] = field(default_factory=dict)
    tick: Decimal | None = None
    source_at: datetime | None = None
    received_at: datetime | None = None
    snapshot_at: datetime | None = None
    """Source time of the last snapshot: older changes are already in it."""
    doubt: str = "no snapshot yet"
    condition_id: str = ""
    seal: Seal | None = None
    """How the venue hashes this book, proved on a snapshot; None: its hashes say nothing to us."""
    digest: str = ""
    """The venue's hash for the moment ``source_at``, to be compared once that moment is over."""
    unsealed_until: datetime | None = None

    @property
    def best_bid(self) -> Decimal | None:
        return max(self.bids, default=None)

    @property
    def best_ask(self) -> Decimal | None:
        return min(self.asks, default=None)

    def book(self) -> Book | None:
        """Return the book as a value, best level first; None before the first snapshot."""
        if self.source_at is None or self.received_at is None:
            return None
        return Book(
            token_id=self.token_id,
            bids=tuple(Level(price, self.bids[price]) for price in sorted(self.bids, reverse=True)),
            asks=tuple(Level(price, self.asks[price]) for price in sorted(self.asks)),
            source_at=self.source_at,
            received_at=self.received_at,
            continuous=not self.doubt,
        )


def fold(state: BookState, event: MarketEvent) -> BookState:
    """Return the book after an event; one that does not concern the token changes nothing."""
    match event:
        case BookSnapshot() if event.token_id == state.token_id:
            return _from_snapshot(state, event)
        case BookDelta():
            changes = [change for change in event.changes if change.token_id == state.token_id]
            return _changed(state, changes, event) if changes else state
        case TopOfBook() if event.token_id == state.token_id:
            return _compared(state, event.best_bid, event.best_ask, event.source_at)
        case TickSizeChange() if event.token_id == state.token_id:
            doubtful = replace(state, tick=event.new_tick)
            return in_doubt(doubtful, f"the tick changed from {event.old_tick} to {event.new_tick}")
        case _:
            return state


def in_doubt(state: BookState, why: str) -> BookState:
    """Return the book marked as not continuous: after a reconnect, an unreadable frame, a contradiction."""
    return state if state.doubt else replace(state, doubt=why)


def resynced(state: BookState, book: Book) -> BookState:
    """Return the book as read anew by REST, which ends every doubt."""
    snapshot = replace(
        state,
        bids={level.price: level.size for level in book.bids},
        asks={level.price: level.size for level in book.asks},
        source_at=book.source_at,
        received_at=book.received_at,
        snapshot_at=book.source_at,
        doubt="",
        digest="",
    )
    return _uncrossed(snapshot)


def _from_snapshot(state: BookState, event: BookSnapshot) -> BookState:
    if state.source_at is not None and not state.doubt and event.source_at < state.source_at:
        return state  # an older picture, delivered late
    book = Book(state.token_id, event.bids, event.asks, event.source_at, event.received_at)
    is_first = bool(state.doubt)
    kept = resynced(replace(state, tick=event.tick or state.tick, condition_id=event.condition_id), book)
    if kept.doubt or kept.tick is None or not event.digest:
        return kept
    # A whole book needs no proof; it proves that we know how the venue hashes.
    if is_first:
        return replace(kept, seal=seal_of(event.digest, _head(kept), kept.tick))
    return kept if kept.seal is None else replace(kept, seal=kept.seal.found(event.digest, _head(kept)))


def _head(state: BookState) -> bytes:
    assert state.source_at is not None, "a book with a snapshot has a time"
    return head_of(state.condition_id, state.token_id, state.source_at, state.bids, state.asks)


def _proved(state: BookState, event: BookDelta, digest: str) -> BookState:
    """Return the book of the moment before this change, in doubt if it was not the venue's."""
    is_over = (state.source_at, state.digest) != (event.source_at, digest)
    if state.seal is None or state.doubt or not state.digest or not is_over:
        return state
    if state.unsealed_until is not None and event.source_at < state.unsealed_until:
        return state
    seal = state.seal.found(state.digest, _head(state))
    if seal is None:
        return in_doubt(replace(state, unsealed_until=event.source_at + UNSEALED_FOR), CHANGE_LOST)
    return replace(state, seal=seal)


def _changed(state: BookState, changes: list[LevelChange], event: BookDelta) -> BookState:
    if state.source_at is None or state.snapshot_at is None or event.source_at < state.snapshot_at:
        return state  # nothing to change yet, or the snapshot holds it already
    if event.source_at < state.source_at:
        return in_doubt(state, "a change came out of order")
    last = changes[-1]
    state = _proved(state, event, last.digest)
    bids, asks = dict(state.bids), dict(state.asks)
    for change in changes:
        side = bids if change.side is OrderSide.BUY else asks
        if change.size > 0:
            side[change.price] = change.size
        else:
            side.pop(change.price, None)
    kept = replace(
        state,
        bids=bids,
        asks=asks,
        source_at=event.source_at,
        received_at=event.received_at,
        digest=last.digest,
    )
    if last.best_bid is None and last.best_ask is None:
        return _uncrossed(kept)  # the venue left them out, or the book is empty
    return _uncrossed(_compared(kept, last.best_bid, last.best_ask, event.source_at))


def _compared(
    state: BookState, best_bid: Decimal | None, best_ask: Decimal | None, source_at: datetime
) -> BookState:
    """Return the book, in doubt if the venue's best prices of this moment or later are not ours."""
    if state.source_at is None or source_at < state.source_at:
        return state
    if (best_bid, best_ask) != (state.best_bid, state.best_ask):
        ours = f"{state.best_bid}/{state.best_ask}"
        return in_doubt(state, f"the venue's best prices are {best_bid}/{best_ask}, the kept book's {ours}")
    return state


def _uncrossed(state: BookState) -> BookState:
    if state.best_bid is not None and state.best_ask is not None and state.best_bid >= state.best_ask:
        return in_doubt(state, f"bid {state.best_bid} meets ask {state.best_ask}")
    return state
