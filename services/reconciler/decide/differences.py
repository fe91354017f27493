"""What is different after the repairs, and how long it may stay so before trading stops (D19)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from services.reconciler.decide.cash import cash_range, residue_max
from services.reconciler.decide.sides import BookSide, VenueSide, token_range
from shared.domain.trades import FillState

EXPLAINED_WITHIN = timedelta(seconds=10)
"""Trades explain what the answer to a POST claimed, or the difference is a discrepancy (E8)."""
SETTLEMENT_ALERT = timedelta(seconds=60)
SETTLEMENT_LATE = timedelta(minutes=10)
"""Not on chain after a minute is told, after ten minutes a discrepancy, never an Unknown (E9)."""
SEEN_WITHIN = timedelta(seconds=5)
"""A trade this young may be missing from the venue's list."""


class Kind(StrEnum):
    """What may differ between Book and venue."""

    ORDER_UNWRITTEN = "ORDER_UNWRITTEN"
    """The venue has an order of ours that we never wrote."""
    TRADE_UNWRITTEN = "TRADE_UNWRITTEN"
    TOKENS_MORE = "TOKENS_MORE"
    """The venue holds more than the Book explains."""
    TOKENS_LESS = "TOKENS_LESS"
    CASH_MORE = "CASH_MORE"
    CASH_LESS = "CASH_LESS"
    TRADE_UNSEEN = "TRADE_UNSEEN"
    """We recorded a trade that the venue does not list."""
    ANSWER_UNEXPLAINED = "ANSWER_UNEXPLAINED"
    SETTLEMENT_LATE = "SETTLEMENT_LATE"
    DIRECTION = "DIRECTION"
    """Our own prices say the window went the other way."""
    SETTLED_PNL = "SETTLED_PNL"
    """A settled position's profit is not what its trades and its payout moved."""


_AT_ONCE, _NO_RACE, _UNEXPLAINED = timedelta(0), timedelta(seconds=3), timedelta(minutes=2)
PATIENCE: Mapping[Kind, timedelta | None] = MappingProxyType(
    {
        Kind.ORDER_UNWRITTEN: _AT_ONCE,
        Kind.TRADE_UNWRITTEN: _AT_ONCE,
        Kind.TOKENS_MORE: _NO_RACE,
        Kind.CASH_MORE: _NO_RACE,
        Kind.TOKENS_LESS: _UNEXPLAINED,
        Kind.CASH_LESS: _UNEXPLAINED,
        Kind.TRADE_UNSEEN: _UNEXPLAINED,
        Kind.ANSWER_UNEXPLAINED: _UNEXPLAINED,
        Kind.SETTLEMENT_LATE: None,
        Kind.DIRECTION: None,
        Kind.SETTLED_PNL: _AT_ONCE,
    }
)
"""How long a difference may stand before trading stops (D19); None: it is told, and a person looks."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing on which Book and venue disagree."""

    kind: Kind
    subject: str
    book: Mapping[str, Any] = field(default_factory=dict)
    venue: Mapping[str, Any] = field(default_factory=dict)


def trips(kind: Kind, *, age: timedelta, at_start: bool) -> bool:
    """Return whether a difference that has lasted so long stops trading; at the start nothing is waited for (X1)."""
    patience = PATIENCE[kind]
    return patience is not None and (at_start or age >= patience)


def differences(book: BookSide, venue: VenueSide) -> tuple[Difference, ...]:
    """Return what is different, after the repairs; ``book`` was read after the venue was asked."""
    return (
        *_unwritten(book, venue),
        *_unexplained(book, venue),
        *_tokens(book, venue),
        *_cash(book, venue),
    )


def _unwritten(book: BookSide, venue: VenueSide) -> Iterable[Difference]:
    """Yield what the venue has and we never intended. Every claim is committed before its send, so none is a race."""
    known = {order.order_id for order in book.orders}
    for resting in venue.resting:
        if resting.order_id not in known:
            yield Difference(Kind.ORDER_UNWRITTEN, resting.order_id, venue={"status": resting.status})
    for trade in venue.trades:
        if trade.order_id not in known:
            shown = {"trade_id": trade.trade_id, "side": trade.side, "shares": str(trade.shares)}
            yield Difference(Kind.TRADE_UNWRITTEN, trade.order_id, venue={**shown, "price": str(trade.price)})


def _unexplained(book: BookSide, venue: VenueSide) -> Iterable[Difference]:
    """Yield what we recorded and the venue does not show, or not in time."""
    listed = {(trade.order_id, trade.trade_id) for trade in venue.trades}
    for fill in book.fills:
        if fill.state is FillState.FAILED:
            continue
        age = venue.asked_at - fill.matched_at
        missing = (fill.order_id, fill.trade_id) not in listed
        if missing and fill.window_id in venue.windows and age > SEEN_WITHIN:
            yield Difference(
                Kind.TRADE_UNSEEN, f"{fill.order_id}/{fill.trade_id}", book={"shares": str(fill.shares)}
            )
        if fill.state in {FillState.MATCHED, FillState.RETRYING} and age > SETTLEMENT_LATE:
            subject = f"{fill.order_id}/{fill.trade_id}"
            yield Difference(Kind.SETTLEMENT_LATE, subject, book={"state": fill.state})
    for order in book.orders:
        if (
            order.reported_shares > 0
            and not order.explained
            and book.now - order.claimed_at > EXPLAINED_WITHIN
        ):
            said = {"reported_shares": str(order.reported_shares), "traded_shares": str(order.traded_shares)}
            yield Difference(Kind.ANSWER_UNEXPLAINED, order.order_id, book=said)


def _tokens(book: BookSide, venue: VenueSide) -> Iterable[Difference]:
    """Yield tokens of unresolved windows whose balance lies outside what the fills allow while they settle."""
    resolved = {fill.token_id for fill in book.fills if fill.resolved}
    for token, balance in sorted(venue.tokens.items()):
        allowed = token_range(book, token)
        if token in resolved or allowed.low <= balance <= allowed.high:
            continue
        kind = Kind.TOKENS_MORE if balance > allowed.high else Kind.TOKENS_LESS
        said = {"from": str(allowed.low), "to": str(allowed.high)}
        yield Difference(kind, token, said, {"balance": str(balance)})


def _cash(book: BookSide, venue: VenueSide) -> Iterable[Difference]:
    allowed = cash_range(book)
    gap = allowed.gap(venue.collateral)
    if abs(gap) > residue_max(book):
        kind = Kind.CASH_MORE if gap > 0 else Kind.CASH_LESS
        said = {"from": str(allowed.low), "to": str(allowed.high)}
        yield Difference(kind, "USDC", said, {"balance": str(venue.collateral)})


def unsettled_long(book: BookSide) -> tuple[str, ...]:
    """Return the orders whose trades wait for the chain longer than a minute: told, never an Unknown by time (E9)."""
    return tuple(
        sorted(
            {
                fill.order_id
                for fill in book.fills
                if fill.state in {FillState.MATCHED, FillState.RETRYING}
                and book.now - fill.matched_at > SETTLEMENT_ALERT
            }
        )
    )
