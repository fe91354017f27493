"""A desk on a fresh Book."""

from collections.abc import Callable, Iterator

import pytest

from tests.factories import Desk


@pytest.fixture
def desk(database_url: str, role_url: Callable[[str], str]) -> Iterator[Desk]:
    with Desk(role_url, database_url) as opened:
        yield opened
