"""What every heartbeat says besides its service's own words: how full its pool is, and what is out of the ordinary."""

from collections.abc import Mapping
from decimal import Decimal

from sqlalchemy.pool import QueuePool

from shared.db.engine import Tx
from shared.runtime.clock import SystemClock
from shared.runtime.pulse import SLOW_TURNS, silent_loops

SILENT = "silent_loops"
"""Who has one is not fit, whatever else it says (R11)."""
POOL_USE_MAX = Decimal("0.8")
"""Above it a person hears of it (B4); the beat's own connection counts, as everybody's does."""


def vital_signs(tx: Tx) -> Mapping[str, object]:
    """Return how full this process's pool is (`pool`: nearly), its silent loops, its slow turns in seconds by loop."""
    found: dict[str, object] = {}
    silent = silent_loops()
    if silent:
        found[SILENT] = silent
    slow = SLOW_TURNS.recent(SystemClock().now())
    if slow:
        found["slow_turns"] = slow
    pool = tx.engine.sync_engine.pool
    if isinstance(pool, QueuePool):
        found |= {"pool_used": pool.checkedout(), "pool_size": pool.size()}
        if pool.checkedout() > POOL_USE_MAX * pool.size():
            found["pool"] = f"{pool.checkedout()} of {pool.size()}"
    return found
