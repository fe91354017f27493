"""PURE: which ticks are new, when a window moves, what a close row holds, when a feed is stale or a clock off."""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from shared.domain.books import Book, Level
from shared.domain.settlement import Reading
from shared.domain.ticks import Source
from shared.domain.windows import SettlementRule, Side, Window, WindowEvent, WindowState

RECENT_IDS = 1_000
"""Trade ids remembered, to tell a repeated trade from a late one."""
OPENING_WITHIN = timedelta(seconds=5)
"""A first price later than this after the open is not the open's."""
SURPRISE_ABOVE = Decimal("0.95")
"""A consensus this sure that lost is a surprise (C9)."""
HALF = Decimal("0.5")
SECONDS_BEFORE_CLOSE = (60, 30, 10, 5, 1, 0)
RESOLUTION_FIRST_WAIT_S = 1.0
_CENT = Decimal("0.01")
_THOUSANDTH = Decimal("0.001")
_MICROSECOND = timedelta(microseconds=1)


class Novelty(StrEnum):
    """What a numbered event is to what came before it."""

    NEW = "NEW"
    LATE = "LATE"
    """Not seen before, but a newer one was: kept, and counted as out of order."""
    DUPLICATE = "DUPLICATE"


@dataclass(slots=True)
class Seen:
    """The serial numbers of one feed and instrument: the last, and the ones just before it (C4)."""

    last: int | None = None
    recent: set[int] = field(default_factory=set)
    order: deque[int] = field(default_factory=deque)

    def judge(self, serial: int) -> Novelty:
        """Return what this number is, and remember it.

        What is older than everything remembered is taken for a repetition: it was seen before the process started.
        """
        oldest = self.order[0] if self.order else self.last
        if serial in self.recent or (self.last is not None and serial == self.last):
            return Novelty.DUPLICATE
        if self.last is not None and serial < self.last:
            if oldest is None or serial < oldest:
                return Novelty.DUPLICATE
            self._remember(serial)
            return Novelty.LATE
        self.last = serial
        self._remember(serial)
        return Novelty.NEW

    def _remember(self, serial: int) -> None:
        self.recent.add(serial)
        self.order.append(serial)
        if len(self.order) > RECENT_IDS:
            self.recent.discard(self.order.popleft())


class ListingChange(StrEnum):
    """What the venue's listing is to the row we have."""

    NEW = "NEW"
    SAME = "SAME"
    UPDATED = "UPDATED"
    IDS_CHANGED = "IDS_CHANGED"
    """A market we already watch is said to be another one: refused, and a person is told (C5)."""


def compare_listing(stored: Window | None, listed: Window) -> ListingChange:
    """Return what to do about a listing; ids may appear, and never change once they are known."""
    if stored is None:
        return ListingChange.NEW
    for before, after in (
        (stored.condition_id, listed.condition_id),
        (stored.up_token, listed.up_token),
        (stored.down_token, listed.down_token),
    ):
        if before is not None and before != after:
            return ListingChange.IDS_CHANGED
    same = replace(listed, state=stored.state, strike=stored.strike) == stored
    return ListingChange.SAME if same else ListingChange.UPDATED


def window_step(window: Window, venue_now: datetime) -> WindowEvent | None:
    """Return what the time does to a window now: at its own open and its own close, whatever its length (D12)."""
    if window.state is WindowState.DISCOVERED and venue_now >= window.opens_at:
        return WindowEvent.OPENED
    if window.state is WindowState.OPEN and venue_now >= window.closes_at:
        return WindowEvent.CLOSED
    return None


def has_ids(window: Window) -> bool:
    """Return whether a window may open: its condition and both tokens are known (C5)."""
    return None not in (window.condition_id, window.up_token, window.down_token)


def next_step_at(windows: Collection[Window]) -> datetime | None:
    """Return when time next moves one of these windows."""
    moments = [
        window.opens_at if window.state is WindowState.DISCOVERED else window.closes_at
        for window in windows
        if window.state in {WindowState.DISCOVERED, WindowState.OPEN}
    ]
    return min(moments, default=None)


def deciding_source(rule: SettlementRule) -> Source:
    """Return the feed a settlement rule looks at (D9)."""
    return {
        SettlementRule.CHAINLINK_TWAP: Source.CHAINLINK_TWAP,
        SettlementRule.CHAINLINK_SPOT: Source.CHAINLINK,
        SettlementRule.BINANCE_CANDLE: Source.BINANCE,
    }[rule]


def opening_price(readings: Sequence[Reading], opens_at: datetime) -> Decimal | None:
    """Return our own price to beat: the deciding feed's first report at or just after the open, None without one."""
    first = min((reading for reading in readings if reading.at >= opens_at), default=None)
    return first.price if first is not None and first.at - opens_at <= OPENING_WITHIN else None


@dataclass(frozen=True, slots=True)
class BookSummary:
    """A book in eight numbers; depth is in USDC, within 1 % and 5 % of the best price (C6)."""

    best_bid: Decimal | None
    best_ask: Decimal | None
    spread: Decimal | None
    mid: Decimal | None
    bid_depth_100: Decimal
    ask_depth_100: Decimal
    bid_depth_500: Decimal
    ask_depth_500: Decimal


def summarise(book: Book) -> BookSummary:
    """Return the numbers of a snapshot row."""
    bid, ask = book.best_bid, book.best_ask
    return BookSummary(
        best_bid=bid,
        best_ask=ask,
        spread=None if bid is None or ask is None else ask - bid,
        mid=book.mid,
        bid_depth_100=_depth(book.bids, Decimal("0.01")),
        ask_depth_100=_depth(book.asks, Decimal("0.01")),
        bid_depth_500=_depth(book.bids, Decimal("0.05")),
        ask_depth_500=_depth(book.asks, Decimal("0.05")),
    )


