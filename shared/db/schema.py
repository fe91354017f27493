"""Whether this code and this Book fit together; a service that does not fit does not start (B7)."""

import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from shared.db.engine import Tx
from shared.runtime.service import StartRefused

VERSION = "0.1.0"
"""Which code this is, the same as in pyproject.toml; a test compares."""
MIGRATIONS = Path(__file__).parent.parent.parent / "alembic"


class SchemaMismatch(StartRefused):
    """The Book is older than the code, needs newer code, or was migrated by other files than these."""


def checksum(module: ModuleType) -> str:
    """Return the SHA-256 of a migration's file and, in the order it names them, of its SQL files."""
    assert module.__file__ is not None
    path = Path(module.__file__)
    digest = hashlib.sha256(path.read_bytes())
    for name in getattr(module, "SQL_FILES", ()):
        digest.update(name.encode() + b"\0" + (path.parent.parent / "sql" / name).read_bytes())
    return digest.hexdigest()


def known_migrations() -> Mapping[str, str]:
    """Return revision → checksum of the migrations this code came with."""
    known: dict[str, str] = {}
    for path in sorted((MIGRATIONS / "versions").glob("[0-9]*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        known[module.revision] = checksum(module)
    return known


async def require_schema(tx: Tx) -> None:
    """Return when this code may run on this Book.

    Raises:
        SchemaMismatch: the message says which of the two is behind, and what to do.
    """
    try:
        floor = await tx.scalar(text("SELECT oldest_code FROM code_floor"))
        rows = await tx.execute(text("SELECT revision, checksum FROM schema_migrations"))
    except ProgrammingError as error:
        raise SchemaMismatch(
            "the Book is not migrated, or not readable by this role: run `make migrate`"
        ) from error
    if floor is not None and _numbers(VERSION) < _numbers(floor):
        raise SchemaMismatch(
            f"this code is {VERSION} and the Book asks for {floor} or newer: deploy a newer image"
        )
    applied = {row.revision: row.checksum for row in rows}
    for revision, wanted in known_migrations().items():
        if revision not in applied:
            raise SchemaMismatch(
                f"the Book lacks migration {revision} of this code: run `make migrate` first"
            )
        if applied[revision] != wanted:
            raise SchemaMismatch(
                f"migration {revision} was applied to the Book with other content than this code's: "
                "deploy the image that migrated it, or restore the file"
            )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
