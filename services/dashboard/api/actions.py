"""The one thing the dashboard writes: that it lives."""

from shared.db.engine import Database
from shared.db.queries import lifecycle


async def beat(database: Database, *, instance: str, healthy: bool, overview_failures: int) -> None:
    """Beat for the dashboard, saying how many overviews could not be read since it started."""
    async with database.begin() as tx:
        await lifecycle.beat(
            tx,
            service="dashboard",
            instance=instance,
            healthy=healthy,
            details={"overview_failures": overview_failures},
        )