def _depth(levels: Sequence[Level], within: Decimal) -> Decimal:
    if not levels:
        return Decimal(0)
    best = levels[0].price
    near = (level for level in levels if abs(level.price - best) <= best * within)
    return sum((level.price * level.size for level in near), Decimal(0)).quantize(_CENT)


def samples_of(window: Window) -> tuple[int, ...]:
    """Return the seconds before the close at which this window is sampled: a short window has fewer (C9)."""
    length_s = (window.closes_at - window.opens_at).total_seconds()
    return tuple(seconds for seconds in SECONDS_BEFORE_CLOSE if seconds < length_s)


def due_samples(window: Window, venue_now: datetime, taken: Collection[int]) -> tuple[int, ...]:
    """Return the samples whose moment has come, and which are not yet taken.

    One whose successor is due, too, was missed: a price of another moment must not stand in its column.
    """
    due = [
        seconds
        for seconds in samples_of(window)
        if venue_now >= window.closes_at - timedelta(seconds=seconds)
    ]
    return tuple(seconds for seconds in due[-1:] if seconds not in taken)


def market_price(book: Book | None) -> Decimal | None:
    """Return what a sound book thinks its token is worth: the middle, or near the end the only side that is left."""
    if book is None or not book.continuous:
        return None
    if book.mid is not None:
        return book.mid
    return book.best_bid if book.best_bid is not None else book.best_ask


@dataclass(frozen=True, slots=True)
class Consensus:
    """What the books held for certain at the end, and how much so: the favourite's price."""

    direction: Side
    confidence: Decimal


def consensus(up_price: Decimal | None, down_price: Decimal | None) -> Consensus | None:
    """Return the favourite; None where no book shows one."""
    up = up_price if up_price is not None else (None if down_price is None else 1 - down_price)
    if up is None or up == HALF:
        return None
    return Consensus(Side.UP, up) if up > HALF else Consensus(Side.DOWN, 1 - up)


def is_surprise(said: Consensus | None, payout_up: Decimal) -> bool | None:
    """Return whether a market that was sure lost; None where nobody was asked or the market was split."""
    if said is None or payout_up == HALF:
        return None
    winner = Side.UP if payout_up == 1 else Side.DOWN
    return said.confidence > SURPRISE_ABOVE and said.direction is not winner


def resolution_wait_s(attempt: int) -> float:
    """Return the seconds before the ``attempt``-th question (0: the first) after a close.

    The venue answers within seconds or minutes: ask every two seconds at first, then every ten, then ever more seldom.
    """
    if attempt == 0:
        return RESOLUTION_FIRST_WAIT_S
    if attempt <= 5:  # noqa: PLR2004 the steps of the ladder
        return 2.0
    if attempt <= 30:  # noqa: PLR2004
        return 10.0
    return 60.0 if attempt <= 90 else 300.0  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class Clocked:
    """How far a clock that tells whole seconds is ahead of ours: somewhere between these, seconds."""

    least_s: Decimal
    most_s: Decimal

    @property
    def offset_s(self) -> Decimal:
        """Return the smallest offset that contradicts no reading: both clocks are right until one is proved wrong."""
        return min(max(Decimal(0), self.least_s), self.most_s)


def narrowed(known: Clocked | None, *, said: datetime, asked_at: datetime, answered_at: datetime) -> Clocked:
    """Return the bounds after one more reading of a clock cut to whole seconds.

    The true time was in [said, said + 1 s) at some moment between question and answer. Readings at different parts of a
    second narrow the bounds; a reading that contradicts them (a clock was set) starts anew.
    """
    least = Decimal((said - answered_at) // _MICROSECOND) / 1_000_000
    most = Decimal((said - asked_at) // _MICROSECOND) / 1_000_000 + 1
    if known is None:
        return Clocked(least, most)
    both = Clocked(max(known.least_s, least), min(known.most_s, most))
    return both if both.least_s <= both.most_s else Clocked(least, most)


def smoothed_ms(before: Decimal | None, newest_ms: Decimal) -> Decimal:
    """Return a moving average over about twenty readings, milliseconds."""
    smoothed = newest_ms if before is None else before + (newest_ms - before) / 20
    return smoothed.quantize(_THOUSANDTH)


def stale_since(
    last_received_at: datetime | None, started_at: datetime, now: datetime, limit: timedelta
) -> datetime | None:
    """Return when a feed fell silent, None while it speaks; one that has never spoken is silent since the start."""
    heard_at = last_received_at or started_at
    return heard_at if now - heard_at > limit else None


def change_pct(old: Decimal | None, new: Decimal) -> Decimal | None:
    """Return a change in percent, six decimals; None without a price before."""
    return None if old is None or old == 0 else ((new - old) / old * 100).quantize(Decimal("0.000001"))


def milliseconds(span: timedelta) -> Decimal:
    """Return a span in milliseconds."""
    return Decimal(span // _MICROSECOND) / 1000


def tokens_to_follow(windows: Collection[Window], venue_now: datetime, ahead: timedelta) -> frozenset[str]:
    """Return the tokens whose books are wanted: of windows that are open or open soon."""
    return frozenset(
        token
        for window in windows
        if window.state in {WindowState.DISCOVERED, WindowState.OPEN} and window.opens_at - venue_now <= ahead
        for token in (window.up_token, window.down_token)
        if token is not None
    )


def oldest_first(prices: Mapping[datetime, Decimal]) -> tuple[Reading, ...]:
    """Return readings in time order."""
    return tuple(Reading(at, price) for at, price in sorted(prices.items()))
