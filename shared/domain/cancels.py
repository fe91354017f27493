"""Resting orders: when one must go, what the answer to its cancel means, and when its end is proved (E16, E20)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain.breaker import KillSwitch
from shared.domain.ids import AccountId, ConditionId, OrderId
from shared.domain.modes import Mode
from shared.domain.orders import OrderEvent, OrderState, OrderType, next_state
from shared.domain.windows import FeeSchedule

AGAIN_AFTER = timedelta(seconds=1)
"""Between two cancels of one order: the venue that refused one is not asked in a circle."""
TOLD_WITHIN = timedelta(seconds=10)
"""A cancel whose end nobody can read for so long is Unknown."""
BEFORE_CLOSE = timedelta(seconds=3)
"""Nothing of ours rests into a window's end: it could match when nothing is left to decide."""


class CancelAnswer(StrEnum):
    """What the answer to a cancel says; none of them says how much had filled before."""

    CANCELLED = "CANCELLED"
    NOT_CANCELLED = "NOT_CANCELLED"
    """The venue has nothing of that name to cancel: matched, cancelled or expired before."""
    REFUSED = "REFUSED"
    NOT_SENT = "NOT_SENT"
    LOST = "LOST"


class CancelReason(StrEnum):
    """Why an order that rests must go, in the order they are looked at."""

    REQUESTED = "REQUESTED"
    EMERGENCY = "EMERGENCY"
    NOT_MEANT_TO_REST = "NOT_MEANT_TO_REST"
    """A FAK or FOK order that the venue lets rest all the same."""
    WINDOW_ENDS = "WINDOW_ENDS"


@dataclass(frozen=True, slots=True)
class Resting:
    """One order that rests or is being cancelled; times are the Book's."""

    order_id: OrderId
    account_id: AccountId
    mode: Mode
    condition_id: ConditionId
    fee: FeeSchedule
    state: OrderState
    order_type: OrderType
    requested: bool
    kill_switch: KillSwitch
    closes_at: datetime
    changed_at: datetime
    """When it came into its state."""
    last_cancel_at: datetime | None
    last_answer: CancelAnswer | None
    now: datetime


def why_cancel(order: Resting) -> CancelReason | None:
    """Return why a resting order must be cancelled now; None when it may stay, or was tried a moment ago."""
    if order.state is not OrderState.LIVE:
        return None
    if order.last_cancel_at is not None and order.now < order.last_cancel_at + AGAIN_AFTER:
        return None
    rules = (
        (order.requested, CancelReason.REQUESTED),
        (order.kill_switch is KillSwitch.EMERGENCY, CancelReason.EMERGENCY),
        (order.order_type in {OrderType.FAK, OrderType.FOK}, CancelReason.NOT_MEANT_TO_REST),
        (order.now >= order.closes_at - BEFORE_CLOSE, CancelReason.WINDOW_ENDS),
    )
    return next((reason for holds, reason in rules if holds), None)


def end_of(order: Resting, event: OrderEvent, *, all_traded: bool) -> OrderEvent | None:
    """Return the event the order's own reading proves; None while it proves nothing new.

    Its trades come first: an order that ends with a match we have not booked would give its capital back. A reading
    that still shows an order resting which the venue has just said it cancelled is an old one.
    """
    if event is OrderEvent.REFUSED or not all_traded:
        return None
    if event is OrderEvent.RESTS and order.last_answer is CancelAnswer.CANCELLED:
        return None
    return event if next_state(order.state, event) is not None else None


def is_untold(order: Resting) -> bool:
    """Return whether a cancel's end has been unreadable for too long: then it is Unknown."""
    return order.state is OrderState.CANCELLING and order.now >= order.changed_at + TOLD_WITHIN
