"""The pool against a real server: limits, retries, and what a lost connection means."""

from sqlalchemy import text


async def test_a_transaction_commits_at_the_end_of_its_block(db):
    database = await db()
    async with database.begin() as tx:
        await tx.execute(text("CREATE TABLE kept (n int)"))
    assert await database.retry_read(lambda tx: tx.scalar(text("SELECT count(*) FROM kept"))) == 0
