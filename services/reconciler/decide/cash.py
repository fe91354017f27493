"""The venue's cash against the ledger's: the range it may stand in, fee residues, movements outside trading (E18)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType

from services.reconciler.decide.sides import BookSide, VenueSide
from shared.domain.money import ZERO
from shared.domain.orders import POSSIBLY_LIVE, OrderSide
from shared.domain.trades import FillState

FEE_RESIDUE_MAX = Decimal("0.00001")
"""USDC a fill by which the venue's rounding of the fee may differ from ours (E18)."""


@dataclass(frozen=True, slots=True)
class CashRange:
    """Between which balances the venue's cash may stand while trades settle and payouts come, USDC."""

    low: Decimal
    high: Decimal

    def gap(self, collateral: Decimal) -> Decimal:
        """Return how far a balance lies outside: above zero when the venue has more."""
        return max(collateral - self.high, ZERO) - max(self.low - collateral, ZERO)


def cash_range(book: BookSide) -> CashRange:
    """Return between which figures the venue's cash may stand, USDC.

    Reservations are still there to be seen; an unmined trade may have moved its cash or not; a payout may come before
    the Book has settled the window, or recorded the redemption.
    """
    held = book.cash_usdc + book.reserved_usdc
    unmined = [fill for fill in book.fills if fill.state in {FillState.MATCHED, FillState.RETRYING}]
    pending = [order for order in book.orders if not order.explained]
    buys = sum((fill.net_usdc for fill in unmined if fill.side is OrderSide.BUY), ZERO)
    sales = sum((fill.net_usdc for fill in unmined if fill.side is OrderSide.SELL), ZERO)
    buys += sum((order.reported_usdc for order in pending if order.side is OrderSide.BUY), ZERO)
    sales += sum((order.reported_usdc for order in pending if order.side is OrderSide.SELL), ZERO)
    return CashRange(low=held - sales, high=held + buys + book.receivable_usdc + book.expired_shares)


def residue_max(book: BookSide) -> Decimal:
    """Return the largest sum, USDC, that the venue's rounding of fees not booked yet may come to."""
    return FEE_RESIDUE_MAX * book.unbooked_fills


def is_exact(book: BookSide, venue: VenueSide) -> bool:
    """Return whether nothing is under way and the cash agrees to the micro-unit: no fill until now left a residue."""
    allowed = cash_range(book)
    return allowed.low == allowed.high == venue.collateral


def fee_residue(book: BookSide, venue: VenueSide) -> Decimal | None:
    """Return what the venue's rounding of fees left or took, USDC; None while anything else could explain it."""
    allowed = cash_range(book)
    at_rest = allowed.low == allowed.high and not any(order.state in POSSIBLY_LIVE for order in book.orders)
    gap = allowed.gap(venue.collateral)
    if not at_rest or gap == 0 or abs(gap) > residue_max(book):
        return None
    return gap


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that came (positive) or went outside trading, by the venue's own record, USDC."""

    kind: str
    amount: Decimal
    reference: str
    at: datetime


EXTERNAL_KINDS: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "DEPOSIT": ("DEPOSIT", 1),
        "WITHDRAWAL": ("WITHDRAWAL", -1),
        "MAKER_REBATE": ("REBATE", 1),
        "TAKER_REBATE": ("REBATE", 1),
        "REWARD": ("REWARD", 1),
        "REFERRAL_REWARD": ("REWARD", 1),
        "YIELD": ("YIELD", 1),
    }
)
"""The venue's words for money outside trading, ours, and which way it went (E18)."""


def explaining(gap: Decimal, movements: Sequence[Movement], *, tolerance: Decimal) -> tuple[Movement, ...]:
    """Return the movements that explain a gap of cash to within ``tolerance``: all of them together, or none.

    A person may have booked one by hand before; booking it twice would only turn the difference round.
    """
    total = sum((movement.amount for movement in movements), ZERO)
    return tuple(movements) if movements and abs(gap - total) <= tolerance else ()
