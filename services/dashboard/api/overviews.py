"""The newest overview, read at most a few times a second however many pages ask (P1: for display alone)."""

import asyncio

from services.dashboard.api import metrics
from services.dashboard.api.queries import read_overview
from services.dashboard.api.schemas import Overview
from shared.db.engine import Database
from shared.runtime.clock import Clock

KEPT_S = 0.25
READ_WITHIN_S = 4.0


class BookUnreadable(Exception):
    """The overview could not be read; its cause says why."""


class Overviews:
    """Reads the Book for everyone who asks in the same moment; its answer carries the moment it was read."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._reading = asyncio.Lock()
        self._newest: Overview | None = None
        self._read_at = 0.0
        self.failures = 0

    async def newest(self) -> Overview:
        """Return an overview at most a quarter of a second old; raises BookUnreadable, never returns an old one."""
        async with self._reading:
            if self._newest is not None and self._clock.monotonic() - self._read_at < KEPT_S:
                return self._newest
            self._newest = None
            try:
                with metrics.OVERVIEW_S.time():
                    async with asyncio.timeout(READ_WITHIN_S):
                        overview = await self._database.retry_read(read_overview)
            except Exception as error:
                self.failures += 1
                metrics.OVERVIEW_FAILURES.inc()
                raise BookUnreadable(type(error).__name__) from error
            self._read_at = self._clock.monotonic()
            self._newest = overview
            return overview
