"""The venue's token buckets for orders and cancels, per signer. PURE.

Documented since July 2026 and announced, not enforced: answers carry the headers, and say what would have been
refused. ``enforced`` refuses it.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

Kind = Literal["orders", "cancels"]
TIER: Final = "standard"
RATE_PER_S: Final[dict[Kind, int]] = {"orders": 40, "cancels": 80}
BURST: Final[dict[Kind, int]] = {"orders": 60, "cancels": 120}


def limit_headers(remaining: int, reset_s: int, *, warning: str = "") -> dict[str, str]:
    """Return the headers order and cancel answers carry; ``reset_s`` is the Unix second the bucket is full again."""
    headers = {
        "Poly-RateLimit-Remaining": str(remaining),
        "Poly-RateLimit-Reset": str(reset_s),
        "Poly-RateLimit-Tier": TIER,
    }
    return headers | ({"Poly-RateLimit-Warning": warning} if warning else {})


@dataclass(frozen=True, slots=True)
class Spent:
    """What taking from a bucket came to."""

    refused: bool
    headers: dict[str, str]


@dataclass(slots=True)
class _Bucket:
    left: float
    at_ms: int


@dataclass(slots=True)
class RateLimits:
    """The standard tier's buckets of every signer."""

    enforced: bool = False
    _buckets: dict[tuple[str, Kind], _Bucket] = field(default_factory=dict)

    def spend(self, signer: str, kind: Kind, cost: int, now_ms: int) -> Spent:
        """Take ``cost`` at once or not at all; a batch costs as many as it holds."""
        rate, burst = RATE_PER_S[kind], BURST[kind]
        bucket = self._buckets.setdefault((signer, kind), _Bucket(burst, now_ms))
        bucket.left = min(burst, bucket.left + max(0, now_ms - bucket.at_ms) * rate / 1000)
        bucket.at_ms = now_ms
        short = bucket.left < cost
        if not short:
            bucket.left -= cost
        reset_s = (now_ms + int((burst - bucket.left) * 1000 / rate)) // 1000 + 1
        headers = limit_headers(int(bucket.left), reset_s, warning="rate limit exceeded" if short else "")
        refused = short and self.enforced
        if refused:
            headers["Retry-After"] = str(max(1, int((cost - bucket.left) / rate)))
        return Spent(refused, headers)
