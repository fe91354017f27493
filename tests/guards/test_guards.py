"""The list of guards is true: each stands once where it says, and each names a test that exists."""

from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.guards.guard import Guard, GuardMoved, find, remove
from tests.guards.in_a_long_life import LONG_LIFE_GUARDS
from tests.guards.in_the_book import BOOK_GUARDS
from tests.guards.in_the_code import CODE_GUARDS
from tests.guards.in_the_feeds import FEED_GUARDS

GUARDS = (*BOOK_GUARDS, *CODE_GUARDS, *FEED_GUARDS, *LONG_LIFE_GUARDS)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_stands_where_the_list_says_and_its_test_exists(guard: Guard) -> None:
    find(guard, REPOSITORY)
    assert guard.without != guard.text
    path, _, name = guard.test.partition("::")
    assert f"def {name.partition('[')[0]}(" in (REPOSITORY / path).read_text()


def test_names_are_given_once() -> None:
    assert len({guard.name for guard in GUARDS}) == len(GUARDS)


def _tree(root: Path, **migrations: str) -> Path:
    for name, text in migrations.items():
        folder = root / "alembic" / "sql" / name
        folder.mkdir(parents=True)
        (folder / ("up.sql" if name[0].isdigit() else "50.sql")).write_text(text)
    return root


def _guard(text: str) -> Guard:
    return Guard("g", "P5", "sql:f", text, "gone", "tests/x.py::test_x")


def test_the_newest_definition_of_a_function_is_the_one_that_guards(tmp_path: Path) -> None:
    old = "CREATE FUNCTION f() AS $$ look $$;\n"
    new = "CREATE FUNCTION g() AS $$ look $$;\nCREATE OR REPLACE FUNCTION f() AS $$ look $$;\nCREATE FUNCTION h() AS $$ look $$;\n"
    root = _tree(tmp_path, functions=old, **{"0002_more": new})
    remove(_guard("look"), root)
    changed = (root / "alembic/sql/0002_more/up.sql").read_text()
    assert changed.splitlines()[1] == "CREATE OR REPLACE FUNCTION f() AS $$ gone $$;"
    assert (root / "alembic/sql/functions/50.sql").read_text() == old


@pytest.mark.parametrize("text", ["absent", "twice"])
def test_a_guard_that_moved_is_told(tmp_path: Path, text: str) -> None:
    root = _tree(tmp_path, functions="CREATE FUNCTION f() AS $$ twice twice $$;\n")
    with pytest.raises(GuardMoved):
        find(_guard(text), root)
