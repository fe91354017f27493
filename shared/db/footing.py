"""What the Book stands on: whether a committed row survives, and whether a connection is a session (E22, D7)."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row
from pydantic import SecretStr

from shared.db.engine import connect_raw
from shared.domain.preflight import DatabaseFooting
from shared.runtime.clock import Clock

_LOOK = """
SELECT pg_backend_pid() AS pid, current_setting('onebook.probe', true) AS probe, clock_timestamp() AS now,
       current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
       current_setting('synchronous_commit') AS synchronous_commit
"""


async def database_footing(url: SecretStr | str, clock: Clock) -> DatabaseFooting:
    """Return it as two connections at once find it; raises psycopg.OperationalError when there is no connection.

    Behind a pooler that hands out backends by the transaction, two idle connections share one, or one changes it: then
    what was set on a session is not there, or is the other's.
    """
    async with AsyncExitStack() as stack:
        sessions = [
            await stack.enter_async_context(
                await connect_raw(url, application_name=f"footing_{number}", autocommit=True)
            )
            for number in range(2)
        ]
        before = [await _look(session, set_to=str(number)) for number, session in enumerate(sessions)]
        asked_at = clock.now()
        after = [await _look(session) for session in reversed(sessions)][::-1]
        answered_at = clock.now()
    same = all(old["pid"] == new["pid"] for old, new in zip(before, after, strict=True))
    kept = [new["probe"] for new in after] == ["0", "1"]
    apart = before[0]["pid"] != before[1]["pid"]
    return DatabaseFooting(
        fsync=after[0]["fsync"],
        full_page_writes=after[0]["full_page_writes"],
        synchronous_commit=after[0]["synchronous_commit"],
        own_backend=same and kept and apart,
        own_offset=_offset(asked_at, answered_at, [new["now"] for new in after]),
    )


def _offset(asked_at: datetime, answered_at: datetime, theirs: list[datetime]) -> timedelta:
    """Return the least by which our clock must be off: a moment read between two of ours may be either."""
    first, last = min(theirs), max(theirs)
    if asked_at > first:
        return asked_at - first
    return answered_at - last if answered_at < last else timedelta(0)


async def _look(session: psycopg.AsyncConnection[Any], *, set_to: str | None = None) -> Mapping[str, Any]:
    if set_to is not None:
        await session.execute("SELECT set_config('onebook.probe', %s, false)", [set_to])
    cursor = session.cursor(row_factory=dict_row)
    await cursor.execute(_LOOK)
    row = await cursor.fetchone()
    assert row is not None
    return row
