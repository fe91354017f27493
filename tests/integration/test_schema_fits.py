"""Code and Book that do not fit do not start together (B7)."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from shared.db.engine import Database
from shared.db.schema import VERSION, SchemaMismatch, known_migrations, require_schema
from tests.conftest import REPOSITORY, Connect
from tests.processes import running

pytestmark = pytest.mark.integration


async def fits(connect: Connect, *, role: str = "dashboard") -> None:
    database: Database = await connect(role=role)
    await database.retry_read(require_schema)


def change(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(statement)


@pytest.mark.parametrize(
    "role",
    ["feed_collector", "signal_engine", "execution", "risk_monitor", "reconciler", "dashboard", "operator"],
)
async def test_every_role_finds_that_a_fresh_book_fits(db: Connect, role: str) -> None:
    await fits(db, role=role)


async def test_code_below_the_floor_does_not_start(db: Connect, database_url: str) -> None:
    change(database_url, "UPDATE code_floor SET oldest_code = '0.1.1'")
    with pytest.raises(SchemaMismatch, match="deploy a newer image"):
        await fits(db)
    change(database_url, "UPDATE code_floor SET oldest_code = '0.0.10'")
    await fits(db)


async def test_a_book_older_than_the_code_is_migrated_first(db: Connect, database_url: str) -> None:
    change(database_url, "DELETE FROM schema_migrations WHERE revision = '0001'")
    with pytest.raises(SchemaMismatch, match="lacks migration 0001"):
        await fits(db)


async def test_a_newer_book_above_the_floor_is_no_obstacle(db: Connect, database_url: str) -> None:
    change(
        database_url,
        "INSERT INTO schema_migrations (revision, checksum) VALUES ('9999', 'of the next image')",
    )
    await fits(db)


async def test_other_content_than_was_applied_does_not_start(db: Connect, database_url: str) -> None:
    change(database_url, "UPDATE schema_migrations SET checksum = 'other' WHERE revision = '0001'")
    with pytest.raises(SchemaMismatch, match="other content"):
        await fits(db)


async def test_a_book_nobody_migrated_is_named(db: Connect, database_url: str) -> None:
    change(database_url, "DROP TABLE code_floor")
    with pytest.raises(SchemaMismatch, match="make migrate"):
        await fits(db)


@pytest.mark.parametrize("service", ["dashboard.api", "execution", "reconciler", "risk_monitor"])
def test_a_service_says_so_and_ends(
    database_url: str, role_url: Callable[[str], str], tmp_path: Path, service: str
) -> None:
    change(database_url, "UPDATE code_floor SET oldest_code = '99.0.0'")
    environment = {"DATABASE_URL": role_url(service.removesuffix(".api")), "DASHBOARD_PORT": "0"}
    with running(f"services.{service}", environment, tmp_path / "service.log") as process:
        assert process.process.wait(timeout=30) == 1
        assert "deploy a newer image" in process.output()


def test_the_version_is_the_packages_own() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert project["project"]["version"] == VERSION
    assert list(known_migrations()) == [f"{number:04d}" for number in range(1, 10)]
