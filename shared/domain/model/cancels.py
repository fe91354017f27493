"""Cancels: asked for by many, written by the executor before they are sent, ended by what the venue shows (E16)."""

from collections.abc import Mapping
from dataclasses import replace

from shared.domain.breaker import TripReason
from shared.domain.cancels import CancelAnswer
from shared.domain.model.book import ModelBook, Refused
from shared.domain.model.steps import move_order, trip
from shared.domain.orders import POSSIBLY_LIVE, OrderEvent, OrderState

_MOVES: Mapping[CancelAnswer, OrderEvent] = {
    CancelAnswer.REFUSED: OrderEvent.RESTS,
    CancelAnswer.NOT_SENT: OrderEvent.RESTS,
    CancelAnswer.LOST: OrderEvent.LOST,
}
"""That the venue cancelled, or had nothing to cancel, does not say how much had filled: it moves nothing."""


def request_cancel(book: ModelBook, order_id: str, *, by: str) -> tuple[ModelBook, bool]:
    """Return the Book with a wish in it, and whether it is new; what is over is not asked for.

    Raises:
        Refused: OB104 without a name.
    """
    if not by:
        raise Refused("OB104")
    if order_id in book.unwanted or book.orders[order_id].state not in POSSIBLY_LIVE:
        return book, False
    return replace(book, unwanted=book.unwanted | {order_id}), True


def record_cancel(book: ModelBook, order_id: str, answer: CancelAnswer, *, trips: bool = False) -> ModelBook:
    """Return the Book with the answer to a cancel in it."""
    event = _MOVES.get(answer)
    if event is not None and book.orders[order_id].state is OrderState.CANCELLING:
        book = move_order(book, order_id, event) or book
    return trip(book, TripReason.VENUE_REFUSES) if trips else book
