"""Books kept from recorded changes, held against the recorded snapshots that follow."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

from shared.venue.book_keeping import BookState, fold, in_doubt
from shared.venue.events import BookDelta, BookSnapshot, UnknownEvent
from shared.venue.parse_streams import parse_market_frame
from tests.contract.recorded_frames import Frame

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def rebuild_sessions(frames: Iterable[Frame]) -> Counter[str]:
    """Return how the kept books compare with the next snapshots of the recorded sessions.

    matched: the kept book was the snapshot. resynced: it was not, and its connection had been lost in between, so that
    nobody trusted it. contradicted: it was not, and nothing had told us.
    """
    tally: Counter[str] = Counter()
    states: dict[str, BookState] = {}
    for frame in frames:
        if not frame.origin.endswith("polymarket_clob"):
            continue
        # A subscription is answered with an array of books: what was kept before is of another connection.
        is_anew = frame.text.startswith("[")
        for event in parse_market_frame(frame.text, NOW):
            if isinstance(event, BookSnapshot):
                before = states.get(event.token_id)
                if before is not None and before.book() is not None:
                    tally[_judged(before if not is_anew else in_doubt(before, "reconnected"), event)] += 1
                states[event.token_id] = fold(BookState(event.token_id), event)
            elif isinstance(event, BookDelta):
                tally["changes"] += 1
                for token in {change.token_id for change in event.changes} & states.keys():
                    states[token] = fold(states[token], event)
                    tally["doubted"] += bool(states[token].doubt)
            elif not isinstance(event, UnknownEvent):
                tally["others"] += 1
    return tally


def _judged(state: BookState, snapshot: BookSnapshot) -> str:
    book = state.book()
    assert book is not None
    if (book.bids, book.asks) == (snapshot.bids, snapshot.asks):
        return "matched"
    return "resynced" if state.doubt else "contradicted"


def rebuild_from_differences(frames: Iterable[Frame], *, lose_every: int | None) -> Counter[str]:
    """Return how a book kept from the differences of recorded snapshots compares with them.

    Each snapshot is written as the changes since the one before, as the venue would send them, and every n-th frame is
    lost. doubted: the loss was noticed, and the book read anew from the recording.
    """
    tally: Counter[str] = Counter()
    books = defaultdict(list)
    for frame in frames:
        if frame.origin.startswith("raw_frames_"):
            found = json.loads(frame.text)
            books[found["asset_id"]].append(found)
    for recorded in books.values():
        state = _snapshot(recorded[0])
        for place, (before, after) in enumerate(pairwise(recorded)):
            if lose_every is None or place % lose_every:
                for event in parse_market_frame(json.dumps(_difference(before, after)), NOW):
                    state = fold(state, event)
            else:
                tally["lost"] += 1
            truth = _snapshot(after)
            if state.doubt:
                tally["doubted"] += 1
                state = truth
            else:
                tally["matched" if _levels(state) == _levels(truth) else "contradicted"] += 1
    return tally


def _snapshot(found: Mapping[str, Any]) -> BookState:
    (event,) = parse_market_frame(json.dumps(found), NOW)
    return fold(BookState(found["asset_id"]), event)


def _levels(state: BookState) -> tuple[Any, Any]:
    return dict(state.bids), dict(state.asks)


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    best = {
        "best_bid": max((level["price"] for level in after["bids"]), key=Decimal, default="0"),
        "best_ask": min((level["price"] for level in after["asks"]), key=Decimal, default="1"),
    }
    changes = [
        {"asset_id": after["asset_id"], "side": side, "price": price, "size": size, **best}
        for side, key in (("BUY", "bids"), ("SELL", "asks"))
        for price, size in _changed(before[key], after[key])
    ]
    return {
        "event_type": "price_change",
        "market": after["market"],
        "timestamp": after["timestamp"],
        "price_changes": changes,
    }


def _changed(before: list[dict[str, str]], after: list[dict[str, str]]) -> Iterator[tuple[str, str]]:
    old = {level["price"]: level["size"] for level in before}
    new = {level["price"]: level["size"] for level in after}
    for price in old.keys() | new.keys():
        if old.get(price) != new.get(price):
            yield price, new.get(price, "0")
