"""PURE: how far a slow feed is behind a fast one, by cross-correlation over lags (C15).

Only the slow feed's own reports are looked at: its change from one to the next is compared with the fast feed's change
over the same span, shifted back by each lag. So a price that is reported once a second is not filled up with copies of
itself, which would push the lag by half a second and count one observation many times.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LAG_MAX_MS = 5_000
LAG_STEP_MS = 50
SAMPLES_MIN = 60
PARTS = 5
"""The span is cut in so many parts; how their own lags scatter is the stability."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lag:
    """What the lags say of two feeds."""

    tau_ms: int
    """The lag with the highest correlation."""
    correlation: float
    p_value: float
    """Of seeing such a correlation at any of the lags between feeds that know nothing of one another."""
    samples: int
    tau_variance_s2: float
    """Variance of the parts' lags, s²; small means stable."""
    profile: Mapping[int, float]


def measure_lag(
    fast_at_s: Sequence[float],
    fast_prices: Sequence[float],
    slow_at_s: Sequence[float],
    slow_prices: Sequence[float],
) -> Lag | None:
    """Return the lag of the slow feed, both series in time order; None where there is too little to say."""
    fast_at, fast = np.asarray(fast_at_s, dtype=float), np.log(np.asarray(fast_prices, dtype=float))
    slow_at, slow = np.asarray(slow_at_s, dtype=float), np.log(np.asarray(slow_prices, dtype=float))
    if len(fast_at) < SAMPLES_MIN or len(slow_at) <= SAMPLES_MIN:
        return None
    # A report whose span the fast feed did not cover says nothing.
    covered = slow_at - LAG_MAX_MS / 1000 >= fast_at[0]
    slow_at, slow = slow_at[covered], slow[covered]
    if len(slow_at) <= SAMPLES_MIN:
        return None
    lags_ms = np.arange(0, LAG_MAX_MS + LAG_STEP_MS, LAG_STEP_MS)
    changes = np.diff(slow)
    shifted = np.stack([np.diff(_value_at(fast_at, fast, slow_at - lag / 1000)) for lag in lags_ms])
    profile = _correlations(shifted, changes)
    best = int(np.argmax(profile))
    samples = len(changes)
    parts = [
        lags_ms[int(np.argmax(_correlations(part, wanted)))]
        for part, wanted in zip(
            np.array_split(shifted, PARTS, axis=1), np.array_split(changes, PARTS), strict=True
        )
    ]
    return Lag(
        tau_ms=int(lags_ms[best]),
        correlation=float(profile[best]),
        p_value=_p_value(float(profile[best]), samples, lags=len(lags_ms)),
        samples=samples,
        tau_variance_s2=float(np.var(np.asarray(parts) / 1000)),
        profile={int(lag): float(value) for lag, value in zip(lags_ms, profile, strict=True)},
    )


def _value_at(at: Floats, values: Floats, when: Floats) -> Floats:
    """Return the newest value at each moment: what was known then."""
    found: Floats = values[np.maximum(np.searchsorted(at, when, side="right") - 1, 0)]
    return found


def _correlations(rows: Floats, wanted: Floats) -> Floats:
    """Return Pearson's correlation of each row with ``wanted``; 0 where one of them does not move."""
    left = rows - rows.mean(axis=1, keepdims=True)
    right = wanted - wanted.mean()
    scale = np.sqrt((left**2).sum(axis=1) * (right**2).sum())
    found: Floats = np.divide(left @ right, scale, out=np.zeros(len(rows)), where=scale > 0)
    return found


def _p_value(correlation: float, samples: int, *, lags: int) -> float:
    """Return Fisher's two-sided p, times the number of lags tried (Bonferroni): the best of many proves less."""
    z = math.atanh(min(abs(correlation), 1 - 1e-12)) * math.sqrt(samples - 3)
    return min(math.erfc(z / math.sqrt(2)) * lags, 1.0)
