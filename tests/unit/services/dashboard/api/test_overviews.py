import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from services.dashboard.api.overviews import KEPT_S, BookUnreadable, Overviews


class StubClock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


class CountingBook:
    """Counts how often it is read; fails while ``broken``."""

    def __init__(self) -> None:
        self.reads = 0
        self.broken = False

    async def retry_read(self, _read: Callable[[Any], Awaitable[Any]]) -> Any:
        self.reads += 1
        await asyncio.to_thread(int)  # the others get their turn
        if self.broken:
            raise ConnectionResetError("gone")
        return f"overview {self.reads}"


@pytest.fixture
def clock() -> StubClock:
    return StubClock()


@pytest.fixture
def book() -> CountingBook:
    return CountingBook()


@pytest.fixture
def overviews(book: CountingBook, clock: StubClock) -> Overviews:
    return Overviews(book, clock)  # type: ignore[arg-type]


async def test_pages_that_ask_in_the_same_moment_share_one_reading(overviews: Overviews, book: CountingBook):
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(overviews.newest()) for _ in range(20)]
    assert {task.result() for task in asked} == {"overview 1"}
    assert book.reads == 1


async def test_an_overview_is_read_anew_when_it_is_older_than_it_may_be(
    overviews: Overviews, clock: StubClock
):
    assert await overviews.newest() == "overview 1"
    clock.seconds += KEPT_S
    assert await overviews.newest() == "overview 2"


async def test_an_old_overview_is_never_handed_out_for_one_that_failed(
    overviews: Overviews, book: CountingBook, clock: StubClock
):
    await overviews.newest()
    book.broken = True
    clock.seconds += KEPT_S
    with pytest.raises(BookUnreadable, match="ConnectionResetError"):
        await overviews.newest()
    assert overviews.failures == 1
    clock.seconds -= KEPT_S  # even a clock that jumps back finds nothing kept
    with pytest.raises(BookUnreadable):
        await overviews.newest()
