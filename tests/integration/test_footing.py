"""What the Book stands on, read on a real server, and behind something that hands one backend to everybody."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared.db import footing
from shared.db.engine import connect_raw
from shared.db.footing import database_footing
from shared.runtime.clock import SystemClock

pytestmark = pytest.mark.integration


async def test_a_direct_connection_is_a_session_and_the_settings_are_the_servers(database_url: str) -> None:
    found = await database_footing(database_url, SystemClock())
    assert (found.fsync, found.full_page_writes) == ("off", "off"), (
        "the server of the tests forgets on purpose"
    )
    assert found.own_backend
    assert abs(found.own_offset.total_seconds()) < 1


async def test_a_pooler_that_shares_a_backend_is_seen(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a pooler by the transaction does with idle clients: both get the backend that happens to be free."""
    shared = await connect_raw(database_url, application_name="pooled", autocommit=True)

    @asynccontextmanager
    async def borrowed() -> AsyncIterator[Any]:
        yield shared

    async def connect(*_: object, **__: object) -> Any:
        return borrowed()

    monkeypatch.setattr(footing, "connect_raw", connect)
    assert not (await database_footing(database_url, SystemClock())).own_backend
    await shared.close()


async def test_a_pooler_that_forgets_what_was_set_is_seen(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two backends, but each statement may meet either: what was set on one is not there on the other."""
    pair = [await connect_raw(database_url, application_name=f"pooled_{n}", autocommit=True) for n in (0, 1)]
    turns = 0

    class Turning:
        async def execute(self, *arguments: Any) -> Any:
            return await pair[0].execute(*arguments)

        def cursor(self, **options: Any) -> Any:
            nonlocal turns
            turns += 1
            return pair[turns % 2].cursor(**options)

    @asynccontextmanager
    async def borrowed() -> AsyncIterator[Any]:
        yield Turning()

    async def connect(*_: object, **__: object) -> Any:
        return borrowed()

    monkeypatch.setattr(footing, "connect_raw", connect)
    assert not (await database_footing(database_url, SystemClock())).own_backend
    for each in pair:
        await each.close()
