"""An order's states. ``filled`` is a quantity, not a state: FILLED means the venue is done with a match."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class OrderSide(StrEnum):
    """Buy or sell outcome tokens."""

    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    """How long an order lives at the venue; entries and exits are FAK with a bounding price (E20)."""

    FAK = "FAK"
    FOK = "FOK"
    GTC = "GTC"
    GTD = "GTD"


class Purpose(StrEnum):
    """Why the order exists."""

    ENTRY = "ENTRY"
    EXIT = "EXIT"


class OrderState(StrEnum):
    """Where an order stands, as far as we can prove."""

    SUBMITTING = "SUBMITTING"
    LIVE = "LIVE"
    DELAYED = "DELAYED"
    CANCELLING = "CANCELLING"
    UNKNOWN = "UNKNOWN"
    FILLED = "FILLED"
    KILLED = "KILLED"
    REJECTED = "REJECTED"
    NOT_SENT = "NOT_SENT"
    EXPIRED = "EXPIRED"
    NEVER_PLACED = "NEVER_PLACED"


POSSIBLY_LIVE = frozenset(
    {
        OrderState.SUBMITTING,
        OrderState.LIVE,
        OrderState.DELAYED,
        OrderState.CANCELLING,
        OrderState.UNKNOWN,
    }
)
"""States in which the venue may still match: they count as exposure and keep their capital."""
TERMINAL = frozenset(OrderState) - POSSIBLY_LIVE
NO_TRADE_EXPECTED = TERMINAL - {OrderState.FILLED}
"""A trade on one of these keeps the state, moves ``filled`` and trips LATE_FILL (E23)."""


class OrderEvent(StrEnum):
    """What we learn of an order."""

    RESTS = "RESTS"
    DELAYED = "DELAYED"
    MATCHED = "MATCHED"
    KILLED = "KILLED"
    REFUSED = "REFUSED"
    NOT_SENT = "NOT_SENT"
    LOST = "LOST"
    """The answer was lost or unreadable: Unknown."""
    CANCEL_SENT = "CANCEL_SENT"
    EXPIRED = "EXPIRED"
    PROVED_ABSENT = "PROVED_ABSENT"


_S, _E = OrderState, OrderEvent
TRANSITIONS: Mapping[tuple[OrderState, OrderEvent], OrderState] = MappingProxyType(
    {
        (_S.SUBMITTING, _E.RESTS): _S.LIVE,
        (_S.SUBMITTING, _E.DELAYED): _S.DELAYED,
        (_S.SUBMITTING, _E.MATCHED): _S.FILLED,
        (_S.SUBMITTING, _E.KILLED): _S.KILLED,
        (_S.SUBMITTING, _E.REFUSED): _S.REJECTED,
        (_S.SUBMITTING, _E.NOT_SENT): _S.NOT_SENT,
        (_S.SUBMITTING, _E.LOST): _S.UNKNOWN,
        (_S.DELAYED, _E.RESTS): _S.LIVE,
        (_S.DELAYED, _E.MATCHED): _S.FILLED,
        (_S.DELAYED, _E.KILLED): _S.KILLED,
        (_S.DELAYED, _E.REFUSED): _S.REJECTED,
        (_S.DELAYED, _E.LOST): _S.UNKNOWN,
        (_S.LIVE, _E.MATCHED): _S.FILLED,
        (_S.LIVE, _E.CANCEL_SENT): _S.CANCELLING,
        (_S.LIVE, _E.KILLED): _S.KILLED,
        (_S.LIVE, _E.EXPIRED): _S.EXPIRED,
        (_S.CANCELLING, _E.MATCHED): _S.FILLED,
        (_S.CANCELLING, _E.KILLED): _S.KILLED,
        (_S.CANCELLING, _E.RESTS): _S.LIVE,  # the venue says the cancel did not take: it still rests
        (_S.CANCELLING, _E.LOST): _S.UNKNOWN,
        (_S.UNKNOWN, _E.RESTS): _S.LIVE,
        (_S.UNKNOWN, _E.DELAYED): _S.DELAYED,
        (_S.UNKNOWN, _E.MATCHED): _S.FILLED,
        (_S.UNKNOWN, _E.KILLED): _S.KILLED,
        (_S.UNKNOWN, _E.REFUSED): _S.REJECTED,
        (_S.UNKNOWN, _E.NOT_SENT): _S.NOT_SENT,
        (_S.UNKNOWN, _E.CANCEL_SENT): _S.CANCELLING,
        (_S.UNKNOWN, _E.EXPIRED): _S.EXPIRED,
        (_S.UNKNOWN, _E.PROVED_ABSENT): _S.NEVER_PLACED,
    }
)


def next_state(state: OrderState, event: OrderEvent) -> OrderState | None:
    """Return the state after ``event``; None where the event changes nothing (a repeat or a latecomer)."""
    return TRANSITIONS.get((state, event))
