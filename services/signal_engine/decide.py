"""PURE: who is asked about which window, what they see, and what becomes a signal."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from shared.domain.books import Book
from shared.domain.controls import Controls
from shared.domain.ids import AccountId, InstanceId, Instrument, StrategyId, TokenId, WindowId, signal_id
from shared.domain.modes import Mode, effective
from shared.domain.refusals import Refusal
from shared.domain.signals import Signal, SignalState
from shared.domain.ticks import PRIMARY, Source
from shared.domain.windows import SettlementRule, Window, WindowState
from shared.strategies.base import PricePoint, StrategyDeclaration, WindowView, Wish

SIGNALS_MAX = 2
"""Per strategy and window: the schema lets no more entry orders through (B10)."""
SAMPLES_MAX = 240
"""Recent prices of the deciding feed that a strategy is shown."""
RETRY_AFTER = timedelta(seconds=2)
PRIMARY_AGE_MAX = timedelta(seconds=5)
"""An older primary feed makes no signals (R12)."""
PASSING = frozenset(
    {
        Refusal.NOT_LEADER,
        Refusal.RECONCILIATION_PENDING,
        Refusal.SIGNAL_EXPIRED,
        Refusal.CLOCK_OFF,
        Refusal.FEED_STALE,
        Refusal.BOOK_NOT_CONTINUOUS,
        Refusal.MARKET_STALE,
        Refusal.NOT_ACCEPTING,
        Refusal.COOLDOWN,
        Refusal.MAX_OPEN_POSITIONS,
        Refusal.MAX_EXPOSURE,
        Refusal.MAX_INSTRUMENT,
        Refusal.SESSION_DEPLOYED,
        Refusal.INSUFFICIENT_CAPITAL,
        Refusal.BALANCE_STALE,
        Refusal.INSUFFICIENT_BALANCE,
        Refusal.WATCHDOG_SILENT,
        Refusal.DEADMAN_STALE,
        Refusal.PRICE_MOVED,
        Refusal.NO_LIQUIDITY,
        Refusal.SERIALIZATION_CONFLICT,
    }
)
"""Refusals that may be gone two seconds later; after any other the window is over for the strategy."""


@dataclass(frozen=True, slots=True)
class Instance:
    """A strategy that runs for an account."""

    account_id: AccountId
    instance_id: InstanceId
    declaration: StrategyDeclaration

    @property
    def strategy_id(self) -> StrategyId:
        return self.declaration.strategy_id


@dataclass(frozen=True, slots=True)
class PastSignal:
    """What became of a signal."""

    ordinal: int
    state: SignalState
    refusal: str | None
    decided_at: datetime | None


SignalKey = tuple[AccountId, Mode, StrategyId, WindowId]


@dataclass(frozen=True, slots=True)
class FeedNow:
    """A feed of an instrument as the Book has it."""

    source: Source
    instrument: Instrument
    last_received_at: datetime | None


@dataclass(frozen=True, slots=True)
class Situation:
    """The first part of a fresh read: what there is to be asked about."""

    now: datetime
    """Postgres's clock."""
    venue_offset: timedelta
    windows: tuple[Window, ...] = ()
    feeds: tuple[FeedNow, ...] = ()
    past: Mapping[SignalKey, tuple[PastSignal, ...]] = field(default_factory=lambda: MappingProxyType({}))
    controls: Mapping[AccountId, Controls] = field(default_factory=lambda: MappingProxyType({}))
    """An account whose controls cannot be read is absent, and makes no signals (P3)."""
    unreadable: Mapping[AccountId, str] = field(default_factory=lambda: MappingProxyType({}))
    """Why they cannot, by account."""
    enabled: frozenset[InstanceId] = frozenset()

    @property
    def venue_now(self) -> datetime:
        return self.now + self.venue_offset


@dataclass(frozen=True, slots=True)
class Market:
    """The second part: books by token and recent prices by feed, of the windows that somebody is asked about."""

    books: Mapping[TokenId, Book]
    prices: Mapping[tuple[Source, Instrument], Sequence[PricePoint]]


@dataclass(frozen=True, slots=True)
class Question:
    """One strategy to be asked about one window."""

    instance: Instance
    window: Window
    mode: Mode
    ordinal: int
    lifetime: timedelta


def age_of(situation: Situation, source: Source, instrument: Instrument) -> timedelta | None:
    """Return how long ago a feed was last heard; None if never."""
    for feed in situation.feeds:
        if feed.source is source and feed.instrument == instrument and feed.last_received_at is not None:
            return max(situation.now - feed.last_received_at, timedelta(0))
    return None


def is_primary_fresh(situation: Situation, instrument: Instrument) -> bool:
    """Return whether new signals may be made for an instrument; unknown is stale (P3, R12)."""
    age = age_of(situation, PRIMARY, instrument)
    return age is not None and age <= PRIMARY_AGE_MAX


def next_ordinal(past: Iterable[PastSignal], now: datetime) -> int | None:
    """Return the number of the signal a strategy may make in a window now, None when it may not.

    One undecided signal at a time, two in all, the second only two seconds after a refusal that can pass, or an expiry.
    """
    made = sorted(past, key=lambda each: each.ordinal)
    if not made:
        return 0
    last = made[-1]
    if len(made) >= SIGNALS_MAX or last.state in {SignalState.NEW, SignalState.ORDERED}:
        return None
    if last.state is SignalState.REFUSED and last.refusal not in PASSING:
        return None
    if last.decided_at is None or now - last.decided_at < RETRY_AFTER:
        return None
    return last.ordinal + 1


