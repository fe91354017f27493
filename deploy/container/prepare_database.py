"""Bring the Book up to date and give each service's role its password: python -m deploy.container.prepare_database.

Migrations make the roles without passwords, for a migration is public and the same everywhere. Here they get the ones
of the environment: EXECUTION_DATABASE_PASSWORD for onebook_execution, and so on. Only the SCRAM verifier is sent, so
that no password reaches the server's log. Needs DATABASE_URL as the database's owner; running it again is harmless.
"""

import os
import subprocess
import sys
from collections.abc import Mapping

import psycopg
from psycopg import sql

SUFFIX = "_DATABASE_PASSWORD"
ROLE_PREFIX = "onebook_"


def passwords(environment: Mapping[str, str]) -> dict[str, str]:
    """Return role name → password for every variable that gives one."""
    return {
        f"{ROLE_PREFIX}{name.removesuffix(SUFFIX).lower()}": value
        for name, value in environment.items()
        if name.endswith(SUFFIX) and value
    }


def set_passwords(url: str, wanted: Mapping[str, str]) -> list[str]:
    """Set them in one transaction; returns the roles that do not exist, and were left out."""
    missing = []
    with psycopg.connect(url) as connection:
        for role, password in sorted(wanted.items()):
            if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None:
                missing.append(role)
                continue
            verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
            connection.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                    sql.Identifier(role), sql.Literal(verifier.decode())
                )
            )
    return missing


def main() -> int:
    """Migrate, then set the passwords; returns the exit status."""
    migrated = subprocess.run([sys.executable, "-m", "alembic", "upgrade", "head"], check=False)
    if migrated.returncode != 0:
        return migrated.returncode
    wanted = passwords(os.environ)
    missing = set_passwords(os.environ["DATABASE_URL"], wanted)
    print(f"→ the Book is at the newest schema; {len(wanted) - len(missing)} roles have their passwords")
    if missing:
        print(f"no such role: {', '.join(missing)}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
