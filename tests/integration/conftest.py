"""A desk on a fresh Book, and a street: the desk before a market, its processes yet to be started."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.factories import Desk
from tests.processes import Street, Venue, venue


@pytest.fixture
def desk(database_url: str, role_url: Callable[[str], str]) -> Iterator[Desk]:
    with Desk(role_url, database_url) as opened:
        yield opened


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    """A venue whose windows last longer than any test; a module that needs another has its own."""
    with venue(tmp_path_factory.mktemp("venue"), WINDOW_S="600", FIRST_OPEN_IN_S="1") as made:
        yield made


@pytest.fixture
def street(
    simulator: Venue, database_url: str, role_url: Callable[[str], str], tmp_path: Path
) -> Iterator[Street]:
    """A PAPER desk; the executor's lock is free, for the processes to win."""
    with Desk(role_url, database_url) as opened:
        opened.do("execution", "SELECT pg_advisory_unlock_all()")
        yield Street(simulator, opened, tmp_path)
