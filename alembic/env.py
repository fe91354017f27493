"""How migrations run (B6): one at a time over all machines, each in a transaction of its own, none waiting long.

A migration that waits for a lock makes every reader behind it wait, too; so it gives up after two seconds and is run
again. What was applied is remembered with a checksum of the file and of the SQL files it names in ``SQL_FILES``; when
an applied one has changed since, nothing runs (B7).
"""

import os
from collections.abc import Mapping
from typing import Any

from alembic import context
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, NullPool, create_engine, make_url, text

from shared.db.schema import checksum
from shared.runtime.database_url import MalformedDatabaseUrl, parse_database_url

ADVISORY_KEY = 0x6F6E65_626F6F6B  # "onebook"
QUEUE_TIMEOUT_MS = 60_000
LOCK_TIMEOUT_MS = 2_000
STATEMENT_TIMEOUT_MS = 120_000


def refuse_changed(connection: Connection, scripts: ScriptDirectory) -> None:
    """Raise CommandError when an applied migration no longer is what it was."""
    applied = connection.execute(text("SELECT revision, checksum FROM schema_migrations ORDER BY revision"))
    for revision, recorded in applied:
        script = scripts.get_revision(revision)
        if script is not None and checksum(script.module) != recorded:
            raise CommandError(
                f"migration {revision} was applied with other content than it has now: "
                "restore its file and its SQL files, and put the change into a new migration"
            )


def record(*, ctx: Any, step: Any, heads: Any, run_args: Mapping[str, Any]) -> None:
    """Write or erase the applied migration's checksum, in the migration's own transaction."""
    del heads, run_args
    if step.is_upgrade:
        statement = text(
            "INSERT INTO schema_migrations (revision, checksum) VALUES (:revision, :checksum)"
            " ON CONFLICT (revision) DO UPDATE SET checksum = excluded.checksum, applied_at = excluded.applied_at"
        )
        for revision in step.up_revision_ids:
            module = step.revision_map.get_revision(revision).module
            ctx.connection.execute(statement, {"revision": revision, "checksum": checksum(module)})
    else:
        for revision in step.up_revision_ids:
            erase = text("DELETE FROM schema_migrations WHERE revision = :revision")
            ctx.connection.execute(erase, {"revision": revision})


def run() -> None:
    """Take the migrators' lock, refuse what has changed, run what is asked."""
    if context.is_offline_mode():
        raise CommandError("migrations run against a database: checksums and the advisory lock need one")
    try:
        url = parse_database_url(os.environ.get("DATABASE_URL", ""))
    except MalformedDatabaseUrl as malformed:
        raise CommandError(f"DATABASE_URL: {malformed}") from None
    engine = create_engine(
        make_url(url.text).set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={"application_name": "onebook_migrations", "connect_timeout": 5},
    )
    with engine.connect() as connection:
        connection.execute(text(f"SET lock_timeout = {QUEUE_TIMEOUT_MS}"))
        connection.execute(text(f"SELECT pg_advisory_lock({ADVISORY_KEY})"))
        connection.execute(text(f"SET lock_timeout = {LOCK_TIMEOUT_MS}"))
        connection.execute(text(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}"))
        connection.execute(
            text(
                "CREATE TABLE IF NOT EXISTS schema_migrations (revision text PRIMARY KEY, checksum text NOT NULL,"
                " applied_at timestamptz NOT NULL DEFAULT now())"
            )
        )
        connection.commit()
        refuse_changed(connection, context.script)
        connection.rollback()
        context.configure(connection=connection, transaction_per_migration=True, on_version_apply=record)
        with context.begin_transaction():
            context.run_migrations()
        # Every service asks at its start whether it fits this schema (B7).
        if connection.scalar(text("SELECT to_regclass('alembic_version')")) is not None:
            connection.execute(text("GRANT SELECT ON alembic_version, schema_migrations TO PUBLIC"))
            connection.commit()


run()
