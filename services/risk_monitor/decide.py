"""PURE: whether to leave a position, whether it may be decided at all, and what a verification proves."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from shared.domain.breaker import BLINDING, KillSwitch, TripReason
from shared.domain.controls import Controls
from shared.domain.exits import ExitDecision, ExitFacts, decide_exit
from shared.domain.ids import AccountId, PositionId, TokenId
from shared.domain.modes import Mode
from shared.domain.money import ZERO, parse
from shared.domain.orders import OrderSide
from shared.domain.positions import TRIGGERED, ExitReason, PositionState
from shared.domain.trades import SETTLED_ON_CHAIN, FillState, VenueTrade

BOOK_AGE_MAX = timedelta(seconds=10)
"""The venue's own stale threshold (C1): an older book is no price to decide by (P3)."""
VERIFIED_AGE_MAX = timedelta(seconds=10)
"""A price rule sells only what a verification this young has seen (R3)."""
BLIND_AFTER = timedelta(seconds=3)
"""Two looks this far apart at shares the Book does not know are no race any more (R3)."""
ANSWER_AGE_MAX = timedelta(seconds=30)
"""How old the venue's last answer may be while it limits us (R3)."""


class Blindness(StrEnum):
    """Why a position's price rules cannot be decided."""

    NO_BOOK = "NO_BOOK"
    BROKEN_BOOK = "BROKEN_BOOK"
    STALE_BOOK = "STALE_BOOK"
    UNVERIFIED = "UNVERIFIED"
    TRIPPED = "TRIPPED"
    """The breaker is open because we do not know what we hold: nothing is evaluated (R3)."""


@dataclass(frozen=True, slots=True)
class BookView:
    """The best bid of a token, and how far it can be believed."""

    best_bid: Decimal | None
    continuous: bool
    received_at: datetime
    heard_at: datetime
    """When anything was last heard of the book or its feed: a quiet book of a live feed is not stale."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One position as the one fresh read brings it."""

    position_id: PositionId
    account_id: AccountId
    mode: Mode
    facts: ExitFacts
    exit_reason: ExitReason | None
    kill_switch: KillSwitch
    book: BookView | None
    verified_at: datetime | None
    breaker_reason: TripReason | None
    """Why the breaker is open; None while it is closed."""
    now: datetime
    """Postgres's clock at the read."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What to do with one position: leave, remember a peak, or say that we cannot see."""

    exit: ExitDecision | None = None
    peak: Decimal | None = None
    blind: Blindness | None = None


def exit_rule(risk: Mapping[str, Any], key: str, default: Decimal | None) -> Decimal | None:
    """Return a rule of the signal's risk parameters: a fraction, None where it is switched off, else the control's.

    Raises:
        ValueError: the signal's figure is not a number.
    """
    if key not in risk:
        return default
    value = risk[key]
    return None if value is None else parse(str(value))


def exit_rules(
    risk: Mapping[str, Any], controls: Controls
) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    """Return stop-loss, take-profit and trailing stop in force for a position."""
    return (
        exit_rule(risk, "stop_loss", controls.stop_loss),
        exit_rule(risk, "take_profit", controls.take_profit),
        exit_rule(risk, "trailing", controls.trailing_stop),
    )


def has_price_rule(facts: ExitFacts) -> bool:
    """Return whether any price could make us leave this position."""
    return any(rule is not None for rule in (facts.stop_loss, facts.take_profit, facts.trailing))


def blindness(watched: Watched) -> Blindness | None:
    """Return why no price may decide this position now; None when one may, or none has to."""
    if not has_price_rule(watched.facts):
        return None
    if watched.breaker_reason in BLINDING:
        return Blindness.TRIPPED
    why = _book_blindness(watched.book, watched.now)
    unverified = watched.verified_at is None or watched.now - watched.verified_at > VERIFIED_AGE_MAX
    return Blindness.UNVERIFIED if why is None and unverified else why


def _book_blindness(book: BookView | None, now: datetime) -> Blindness | None:
    if book is None:
        return Blindness.NO_BOOK
    if not book.continuous:
        return Blindness.BROKEN_BOOK
    return Blindness.STALE_BOOK if now - book.heard_at > BOOK_AGE_MAX else None


