"""The circuit breaker: CLOSED trades, OPEN takes no entry; every service may trip it, only an operator resets it."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class BreakerState(StrEnum):
    """Per account and mode, in the Book."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"


class TripReason(StrEnum):
    """Why trading stopped (R1)."""

    STOP_LOSS_BLIND = "STOP_LOSS_BLIND"
    TAKE_PROFIT_BLIND = "TAKE_PROFIT_BLIND"
    POSITION_TRACKING_FAILED = "POSITION_TRACKING_FAILED"
    VERIFICATION_RATE_LIMITED = "VERIFICATION_RATE_LIMITED"
    DATA_CAPTURE_UNRECOVERABLE = "DATA_CAPTURE_UNRECOVERABLE"
    SERIALIZATION_CONFLICT = "SERIALIZATION_CONFLICT"
    MANUAL_TRIP = "MANUAL_TRIP"
    ORDER_UNKNOWN = "ORDER_UNKNOWN"
    RECONCILIATION_MISMATCH = "RECONCILIATION_MISMATCH"
    ASSERTION_FAILED = "ASSERTION_FAILED"
    DRAWDOWN = "DRAWDOWN"
    CAPITAL_INVARIANT = "CAPITAL_INVARIANT"
    LIMIT_EXCEEDED_BY_FACT = "LIMIT_EXCEEDED_BY_FACT"
    LATE_FILL = "LATE_FILL"
    ORPHANED_MODE = "ORPHANED_MODE"
    HEALTH_SILENT = "HEALTH_SILENT"
    VENUE_REFUSES = "VENUE_REFUSES"


BLINDING = frozenset(
    {
        TripReason.STOP_LOSS_BLIND,
        TripReason.TAKE_PROFIT_BLIND,
        TripReason.VERIFICATION_RATE_LIMITED,
        TripReason.POSITION_TRACKING_FAILED,
    }
)
"""While open for one of these even exits wait, for we do not know what we hold; FLATTEN and EMERGENCY go out (D20)."""

TRANSITIONS: Mapping[tuple[BreakerState, str], BreakerState] = MappingProxyType(
    {
        (BreakerState.CLOSED, "TRIP"): BreakerState.OPEN,
        (BreakerState.OPEN, "RESET"): BreakerState.CLOSED,
    }
)


class KillSwitch(StrEnum):
    """What a person has stopped (R6); a row, effective in the next claim."""

    OFF = "OFF"
    PAUSE = "PAUSE"
    FLATTEN = "FLATTEN"
    EMERGENCY = "EMERGENCY"
