"""A position's states: one row, one state, one owner at a time (B12)."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class PositionState(StrEnum):
    """Where a position stands."""

    OPENING = "OPENING"
    MONITORING = "MONITORING"
    STOP_TRIGGERED = "STOP_TRIGGERED"
    TAKE_PROFIT_TRIGGERED = "TAKE_PROFIT_TRIGGERED"
    FLATTEN_TRIGGERED = "FLATTEN_TRIGGERED"
    EXIT_PENDING = "EXIT_PENDING"
    EXPIRED = "EXPIRED"
    SETTLEMENT = "SETTLEMENT"
    REDEEMING = "REDEEMING"
    CLOSED = "CLOSED"
    VOID = "VOID"
    """Its entry never matched, or the match failed on chain: it holds nothing and never did."""


class ExitReason(StrEnum):
    """Why a position is to be sold, strongest first; EXPIRY sells nothing, the window pays out (R4)."""

    EMERGENCY = "EMERGENCY"
    FLATTEN = "FLATTEN"
    STOP_LOSS = "STOP_LOSS"
    TRAILING_STOP = "TRAILING_STOP"
    TAKE_PROFIT = "TAKE_PROFIT"
    EXPIRY = "EXPIRY"


class PositionEvent(StrEnum):
    """What happens to a position."""

    MATCHED = "MATCHED"
    ENTRY_DEAD = "ENTRY_DEAD"
    """The entry ended, or was reversed, and nothing is held."""
    STOP = "STOP"
    TAKE_PROFIT = "TAKE_PROFIT"
    FLATTEN = "FLATTEN"
    EXIT_CLAIMED = "EXIT_CLAIMED"
    SOLD = "SOLD"
    WINDOW_OVER = "WINDOW_OVER"
    """The window closed, or only dust is left that the venue will not take."""
    RESOLVED = "RESOLVED"
    REDEEM_CLAIMED = "REDEEM_CLAIMED"
    REDEEM_FAILED = "REDEEM_FAILED"
    PAID = "PAID"
    """The payout is proved by the balance, or there is nothing to be paid."""
    SELL_FAILED = "SELL_FAILED"
    """A sell that had matched failed on chain: the shares are ours again."""


_S, _E = PositionState, PositionEvent
TRIGGERED = frozenset({_S.STOP_TRIGGERED, _S.TAKE_PROFIT_TRIGGERED, _S.FLATTEN_TRIGGERED})
INACTIVE = frozenset({_S.CLOSED, _S.VOID})

TRANSITIONS: Mapping[tuple[PositionState, PositionEvent], PositionState] = MappingProxyType(
    {
        (_S.OPENING, _E.MATCHED): _S.MONITORING,
        (_S.OPENING, _E.WINDOW_OVER): _S.EXPIRED,
        (_S.OPENING, _E.ENTRY_DEAD): _S.VOID,
        (_S.MONITORING, _E.STOP): _S.STOP_TRIGGERED,
        (_S.MONITORING, _E.TAKE_PROFIT): _S.TAKE_PROFIT_TRIGGERED,
        (_S.MONITORING, _E.FLATTEN): _S.FLATTEN_TRIGGERED,
        (_S.MONITORING, _E.WINDOW_OVER): _S.EXPIRED,
        (_S.MONITORING, _E.ENTRY_DEAD): _S.VOID,
        **{(state, _E.EXIT_CLAIMED): _S.EXIT_PENDING for state in TRIGGERED},
        **{(state, _E.WINDOW_OVER): _S.EXPIRED for state in TRIGGERED},
        **{(state, _E.ENTRY_DEAD): _S.VOID for state in TRIGGERED},
        (_S.EXIT_PENDING, _E.STOP): _S.STOP_TRIGGERED,  # killed or partly filled: sellable shares are left
        (_S.EXIT_PENDING, _E.TAKE_PROFIT): _S.TAKE_PROFIT_TRIGGERED,
        (_S.EXIT_PENDING, _E.FLATTEN): _S.FLATTEN_TRIGGERED,
        (_S.EXIT_PENDING, _E.WINDOW_OVER): _S.EXPIRED,
        (_S.EXIT_PENDING, _E.SOLD): _S.CLOSED,
        (_S.EXPIRED, _E.RESOLVED): _S.SETTLEMENT,
        (_S.EXPIRED, _E.ENTRY_DEAD): _S.VOID,
        (_S.EXPIRED, _E.SOLD): _S.CLOSED,  # the fill of the last exit was learnt after the window closed
        (_S.SETTLEMENT, _E.REDEEM_CLAIMED): _S.REDEEMING,
        (_S.SETTLEMENT, _E.PAID): _S.CLOSED,  # losers, and what the venue's own redeemer paid before us
        (_S.SETTLEMENT, _E.ENTRY_DEAD): _S.VOID,
        (_S.REDEEMING, _E.REDEEM_FAILED): _S.SETTLEMENT,
        (_S.REDEEMING, _E.PAID): _S.CLOSED,
        (_S.CLOSED, _E.SELL_FAILED): _S.MONITORING,
        (_S.CLOSED, _E.WINDOW_OVER): _S.EXPIRED,  # the failed sell was learnt after the close
        (_S.CLOSED, _E.ENTRY_DEAD): _S.VOID,  # the whole match failed after the payout was booked: reverse it
        (_S.EXIT_PENDING, _E.SELL_FAILED): _S.MONITORING,
        (_S.VOID, _E.MATCHED): _S.MONITORING,  # a late fill: a fact, whatever we had concluded (P9)
        (_S.VOID, _E.WINDOW_OVER): _S.EXPIRED,
    }
)

TRIGGER_OF: Mapping[ExitReason, PositionState] = MappingProxyType(
    {
        ExitReason.EMERGENCY: _S.FLATTEN_TRIGGERED,
        ExitReason.FLATTEN: _S.FLATTEN_TRIGGERED,
        ExitReason.STOP_LOSS: _S.STOP_TRIGGERED,
        ExitReason.TRAILING_STOP: _S.STOP_TRIGGERED,
        ExitReason.TAKE_PROFIT: _S.TAKE_PROFIT_TRIGGERED,
    }
)

OWNER: Mapping[PositionState, str] = MappingProxyType(
    {
        _S.OPENING: "execution",
        _S.MONITORING: "risk_monitor",
        _S.STOP_TRIGGERED: "execution",
        _S.TAKE_PROFIT_TRIGGERED: "execution",
        _S.FLATTEN_TRIGGERED: "execution",
        _S.EXIT_PENDING: "execution",
        _S.EXPIRED: "reconciler",
        _S.SETTLEMENT: "execution",
        _S.REDEEMING: "execution",
        _S.CLOSED: "reconciler",
        _S.VOID: "reconciler",
    }
)
"""Which service acts next on a position in each state."""


def next_state(state: PositionState, event: PositionEvent) -> PositionState | None:
    """Return the state after ``event``; None where the table has no such step."""
    return TRANSITIONS.get((state, event))
