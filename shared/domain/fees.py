"""The venue's taker fee: shares x rate x (p(1-p))^exponent USDC a fill; makers pay nothing (E18).

Source: the venue's fee page and captured markets of 2026 (rate 0.07, exponent 1 for crypto since summer 2026). The
schedule is each market's own; a kind of fee this page does not know is refused, never guessed.
"""

from decimal import ROUND_HALF_EVEN, Decimal

from shared.domain.money import ONE, ZERO, up
from shared.domain.windows import FeeSchedule

FEE_STEP = Decimal("0.00001")
"""Fees have five decimals; an exact fee below one step is nothing."""
EXPONENTS = frozenset({1, 2})
"""The exponents the venue has ever published."""


def is_supported(schedule: FeeSchedule) -> bool:
    """Return whether we know this kind of fee: any other is a market we do not trade."""
    return schedule.exponent in EXPONENTS and ZERO <= schedule.rate < ONE and schedule.taker_only


def fee_per_share(price: Decimal, schedule: FeeSchedule) -> Decimal:
    """Return the exact fee of one share at this price, USDC, before any rounding."""
    return schedule.rate * (price * (ONE - price)) ** schedule.exponent


def taker_fee(
    shares: Decimal, price: Decimal, schedule: FeeSchedule, *, rounding: str = ROUND_HALF_EVEN
) -> Decimal:
    """Return the fee of one fill in USDC: on top of a BUY, out of the proceeds of a SELL.

    The venue does not say which way the fifth decimal goes, so the direction is an argument, and the fee stays
    provisional until the cash balance confirms it.
    """
    exact = shares * fee_per_share(price, schedule)
    if exact < FEE_STEP:
        return ZERO
    return exact.quantize(FEE_STEP, rounding=rounding)


def largest_fee(amount_usdc: Decimal, schedule: FeeSchedule) -> Decimal:
    """Return what a BUY of ``amount_usdc`` reserves for its fee, at whatever price it fills: amount x rate (E18).

    A fill at p buys amount/p shares, so it pays amount x rate x p^(e-1) x (1-p)^e. With e = 1 that is
    amount x rate x (1-p): a better price means a bigger fee, so the limit price bounds nothing, and only p -> 0 does.
    With any e > 1 both powers are at most 1, so the same bound holds, generously. Each fill's rounding is at most one
    step, which the bound covers: it leaves amount x rate x p free, seventy steps on a dollar at one cent.
    """
    return up(amount_usdc * schedule.rate, FEE_STEP)
