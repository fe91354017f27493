"""What becomes of a claim when others hold what it needs: asked once more, or left for the next look (B9)."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TypeVar

import psycopg

TRIES = 2
Answer = TypeVar("Answer")


class Contention(StrEnum):
    """Why a claim was not decided. Its one statement was rolled back: nothing of it is in the Book."""

    BUSY = "BOOK_BUSY"
    """A row was held longer than the lock session waits for one; the claim may be made anew."""
    CONFLICT = "SERIALIZATION_CONFLICT"
    """Two transactions stood in each other's way, twice: no ordinary load does that."""


async def claim(ask: Callable[[], Awaitable[Answer]]) -> Answer | Contention:
    """Return a claim's answer, asked once more after a conflict; raises LockLost and what else the Book refuses."""
    for _ in range(TRIES):
        try:
            return await ask()
        except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
            continue
        except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled):
            return Contention.BUSY
    return Contention.CONFLICT
