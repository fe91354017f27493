"""The probability that a window ends Up, from the oracle's price, its average so far, its volatility and the time left.

The price is taken for a Brownian motion without drift: over minutes a drift is nothing beside the noise. The average
of a window's last L seconds is then normal, too, because an integral of Brownian motion is.
With T seconds left and sigma in USD per root second:

T >= L  the averaging has not begun: mean = spot, variance = sigma^2 (T - L) + sigma^2 L/3, the wait and then the
        arithmetic average over L, whose variance is a third of the end point's (Kemna and Vorst, 1990).
T <  L  the part [0, L-T] is already averaged at A: mean = ((L-T) A + T spot) / L, variance = (T/L)^2 sigma^2 T/3.
L == 0  an instantaneous price: mean = spot, variance = sigma^2 T.
"""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from math import erfc

from shared.domain.money import ONE, ZERO
from shared.domain.settlement import Reading

PROBABILITY_STEP = Decimal("0.000001")
SQRT_TWO = Decimal(2).sqrt()


def chance_up(
    *,
    strike: Decimal,
    spot: Decimal,
    volatility: Decimal,
    seconds_left: Decimal,
    lookback_s: Decimal,
    averaged: Decimal | None,
) -> Decimal | None:
    """Return the probability that the deciding price is at least the strike, six decimals; a tie is Up.

    ``volatility`` is USD per root second; ``averaged`` the mean of the oracle over the part of the look-back that has
    passed, needed only then. None where it is needed and missing.
    """
    left = max(seconds_left, ZERO)
    if left >= lookback_s:
        mean, variance = spot, left - lookback_s + lookback_s / 3
    elif averaged is None:
        return None
    else:
        weight = left / lookback_s
        mean, variance = (ONE - weight) * averaged + weight * spot, weight * weight * left / 3
    deviation = volatility * variance.sqrt()
    if deviation <= 0:
        return ONE if mean >= strike else ZERO
    tail = erfc((strike - mean) / deviation / SQRT_TWO)
    return (Decimal(str(tail)) / 2).quantize(PROBABILITY_STEP)


def volatility_of(readings: Sequence[Reading], *, least: int = 20) -> Decimal | None:
    """Return the oracle's volatility, USD per root second, from its recent changes; None from too few of them.

    Squared changes over elapsed seconds, so that readings need not be evenly spaced.
    """
    squares, seconds, changes = ZERO, ZERO, 0
    for earlier, later in pairwise(readings):
        span = Decimal((later.at - earlier.at) // timedelta(microseconds=1)) / 1_000_000
        if span > 0:
            squares += (later.price - earlier.price) ** 2
            seconds += span
            changes += 1
    return (squares / seconds).sqrt() if changes >= least else None


def mean_of(readings: Sequence[Reading]) -> Decimal | None:
    """Return the plain mean of the readings, None of none: the oracle speaks once a second."""
    return sum((reading.price for reading in readings), ZERO) / len(readings) if readings else None
