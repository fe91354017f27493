"""The ten points, judged. PURE."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from shared.domain.money import down


@dataclass(frozen=True, slots=True)
class CanaryWindow:
    """What Book and venue have of one window the canary signalled in; None is what is not there."""

    window_id: str
    account_id: str
    mode: str
    instrument: str
    side: str
    confidence: Decimal
    signalled_at: datetime
    signal_state: str
    refusal: str | None
    order_id: str | None
    order_state: str | None
    sent_at: datetime | None
    fills: int
    unconfirmed_fills: int
    filled_shares: Decimal
    filled_usdc: Decimal
    position_state: str | None
    position_side: str | None
    bought_shares: Decimal
    verifications: int
    """Looks of the verifier while it was held; each failed one counts against it."""
    failed_verifications: int
    oracle_at_close: Decimal | None
    our_direction: str | None
    venue_direction: str | None
    payout: Decimal | None
    paid_usdc: Decimal | None
    booked_pnl_usdc: Decimal | None
    check_agrees: bool | None
    balance_delta_usdc: Decimal | None


@dataclass(frozen=True, slots=True)
class Point:
    """One of the ten."""

    number: int
    what: str
    held: bool
    seen: str


Row = tuple[str, bool, str]


def points(window: CanaryWindow) -> Sequence[Point]:
    """Return the ten points of a window, in the order of the trade; a point that cannot be seen did not hold (P3)."""
    rows = (*_traded(window), *_ended(window))
    return [Point(number, *row) for number, row in enumerate(rows, start=1)]


def _traded(window: CanaryWindow) -> Sequence[Row]:
    """Return points 1 to 5: from the signal to the position that was watched."""
    fate = window.refusal or window.signal_state
    said = f"{window.signalled_at:%H:%M:%S.%f} {window.instrument} {window.side} {window.confidence} {fate}"
    filled = window.order_state == "FILLED" and window.fills > 0 and window.unconfirmed_fills == 0
    opened = window.bought_shares == window.filled_shares > 0 and window.position_side == window.side
    watched = window.verifications > 0 and window.failed_verifications == 0
    return (
        ("signal kept with time, instrument, side and confidence", window.signal_state == "ORDERED", said),
        (
            "order sent, its id kept",
            window.order_id is not None and window.sent_at is not None,
            f"{window.order_id} at {window.sent_at}",
        ),
        (
            "fill confirmed, its price kept",
            filled,
            f"{window.fills} fills, {window.filled_shares} shares for {window.filled_usdc} USDC",
        ),
        ("position opened with what was filled", opened, f"{window.bought_shares} {window.position_side}"),
        (
            "position watched while it was held",
            watched,
            f"{window.verifications} looks, {window.failed_verifications} failed",
        ),
    )


def _ended(window: CanaryWindow) -> Sequence[Row]:
    """Return points 6 to 10: from the close to the balance."""
    owed = None
    if window.payout is not None:
        owed = down(window.bought_shares * window.payout)
    ours, venues, booked = window.our_direction, window.venue_direction, window.booked_pnl_usdc
    balance = window.balance_delta_usdc
    return (
        (
            "direction taken from the oracle at the close",
            window.oracle_at_close is not None and ours is not None,
            f"{window.oracle_at_close} → {ours}",
        ),
        (
            "position resolved with its result",
            window.position_state == "CLOSED" and window.payout is not None,
            f"{window.position_state}, payout {window.payout}, P&L {booked}",
        ),
        (
            "payout booked as it is owed",
            owed is not None and window.paid_usdc == owed,
            f"{window.paid_usdc} of {owed}",
        ),
        (
            # Boundaries seconds apart can leave ours open: that is no contradiction (D9).
            "our direction is the venue's",
            venues is not None and ours in {venues, "UNDECIDED"},
            f"ours {ours}, venue {venues}",
        ),
        (
            "P&L is the change of the balance",
            bool(window.check_agrees) and balance is not None and balance == booked,
            f"Book {booked}, balance {balance}",
        ),
    )
