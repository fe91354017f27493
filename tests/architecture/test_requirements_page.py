"""docs/requirements.md names tests that exist, and says of every row one of three words."""

import re

import pytest

from tests.conftest import REPOSITORY

TESTS = REPOSITORY / "tests"
PAGE = (REPOSITORY / "docs" / "requirements.md").read_text()
ROW = re.compile(r"^\| ([A-Z]\d+\S*(?:[ ,a-zA-Z0-9]*)?) \| .* \| (\w+) \| (.*) \|$", re.MULTILINE)
NAMED = re.compile(
    r"`((?:unit|integration|contract|migration|acceptance|architecture|simulation|guards)[\w/.]*)(?:::([\w, ]+))?`"
)


def missing(text: str) -> list[str]:
    """Every named file or test of a text that does not exist."""
    found = []
    for path, tests in NAMED.findall(text):
        place = TESTS / path
        if not place.exists():
            found.append(path)
            continue
        found += [
            f"{path}::{name}"
            for name in filter(None, (each.strip() for each in tests.split(",")))
            if f"def {name}(" not in place.read_text()
        ]
    return found


def test_every_named_test_exists() -> None:
    assert len(NAMED.findall(PAGE)) > 60
    assert missing(PAGE) == []


def test_every_row_is_proved_built_or_open_and_a_proved_one_names_its_tests() -> None:
    rows = ROW.findall(PAGE)
    assert len(rows) > 80
    for row, state, by in rows:
        assert state in {"proved", "built", "open"}, row
        assert state != "proved" or NAMED.search(by), row


@pytest.mark.parametrize(
    "text",
    ["`integration/test_nothing.py`", "`integration/test_lifecycle.py::test_that_is_not_there`"],
)
def test_a_test_that_does_not_exist_is_found(text: str) -> None:
    assert missing(text)
