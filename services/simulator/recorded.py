"""What was recorded in one market, whatever the recorder: books of the UP token, the winner, prices if any.

PURE: rows in, windows out. Reading files is recordings.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from itertools import pairwise
from math import isnan
from typing import Any

from services.simulator.world import Levels, Winner

CENT = Decimal("0.01")
SIZE_STEP = Decimal("0.01")
# A window is whole when its ends are covered and no gap is long, as shares of its length; the sparsest good
# recording (one row in 3 s) starts up to 3 % late, the sample falls silent 25 s before an end long decided.
LATEST_START, EARLIEST_END, LONGEST_GAP = 0.04, 0.97, 0.05
# Without an official result the book itself says who won, if its last mid is this clear.
CLEAR_MID = 0.9


@dataclass(frozen=True, slots=True)
class RecordedBook:
    """One book of the UP token, ``at_s`` seconds after the open; best first, on the one-cent grid."""

    at_s: float
    bids: Levels
    asks: Levels

    @property
    def mid(self) -> float:
        """Return the middle of the book; an empty side counts as 0 or 1."""
        bid = float(self.bids[0][0]) if self.bids else 0.0
        ask = float(self.asks[0][0]) if self.asks else 1.0
        return (bid + ask) / 2


@dataclass(frozen=True, slots=True)
class RecordedWindow:
    """One whole recorded market. ``reference`` and ``binance`` are (seconds, deviation from the open) or empty."""

    source: str
    epoch: int
    duration_s: int
    books: tuple[RecordedBook, ...]
    winner: Winner
    reference: tuple[tuple[float, float], ...] = ()
    binance: tuple[tuple[float, float], ...] = ()


def whole_window(
    source: str,
    epoch: int,
    duration_s: int,
    books: Iterable[RecordedBook],
    *,
    winner: Winner | None = None,
    every_s: float = 0.0,
    reference: Sequence[tuple[float, float]] = (),
    binance: Sequence[tuple[float, float]] = (),
) -> RecordedWindow | None:
    """Return the window, thinned to the last book in every ``every_s``; None when it is not whole or not clear."""
    kept = [book for book in sorted(books, key=lambda book: book.at_s) if 0 <= book.at_s < duration_s]
    if not kept or kept[0].at_s > LATEST_START * duration_s or kept[-1].at_s < EARLIEST_END * duration_s:
        return None
    longest = max((later.at_s - book.at_s for book, later in pairwise(kept)), default=0.0)
    winner = winner or clear_winner(kept[-1].mid)
    if longest > LONGEST_GAP * duration_s or winner is None:
        return None
    thinned = tuple(_last_of_each(kept, every_s)) if every_s > 0 else tuple(kept)
    return RecordedWindow(source, epoch, duration_s, thinned, winner, tuple(reference), tuple(binance))


def clear_winner(mid: float) -> Winner | None:
    """Return who won by the last mid of UP, None when it does not say."""
    if mid >= CLEAR_MID:
        return "UP"
    return "DOWN" if mid <= 1 - CLEAR_MID else None


def named_winner(name: str) -> Winner | None:
    """Return the winner a recorder wrote down (``up``, ``down``), None for anything else."""
    return {"up": "UP", "down": "DOWN"}.get(name.strip().lower())  # type: ignore[return-value]


def up_book(at_s: float, row: Mapping[str, Any], *, down_is_fresher: bool) -> RecordedBook:
    """Return the UP book of a row with best bid and ask of both tokens.

    The two books update one after the other; the fresher one is believed, the other fills an empty side
    (bid UP = 1 - ask DOWN).
    """
    sides = {}
    for side, other in (("bid", "ask"), ("ask", "bid")):
        up = _number(row[f"up_{side}"]), _number(row.get(f"up_{side}_size"))
        down = _number(row[f"down_{other}"]), _number(row.get(f"down_{other}_size"))
        mirrored = (None if down[0] is None else 1 - down[0]), down[1]
        first, second = (mirrored, up) if down_is_fresher else (up, mirrored)
        sides[side] = first if first[0] is not None else second
    return cents_book(at_s, [sides["bid"]], [sides["ask"]])


def cents_book(
    at_s: float,
    bids: Iterable[tuple[float | None, float | None]],
    asks: Iterable[tuple[float | None, float | None]],
) -> RecordedBook:
    """Return a book on the one-cent grid: bids rounded down, asks up, equal levels added, 0 and 1 left out.

    Rounding outward can only widen a book, so what was not crossed does not become so. A size that is not
    recorded is zero here and is filled in by the replay.
    """
    return RecordedBook(at_s, bids=_levels(bids, ROUND_FLOOR), asks=_levels(asks, ROUND_CEILING))


def uncrossed(book: RecordedBook) -> bool:
    """Return whether the best bid is below the best ask (two books read at different times can cross)."""
    return not book.bids or not book.asks or book.bids[0][0] < book.asks[0][0]


def _levels(side: Iterable[tuple[float | None, float | None]], rounding: str) -> Levels:
    sizes: dict[Decimal, Decimal] = {}
    for price, size in side:
        if price is None:
            continue
        on_grid = Decimal(repr(round(price, 6))).quantize(CENT, rounding=rounding)
        if 0 < on_grid < 1:
            sizes[on_grid] = sizes.get(on_grid, Decimal(0)) + Decimal(repr(size or 0.0)).quantize(SIZE_STEP)
    return tuple(sizes.items())


def _last_of_each(books: Sequence[RecordedBook], every_s: float) -> Iterable[RecordedBook]:
    slots: dict[int, RecordedBook] = {}
    for book in books:
        slots[int(book.at_s / every_s)] = book
    return slots.values()


def _number(value: Any) -> float | None:
    if value is None or value == "":
        return None
    number = float(value)
    return None if isnan(number) else number
