"""Looks that found everything in order go after a while: what was amiss, and the newest of each account, stay.

Additive only for seven days: the previous image still runs on this schema (B6, B7). A function of an earlier migration
that changes stands whole in up.sql, with the signature it had, and as it was in down.sql.
"""

from pathlib import Path

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"
SQL_FILES = ("0009_old_looks/up.sql", "0009_old_looks/down.sql")


def run(name: str) -> None:
    """Run one file of SQL as it stands: psycopg leaves % alone when there are no parameters."""
    op.execute("SET ROLE onebook_owner")
    op.get_bind().connection.driver_connection.execute((SQL / name).read_text().encode())
    op.execute("RESET ROLE")


def upgrade() -> None:
    """Add to the Book."""
    run(SQL_FILES[0])


def downgrade() -> None:
    """Take it away again."""
    run(SQL_FILES[1])
