"""The states of turning resolved tokens into cash, once per account, mode and window (E21)."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class RedemptionState(StrEnum):
    """Where a redemption stands."""

    CLAIMED = "CLAIMED"
    SUBMITTED = "SUBMITTED"
    UNKNOWN = "UNKNOWN"
    """The act may have happened; it is idempotent at the venue, so the balance will tell."""
    PAID = "PAID"
    FAILED = "FAILED"


class RedemptionEvent(StrEnum):
    """What we learn of a redemption."""

    SUBMITTED = "SUBMITTED"
    LOST = "LOST"
    PAID = "PAID"
    """The balance shows the cash."""
    FAILED = "FAILED"


_S, _E = RedemptionState, RedemptionEvent
TRANSITIONS: Mapping[tuple[RedemptionState, RedemptionEvent], RedemptionState] = MappingProxyType(
    {
        (_S.CLAIMED, _E.SUBMITTED): _S.SUBMITTED,
        (_S.CLAIMED, _E.LOST): _S.UNKNOWN,
        (_S.CLAIMED, _E.PAID): _S.PAID,
        (_S.CLAIMED, _E.FAILED): _S.FAILED,
        (_S.SUBMITTED, _E.LOST): _S.UNKNOWN,
        (_S.SUBMITTED, _E.PAID): _S.PAID,
        (_S.SUBMITTED, _E.FAILED): _S.FAILED,
        (_S.UNKNOWN, _E.SUBMITTED): _S.SUBMITTED,
        (_S.UNKNOWN, _E.PAID): _S.PAID,
        (_S.UNKNOWN, _E.FAILED): _S.FAILED,
    }
)