def judge(watched: Watched) -> Judgement:
    """Return what to do with a position; orders of a person and the window's end need no price (R4, R6)."""
    facts = watched.facts
    if facts.state is not PositionState.MONITORING:
        return Judgement(exit=_sharper(watched))
    if facts.held_shares <= 0:
        return Judgement()
    blind = blindness(watched)
    bid = watched.book.best_bid if watched.book is not None and blind is None else None
    decision = decide_exit(facts, best_bid=bid, now=watched.now, kill_switch=watched.kill_switch)
    rises = (
        facts.trailing is not None and bid is not None and (facts.peak_bid is None or bid > facts.peak_bid)
    )
    return Judgement(
        exit=decision,
        peak=bid if rises and decision is None else None,
        blind=blind if decision is None else None,
    )


def _sharper(watched: Watched) -> ExitDecision | None:
    """Return what a switch or the window's end makes of an exit that is already under way."""
    triggered = watched.facts.state in TRIGGERED
    if triggered and watched.now >= watched.facts.closes_at:
        return ExitDecision(ExitReason.EXPIRY)
    if not triggered and watched.facts.state is not PositionState.EXIT_PENDING:
        return None
    if watched.exit_reason is ExitReason.EMERGENCY:
        return None
    if watched.kill_switch is KillSwitch.EMERGENCY:
        return ExitDecision(ExitReason.EMERGENCY)
    if watched.kill_switch is KillSwitch.FLATTEN and watched.exit_reason is not ExitReason.FLATTEN:
        return ExitDecision(ExitReason.FLATTEN)
    return None


def period(now: datetime, every_s: int) -> str:
    """Return the name of the period of ``every_s`` seconds around ``now``; later ones sort after earlier ones (T5)."""
    seconds = int(now.timestamp())
    return f"{seconds - seconds % every_s:012d}"


