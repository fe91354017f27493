"""One function, one transaction: what a person does to the recording."""

from shared.db.engine import Database
from shared.db.queries import failed_batches
from shared.db.queries.failed_batches import FailedBatch, Replayed


async def list_failed(database: Database) -> list[FailedBatch]:
    """Return the batches that are not stored yet, oldest first."""
    return await database.retry_read(failed_batches.list_waiting)


async def replay(database: Database, batch: FailedBatch) -> Replayed:
    """Store one batch through the staging table; a second time, or at the same time, nothing happens."""
    async with database.begin() as tx:
        return await failed_batches.replay(tx, batch.failed_id)
