"""The venue's taker fee: shares x rate x (p(1-p))^exponent USDC a fill, makers pay nothing (E18).

Source: the venue's fee page and captured markets of 2026 (rate 0.07, exponent 1 for crypto since summer 2026). The
schedule is each market's own; one this page does not know is refused, never guessed.
"""

from decimal import ROUND_HALF_EVEN, ROUND_UP, Decimal

from shared.domain.money import ONE, ZERO, up
from shared.domain.windows import FeeSchedule

FEE_STEP = Decimal("0.00001")
"""Fees have five decimals; one that rounds below a step is nothing."""
EXPONENTS = frozenset({1, 2})
"""The exponents the venue has ever published."""


def is_supported(schedule: FeeSchedule) -> bool:
    """Return whether we know this kind of fee: anything else is a market we do not trade."""
    return schedule.exponent in EXPONENTS and ZERO <= schedule.rate < ONE and schedule.taker_only


def taker_fee(
    shares: Decimal, price: Decimal, schedule: FeeSchedule, *, rounding: str = ROUND_HALF_EVEN
) -> Decimal:
    """Return the fee of one fill in USDC: on top of a BUY, out of the proceeds of a SELL.

    The venue does not say which way the fifth decimal is rounded, so the direction is an argument and the fee stays
    provisional until the cash balance confirms it.
    """
    exact = shares * schedule.rate * (price * (ONE - price)) ** schedule.exponent
    return exact.quantize(FEE_STEP, rounding=rounding)


def largest_fee(amount_usdc: Decimal, schedule: FeeSchedule, *, fills: int = 1) -> Decimal:
    """Return what a BUY of ``amount_usdc`` must reserve for its fee, whatever price it fills at.

    A fill at p buys amount/p shares, so its fee is amount x rate x p^(e-1) x (1-p)^e. For e = 1 that is amount x rate x
    (1-p), which grows as the price falls: a better price means a bigger fee, and the bound is amount x rate, approached
    at p -> 0. For e > 1, p^(e-1)(1-p)^e is at most (1-p)^e... <= 1 all the same; its exact maximum lies at
    p = (e-1)/(2e-1). Rounding may add one step a fill.
    """
    raise NotImplementedError