@dataclass(frozen=True, slots=True)
class TokenFold:
    """What the Book holds of one token, and between which balances the chain may stand while trades settle."""

    held: Decimal = ZERO
    chain_min: Decimal = ZERO
    chain_max: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the looks before this one saw, each since when without a break."""

    blind_since: datetime | None = None
    """The venue has shown shares the Book has none of."""
    short_since: datetime | None = None
    """The venue has shown fewer shares than the Book holds."""
    flagged: bool = False
    """A position is flagged as an orphan."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """The Book's side of a verification."""

    account_id: AccountId
    mode: Mode
    tokens: Mapping[TokenId, TokenFold]
    broken: tuple[str, ...]
    """Positions whose shares are not the fold of their orders."""
    before: Sighting
    now: datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one verification found."""

    verified: bool
    differences: tuple[str, ...] = ()
    unknown: tuple[TokenId, ...] = ()
    """Tokens the venue shows and the Book has none of."""
    trips: bool = False
    """They are no race any more: we are blind."""
    short: tuple[TokenId, ...] = ()
    """Tokens of which the venue shows less than the Book holds."""
    orphaned: tuple[TokenId, ...] | None = None
    """Those that are no race any more; None where no flag has to be raised or lowered."""
    venue: Mapping[str, Any] = field(default_factory=dict)


def verify_locally(holdings: Holdings) -> Verdict:
    """Return what the Book proves of itself where there is no venue to ask (PAPER, DRY_RUN)."""
    return Verdict(verified=not holdings.broken, differences=holdings.broken)


def fold_trades(trades: tuple[VenueTrade, ...]) -> dict[TokenId, Decimal]:
    """Return the shares that trades leave of each token; a failed match never happened."""
    folded: dict[TokenId, Decimal] = {}
    for trade in trades:
        if trade.state is FillState.FAILED:
            continue
        signed = trade.shares if trade.side is OrderSide.BUY else -trade.shares
        folded[trade.token_id] = folded.get(trade.token_id, ZERO) + signed
    return folded


def token_fold(fills: tuple[tuple[OrderSide, FillState, Decimal], ...], unexplained: Decimal) -> TokenFold:
    """Return the fold of one token's fills, failed ones left out; ``unexplained`` is what answers claimed beyond them.

    A sale may leave the chain when it matches, a purchase arrives at the latest when it is mined.
    """
    bought = sum((shares for side, _, shares in fills if side is OrderSide.BUY), ZERO)
    sold = sum((shares for side, _, shares in fills if side is OrderSide.SELL), ZERO)
    mined = [(side, shares) for side, state, shares in fills if state in SETTLED_ON_CHAIN]
    mined_bought = sum((shares for side, shares in mined if side is OrderSide.BUY), ZERO)
    mined_sold = sum((shares for side, shares in mined if side is OrderSide.SELL), ZERO)
    return TokenFold(
        held=bought - sold + unexplained,
        chain_min=mined_bought - sold + min(unexplained, ZERO),
        chain_max=bought - mined_sold + max(unexplained, ZERO),
    )


def verify_by_venue(
    holdings: Holdings, *, traded: Mapping[TokenId, Decimal], balances: Mapping[TokenId, Decimal]
) -> Verdict:
    """Return whether the venue's trades and balances are what the Book holds (R3).

    Trips where the venue shows shares of which the Book has none, seen twice, three seconds apart. Where the Book holds
    more than the venue shows, as long, the tokens are orphaned: the Book flags their positions.
    """
    differences = list(holdings.broken)
    unknown: list[TokenId] = []
    short: list[TokenId] = []
    for token in sorted({*holdings.tokens, *traded, *balances}):
        book = holdings.tokens.get(token, TokenFold())
        by_trades, by_balance = traded.get(token, ZERO), balances.get(token, ZERO)
        if by_trades != book.held:
            differences.append(f"token {token}: Book {book.held}, trades {by_trades}")
        if not book.chain_min <= by_balance <= book.chain_max:
            differences.append(
                f"token {token}: Book {book.chain_min} to {book.chain_max}, balance {by_balance}"
            )
        if book.held == 0 and book.chain_max == 0 and max(by_trades, by_balance) > 0:
            unknown.append(token)
        if by_trades < book.held or by_balance < book.chain_min:
            short.append(token)
    before = holdings.before
    orphaned = tuple(short) if short and is_no_race(before.short_since, holdings.now) else ()
    return Verdict(
        verified=not differences,
        differences=tuple(differences),
        unknown=tuple(unknown),
        trips=bool(unknown) and is_no_race(before.blind_since, holdings.now),
        short=tuple(short),
        orphaned=orphaned if orphaned or before.flagged else None,
        venue={
            "trades": {token: str(shares) for token, shares in traded.items()},
            "balances": {token: str(shares) for token, shares in balances.items()},
        },
    )


def is_no_race(since: datetime | None, now: datetime) -> bool:
    """Return whether what was first seen then has been seen for longer than a race takes."""
    return since is not None and now - since >= BLIND_AFTER


def blind_reason(controls: Controls) -> TripReason:
    """Return which exits are blind: the stop's where one is on, for a loss unseen is the worse."""
    if controls.stop_loss is None and controls.trailing_stop is None and controls.take_profit is not None:
        return TripReason.TAKE_PROFIT_BLIND
    return TripReason.STOP_LOSS_BLIND


@dataclass(frozen=True, slots=True)
class LastAnswer:
    """What the venue showed when it last answered, for when it limits how often it is asked."""

    at: datetime | None
    traded: Mapping[TokenId, Decimal]
    balances: Mapping[TokenId, Decimal]
    held_since: datetime | None
    """Since when there has been anything to see."""
    now: datetime


class Fallback(StrEnum):
    """What to do while the venue answers 429 or 503 (R3)."""

    USE = "USE"
    """The last answer is young enough to be verified by, with a warning."""
    WAIT = "WAIT"
    """What is held is younger than an answer may be old: it is not verified, and nothing is tripped yet."""
    TRIP = "TRIP"


def fallback(last: LastAnswer) -> Fallback:
    """Return whether the last answer still counts; what nobody could see for half a minute stops trading."""
    if last.at is not None and last.now - last.at <= ANSWER_AGE_MAX:
        return Fallback.USE
    seen_until = max(filter(None, (last.at, last.held_since)), default=None)
    if seen_until is not None and last.now - seen_until <= ANSWER_AGE_MAX:
        return Fallback.WAIT
    return Fallback.TRIP


def verify_by_last(holdings: Holdings, last: LastAnswer) -> Verdict:
    """Return what the last answer says of what is held now: whether it is verified, and nothing else.

    The Book may have learnt since; a difference proves nothing then, so nothing is flagged and nothing tripped.
    """
    verdict = verify_by_venue(holdings, traded=last.traded, balances=last.balances)
    return replace(verdict, unknown=(), trips=False, short=(), orphaned=None)
