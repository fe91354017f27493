"""How long to wait before the next try. Whether to try again at all is the caller's business."""

import random
from collections.abc import Iterator

_GROWTH = 2.0


def backoff(chance: random.Random, *, first_s: float, cap_s: float) -> Iterator[float]:
    """Yield waiting times in seconds for ever: doubling from ``first_s`` to ``cap_s``, each shortened by up to a half.

    The jitter keeps services that lost the same server from coming back in step. Make a new one after a success.
    """
    base_s = first_s
    while True:
        yield min(base_s, cap_s) * (1.0 - chance.random() / 2)
        base_s = min(base_s * _GROWTH, cap_s)
