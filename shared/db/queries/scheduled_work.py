"""scheduled_work: what is to be done once, however many instances think of it."""

from sqlalchemy import text

from shared.db.engine import Tx


async def claim_once(tx: Tx, work: str, *, done_for: str, by: str) -> bool:
    """Claim a unit of work for a day or a number, written so that later ones sort after earlier ones (T5).

    False when somebody has claimed it, or a later one, already.
    """
    statement = text(
        """INSERT INTO scheduled_work AS done (work, done_for, done_by) VALUES (:work, :for, :by)
        ON CONFLICT (work) DO UPDATE SET done_for = excluded.done_for, done_by = excluded.done_by, done_at = clock_timestamp()
        WHERE done.done_for < excluded.done_for RETURNING work"""
    )
    parameters = {"work": work, "for": done_for, "by": by}
    return (await tx.execute(statement, parameters)).one_or_none() is not None


async def give_back(tx: Tx, work: str, *, done_for: str, by: str) -> bool:
    """Let a unit of work that we claimed and could not do be claimed again; False when it is no longer ours."""
    statement = text(
        """UPDATE scheduled_work SET done_for = '', done_at = clock_timestamp()
        WHERE work = :work AND done_for = :for AND done_by = :by RETURNING work"""
    )
    parameters = {"work": work, "for": done_for, "by": by}
    return (await tx.execute(statement, parameters)).one_or_none() is not None