def questions(situation: Situation, instances: Sequence[Instance], ceiling: Mode) -> list[Question]:
    """Return who is to be asked about what: open windows in a strategy's own time, with nothing undecided."""
    found: list[Question] = []
    for window in situation.windows:
        if window.state is not WindowState.OPEN or not is_primary_fresh(situation, window.instrument):
            continue
        for instance in instances:
            controls = situation.controls.get(instance.account_id)
            declaration = instance.declaration
            if (
                controls is None
                or instance.instance_id not in situation.enabled
                or not declaration.trades(window.instrument)
                or not declaration.may_enter(window, situation.venue_now)
            ):
                continue
            mode = effective(ceiling, controls.trading_mode)
            key = (instance.account_id, mode, instance.strategy_id, window.window_id)
            ordinal = next_ordinal(situation.past.get(key, ()), situation.now)
            if ordinal is not None:
                lifetime = timedelta(microseconds=int(controls.signal_lifetime_s * 1_000_000))
                found.append(Question(instance, window, mode, ordinal, lifetime))
    return found


def spot_source(rule: SettlementRule) -> Source:
    """Return the feed whose instantaneous price the rule goes by."""
    return Source.BINANCE if rule is SettlementRule.BINANCE_CANDLE else Source.CHAINLINK


def prices_wanted(rule: SettlementRule) -> dict[Source, int]:
    """Return how many recent prices of each feed a view of such a window shows: many of the deciding one."""
    return {Source.CHAINLINK_TWAP: 1, PRIMARY: 1, spot_source(rule): SAMPLES_MAX}


def build_view(situation: Situation, market: Market, window: Window) -> WindowView:
    """Return all a strategy may see of a window at this moment."""
    instrument = window.instrument
    samples = tuple(market.prices.get((spot_source(window.rule), instrument), ()))
    averages = market.prices.get((Source.CHAINLINK_TWAP, instrument), ())
    fast = market.prices.get((PRIMARY, instrument), ())
    ages = {source.value: age_of(situation, source, instrument) for source in Source}
    return WindowView(
        window=window,
        now=situation.venue_now,
        up_book=None if window.up_token is None else market.books.get(window.up_token),
        down_book=None if window.down_token is None else market.books.get(window.down_token),
        strike=window.strike,
        oracle=samples[-1] if samples else None,
        oracle_average=averages[-1] if averages else None,
        oracle_samples=samples,
        fast=fast[-1] if fast else None,
        feed_ages={name: age for name, age in ages.items() if age is not None},
    )


def make_signal(question: Question, wish: Wish, view: WindowView, made_at: datetime) -> Signal | None:
    """Return the signal of a wish, None where the window has no such token.

    ``made_at`` is the moment of the read it was made on, by Postgres's clock: the signal ages from there.
    """
    instance, window = question.instance, question.window
    token = window.token(wish.side)
    if token is None:
        return None
    return Signal(
        signal_id=signal_id(
            instance.account_id,
            question.mode.value,
            instance.strategy_id,
            window.window_id,
            ordinal=question.ordinal,
        ),
        account_id=instance.account_id,
        mode=question.mode,
        strategy_id=instance.strategy_id,
        instance_id=instance.instance_id,
        window_id=window.window_id,
        instrument=window.instrument,
        side=wish.side,
        token_id=token,
        price=wish.price,
        amount_usdc=wish.amount_usdc,
        confidence=wish.confidence,
        made_at=made_at,
        expires_at=made_at + question.lifetime,
        risk=instance.declaration.risk,
        evidence={"decision": dict(wish.evidence), "view": describe(view)},
    )


def describe(view: WindowView) -> dict[str, Any]:
    """Return a view as JSON-ready text, complete: the strategy asked again with it says the same (S4)."""
    window = view.window
    return {
        "now": view.now.isoformat(),
        "window": {
            "window_id": window.window_id,
            "opens_at": window.opens_at.isoformat(),
            "closes_at": window.closes_at.isoformat(),
            "rule": window.rule.value,
            "lookback_s": window.lookback_s,
            "tick": _text(window.tick),
            "fee_rate": None if window.fee is None else str(window.fee.rate),
            "fee_exponent": None if window.fee is None else window.fee.exponent,
        },
        "strike": _text(view.strike),
        "up_book": _book(view.up_book),
        "down_book": _book(view.down_book),
        "oracle_average": _point(view.oracle_average),
        "oracle_samples": [_point(point) for point in view.oracle_samples],
        "fast": _point(view.fast),
        "feed_ages_ms": {name: age // timedelta(milliseconds=1) for name, age in view.feed_ages.items()},
    }


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _point(point: PricePoint | None) -> list[str] | None:
    if point is None:
        return None
    return [str(point.price), point.source_at.isoformat(), point.received_at.isoformat()]


def _book(book: Book | None) -> dict[str, Any] | None:
    if book is None:
        return None
    return {
        "bids": [[str(level.price), str(level.size)] for level in book.bids],
        "asks": [[str(level.price), str(level.size)] for level in book.asks],
        "source_at": book.source_at.isoformat(),
        "received_at": book.received_at.isoformat(),
        "continuous": book.continuous,
    }
