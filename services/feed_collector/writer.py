"""The way of the prices into the Book: natural batches, and what happens when one cannot be stored (C2, C3).

A batch is whatever waits when the one before is done: one price when it is quiet, thousands when it is not. One that
fails is tried once more after 100 ms, looking first whether it was stored after all; then it is put aside in
failed_batches; if that fails, too, every account is tripped as soon as the database can be told, and the batch is kept
in hand under its name: the COMMIT that nobody answered may have happened, and only the name can tell.

So every price received is stored, put aside, dropped by the full queue and counted, or still waits: ``account`` says
how many of each, and they add up.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

from services.feed_collector import actions
from services.feed_collector.metrics import BATCH_ROWS, BATCH_S, TICKS_FAILED, TICKS_STORED
from services.feed_collector.tape import Tape
from shared.db.engine import Database
from shared.db.patience import is_passing
from shared.db.queries.ticks import CaptureFailed, CaptureSession, TickBatch
from shared.domain.ids import Instrument
from shared.domain.ticks import PriceTick
from shared.observability.logs import get_logger
from shared.runtime.backoff import backoff
from shared.runtime.clock import Clock
from shared.runtime.pulse import LoopPulse
from shared.runtime.service import StartRefused

BATCH_MAX = 10_000
"""Prices of one COPY when many wait: one statement stays far below its limit."""
RETRY_AFTER_S = 0.1
IDLE_S = 2.0
"""How often an idle session is pinged; the server ends it after ten seconds of silence."""
LOOK_EVERY_S = 0.25
STANDBY_POLL_S = 0.5
BACKOFF_FIRST_S = 0.1
BACKOFF_CAP_S = 2.0

log = get_logger()


class Displaced(StartRefused):
    """Another collector holds the capture lock now."""


async def wait_for_capture(database: Database, instruments: Sequence[Instrument]) -> CaptureSession:
    """Return the writing session, once no other collector has it: until then this process is a standby."""
    said = False
    while True:
        try:
            session = await actions.open_capture(database, instruments)
        except CaptureFailed as error:
            raise StartRefused(f"no connection for the recording of prices: {error}") from error
        if session is not None:
            return session
        if not said:
            said = True
            log.info(
                "standing_by",
                reason="another collector records these instruments",
                instruments=list(instruments),
            )
        await asyncio.sleep(STANDBY_POLL_S)


@dataclass(frozen=True, slots=True)
class CaptureAccount:
    """What became of the prices this process received; they add up while no batch is under way."""

    received: int
    stored: int
    failed: int
    dropped: int
    waiting: int

    @property
    def unexplained(self) -> int:
        """Return how many prices are nowhere: zero, or capture is broken."""
        return self.received - self.stored - self.failed - self.dropped - self.waiting


class Writer:
    """Stores what the tape holds; ``run`` is a loop of the service."""

    def __init__(
        self,
        database: Database,
        session: CaptureSession,
        tape: Tape,
        clock: Clock,
        *,
        instruments: Sequence[Instrument],
        instance: str,
        stored: Callable[[Sequence[PriceTick]], None],
    ) -> None:
        """Say who is told of each committed batch: ``stored``."""
        self._database = database
        self._session = session
        self._tape = tape
        self._clock = clock
        self._instruments = instruments
        self._stored = stored
        # Unique among all processes there ever were: the host's name is no part of it, the moment of the start is.
        self._name = f"{instance}:{clock.now().isoformat()}:{clock.boottime():.6f}"
        self._serials = count(1)
        self._chance = random.Random(self._name)  # noqa: S311 jitter is no secret
        self._spoken_at = clock.monotonic()
        self._stored_rows = 0
        self._failed_rows = 0
        self._in_hand: TickBatch | None = None
        self.trip_owed: str | None = None
        """Why every account is to be tripped, while the database cannot be told."""

    @property
    def account(self) -> CaptureAccount:
        """Return what became of every price received."""
        in_hand = 0 if self._in_hand is None else len(self._in_hand.ticks)
        return CaptureAccount(
            received=self._tape.received,
            stored=self._stored_rows,
            failed=self._failed_rows,
            dropped=self._tape.dropped,
            waiting=self._tape.waiting + in_hand,
        )

    async def run(self, pulse: LoopPulse) -> None:
        """Store until asked to stop, then what still waits; raises Displaced when another collector took over."""
        pauses = backoff(self._chance, first_s=BACKOFF_FIRST_S, cap_s=BACKOFF_CAP_S)
        while not (pulse.stopping.is_set() and self.account.waiting == 0):
            pulse.tick()
            if await self._recovered():
                pauses = backoff(self._chance, first_s=BACKOFF_FIRST_S, cap_s=BACKOFF_CAP_S)
            elif pulse.stopping.is_set():
                log.critical("ticks_lost", rows=self.account.waiting, reason=self.trip_owed)
                return
            else:
                await asyncio.sleep(next(pauses))
                continue
            if await self._something_waits():
                await self.store(self._tape.take(BATCH_MAX))
        await self.close()

    async def store(self, ticks: Sequence[PriceTick]) -> None:
        """Store one batch, down the ladder of C3."""
        self._in_hand = TickBatch(f"{self._name}:{next(self._serials)}", ticks)
        if await self._copied(self._in_hand):
            return
        await asyncio.sleep(RETRY_AFTER_S)
        await self._settle(self._in_hand)

    async def _recovered(self) -> bool:
        """Return True when nothing is owed: the trip was told and the batch in hand is stored or put aside."""
        if self.trip_owed is not None and not await self._pay_trip():
            return False
        if self._in_hand is None:
            return True
        try:
            if await actions.is_put_aside(self._database, self._in_hand.batch_id):
                self._put_aside(self._in_hand, "the answer to putting it aside was lost")
                return True
        except Exception as failure:
            if not is_passing(failure):
                raise
            return False
        await self._settle(self._in_hand)
        return self._in_hand is None

    async def _settle(self, batch: TickBatch) -> None:
        """Store a batch that may have been stored, else put it aside, else keep it in hand and owe a trip."""
        try:
            error = await self._retried(batch)
        except Displaced:
            await self._leave_behind(batch)
            raise
        if error is None:
            return
        try:
            await actions.put_aside(self._database, batch, error)
        except Exception:  # whatever it is, the prices are on no record now
            log.critical(
                "capture_unrecoverable", batch_id=batch.batch_id, rows=len(batch.ticks), exc_info=True
            )
            self.trip_owed = error
            return
        self._put_aside(batch, error)

    async def _leave_behind(self, batch: TickBatch | None) -> None:
        """Put aside what another collector's taking over left in our hands: replaying it adds what that one missed."""
        while batch is not None:
            try:
                await actions.put_aside(self._database, batch, "another collector took over")
            except Exception:  # it is the end of this process, and the reason of its end is the one to tell
                log.critical("ticks_lost", rows=len(batch.ticks) + self._tape.waiting, exc_info=True)
                return
            self._put_aside(batch, "another collector took over")
            ticks = self._tape.take(BATCH_MAX)
            batch = TickBatch(f"{self._name}:{next(self._serials)}", ticks) if ticks else None

    def _put_aside(self, batch: TickBatch, error: str) -> None:
        self._in_hand = None
        self._failed_rows += len(batch.ticks)
        TICKS_FAILED.inc(len(batch.ticks))
        log.error("batch_put_aside", batch_id=batch.batch_id, rows=len(batch.ticks), error=error)

    async def close(self) -> None:
        """End the writing session, and the capture lock with it."""
        await self._session.close()

    async def _something_waits(self) -> bool:
        """Return True when there is something to store; keeps an idle session alive meanwhile."""
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._tape.arrived.wait()
        except TimeoutError:
            if self._clock.monotonic() - self._spoken_at >= IDLE_S:
                await self._ping()
        return self._tape.waiting > 0

    async def _ping(self) -> None:
        self._spoken_at = self._clock.monotonic()
        try:
            await self._session.ping()
        except CaptureFailed as lost:
            log.warning("capture_session_lost", reason=str(lost))
            await self._reopened()

    async def _copied(self, batch: TickBatch) -> bool:
        self._spoken_at = self._clock.monotonic()
        try:
            await self._session.copy(batch)
        except CaptureFailed as error:
            log.warning("batch_failed", batch_id=batch.batch_id, rows=len(batch.ticks), error=str(error))
            return False
        self._committed(batch)
        return True

    async def _retried(self, batch: TickBatch) -> str | None:
        """Store the batch unless it was stored after all; returns why it could not be."""
        try:
            if not self._session.is_open and not await self._reopened():
                return "no connection to the database"
            if not await self._session.has(batch.batch_id):
                await self._session.copy(batch)
        except CaptureFailed as error:
            return str(error)
        self._committed(batch)
        return None

    async def _reopened(self) -> bool:
        """Open a new writing session; False without a connection. Raises Displaced when another has the lock."""
        await self._session.close()
        try:
            session = await actions.open_capture(self._database, self._instruments)
        except CaptureFailed:
            return False
        if session is None:
            raise Displaced("another collector records these instruments now: this one ends")
        self._session = session
        return True

    async def _pay_trip(self) -> bool:
        try:
            tripped = await actions.trip_all(self._database, {"error": self.trip_owed})
        except Exception as failure:
            if not is_passing(failure):
                raise
            return False
        log.critical("breakers_tripped", reason="DATA_CAPTURE_UNRECOVERABLE", accounts=tripped)
        self.trip_owed = None
        return True

    def _committed(self, batch: TickBatch) -> None:
        self._in_hand = None
        self._stored_rows += len(batch.ticks)
        TICKS_STORED.inc(len(batch.ticks))
        BATCH_ROWS.observe(len(batch.ticks))
        first = min(tick.received_at for tick in batch.ticks)
        BATCH_S.observe(max((self._clock.now() - first).total_seconds(), 0.0))
        self._stored(batch.ticks)
