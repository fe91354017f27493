"""How migrations run: one at a time, one transaction each, never long behind a lock, and never on changed history."""

import os
import shutil
import subprocess
import sys

import psycopg
import pytest
from psycopg import sql

from tests.conftest import REPOSITORY

FIRST = """
from pathlib import Path
from alembic import op

revision, down_revision, branch_labels, depends_on = "0001", None, None, None
SQL_FILES = ("first.sql",)

def upgrade():
    op.execute((Path(__file__).parent.parent / "sql" / "first.sql").read_text())

def downgrade():
    op.execute("DROP TABLE first")
"""
SECOND = """
from alembic import op

revision, down_revision, branch_labels, depends_on = "0002", "0001", None, None

def upgrade():
    op.execute("ALTER TABLE first ADD COLUMN more int")

def downgrade():
    op.execute("ALTER TABLE first DROP COLUMN more")
"""
BROKEN = SECOND.replace(
    "ALTER TABLE first ADD COLUMN more int", "CREATE TABLE half (n int); SELECT no_such_column"
)


class History:
    """A history of its own, run by the environment of the real one."""

    def __init__(self, folder, url):
        self.folder, self.url = folder, url
        (folder / "alembic/versions").mkdir(parents=True)
        (folder / "alembic/sql").mkdir()
        shutil.copy(REPOSITORY / "alembic.ini", folder)
        shutil.copy(REPOSITORY / "alembic/env.py", folder / "alembic")
        self.write("versions/0001_expand_first.py", FIRST)
        self.write("sql/first.sql", "CREATE TABLE first (n int)")

    def write(self, name, text):
        (self.folder / "alembic" / name).write_text(text)

    def start(self, *arguments, url=None):
        return subprocess.Popen(
            [sys.executable, "-m", "alembic", *(arguments or ("upgrade", "head"))],
            cwd=self.folder,
            env={**os.environ, "DATABASE_URL": url or self.url, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments, url=None):
        """Return exit status and output."""
        process = self.start(*arguments, url=url)
        out, _ = process.communicate()
        return process.returncode, out

    def query(self, statement):
        with psycopg.connect(self.url) as connection:
            return connection.execute(statement).fetchall()

    def applied(self):
        return [revision for (revision,) in self.query("SELECT revision FROM schema_migrations ORDER BY 1")]


@pytest.fixture
def history(tmp_path, database_url, administrator):
    """An empty database, and a history that has never run on it."""
    url = f"{database_url}_history"
    name = sql.Identifier(url.rpartition("/")[2])
    administrator.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
    yield History(tmp_path, url)
    administrator.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def test_what_was_applied_is_remembered_and_forgotten_when_undone(history):
    history.write("versions/0002_expand_more.py", SECOND)
    assert history.run() == (0, "")
    assert history.applied() == ["0001", "0002"]
    assert history.run() == (0, "")
    assert history.run("downgrade", "-1") == (0, "")
    assert history.applied() == ["0001"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("versions/0001_expand_first.py", FIRST + "\n# later thought\n"),
        ("sql/first.sql", "CREATE TABLE first (n bigint)"),
    ],
    ids=["file", "sql file"],
)
def test_changed_history_is_refused(history, name, text):
    history.run()
    history.write(name, text)
    history.write("versions/0002_expand_more.py", SECOND)
    status, out = history.run()
    assert status != 0
    assert "migration 0001 was applied with other content" in out
    assert history.applied() == ["0001"]


def test_a_migration_that_fails_leaves_nothing_of_itself_and_all_before_it(history):
    history.write("versions/0002_expand_more.py", BROKEN)
    status, _ = history.run()
    assert status != 0
    assert history.applied() == ["0001"]
    assert history.query("SELECT to_regclass('half')") == [(None,)]


def test_two_migrators_at_once_are_one_after_the_other(history):
    both = [history.start(), history.start()]
    for process in both:
        out, _ = process.communicate()
        assert (process.returncode, out) == (0, "")
    assert history.applied() == ["0001"]


def test_a_migration_does_not_wait_long_behind_a_lock(history):
    history.run()
    history.write("versions/0002_expand_more.py", SECOND)
    with psycopg.connect(history.url) as reader:
        reader.execute("SELECT * FROM first")
        status, out = history.run()
    assert status != 0
    assert "lock timeout" in out
    assert history.applied() == ["0001"]


def test_a_malformed_address_is_refused_and_not_repeated(history):
    status, out = history.run(url="postgresql://u:canary@host/d")
    assert status != 0
    assert "DATABASE_URL: it names no port" in out
    assert "canary" not in out


def test_sql_scripts_without_a_database_are_refused(history):
    status, out = history.run("upgrade", "head", "--sql")
    assert status != 0
    assert "need one" in out
