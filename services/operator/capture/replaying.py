"""``replay-batches``: store what once failed to be stored (C3)."""

from services.operator.capture import actions
from services.operator.console import fail, in_book, say
from shared.db.engine import Database
from shared.db.queries.failed_batches import FailedBatch, Replayed


async def replay_all(database: Database) -> list[tuple[FailedBatch, Replayed]]:
    """Store every batch that waits, oldest first; returns what became of each."""
    return [(batch, await actions.replay(database, batch)) for batch in await actions.list_failed(database)]


def replay_batches() -> None:
    """Store the batches of failed_batches; adds no duplicate, fails while a row of them can never be stored."""
    done = in_book(replay_all)
    for batch, became in done:
        say(
            f"{batch.batch_id} of {batch.created_at:%Y-%m-%d %H:%M:%S}: {became.stored} stored,"
            f" {became.known} known already, {became.rejected} rejected; it had failed with: {batch.error}"
        )
    stored, known, rejected = (
        sum(getattr(became, name) for _, became in done) for name in ("stored", "known", "rejected")
    )
    say(f"{len(done)} batches: {stored} rows stored, {known} were in the Book, {rejected} cannot be stored")
    if rejected:
        fail(f"{rejected} rows stay in failed_batches, each batch with the reason the database gave")
