"""Open breakers, since when, and what was done about each."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from shared.db.engine import Tx
from shared.domain.breaker import TripReason
from shared.domain.escalation import Stage
from shared.domain.ids import AccountId
from shared.domain.modes import Mode


@dataclass(frozen=True, slots=True)
class OpenTrip:
    """One breaker that is open."""

    account_id: AccountId
    mode: Mode
    reason: TripReason
    since: datetime
    done: frozenset[Stage]
    now: datetime
    """Postgres's clock at the read."""


_OPEN = text("""
SELECT g.account_id, g.mode, g.breaker_reason, g.breaker_since, clock_timestamp() AS now,
       ARRAY(SELECT stage FROM escalations e WHERE e.account_id = g.account_id AND e.mode = g.mode
                AND e.tripped_at = g.breaker_since) AS done
  FROM trading_gate g WHERE g.breaker = 'OPEN' AND g.mode <> 'BACKTEST' ORDER BY g.account_id, g.mode""")


async def open_trips(tx: Tx) -> list[OpenTrip]:
    """Return every open breaker with the stages already taken for this trip."""
    return [
        OpenTrip(
            AccountId(row.account_id),
            Mode(row.mode),
            TripReason(row.breaker_reason),
            row.breaker_since,
            frozenset(Stage(stage) for stage in row.done),
            row.now,
        )
        for row in await tx.execute(_OPEN)
    ]
