"""An executor of a run, as a process of its own: it is stopped, thawed and killed with real signals.

It holds the lock by the real lock session and asks it whether it may still send; everything it does it writes into the
journal first. ``python -m tests.simulation.history.executor name seed journal url``.
"""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from shared.db.lock import EXECUTOR_LOCK_KEY, LockCandidate, LockLost, LockSession
from shared.runtime.pulse import LoopPulse
from tests.factories import CLOCK
from tests.processes import look_again_after
from tests.simulation.history.operations import End, Journal
from tests.simulation.history.street import MODE, SPENDS, entry, fate, leavable, leave, new_signals

CLAIMERS = 3
ASK_EVERY_S = 0.05
CLAIM = "SELECT refused FROM claim_entry(%s, %s, %s, 'body', '{}')"
RECORD = "SELECT record_outcome(%s, %s, %s)"
EXIT = "SELECT refused FROM claim_exit(%s, %s, %s, 'body', '{}')"
REDEEM = "SELECT refused, expected_usdc FROM claim_redeem(%s, %s, %s, %s, %s, 1, 0)"


@dataclass(frozen=True, slots=True)
class Claimed:
    """An order that may be sent now."""

    order_id: str
    account_id: str
    epoch: int
    claiming_at: float
    side: str
    amount: str


async def _pause(seconds: float) -> None:
    """Take the time a network takes, or leave others the lock between two looks."""
    await asyncio.to_thread(look_again_after, seconds)


@dataclass(slots=True)
class Executor:
    """One process that leads whenever it gets the lock."""

    journal: Journal
    seed: int
    url: str
    chance: Random

    async def run(self) -> None:
        """Ask for the lock and lead, for ever."""
        candidate = LockCandidate(self.url, key=EXECUTOR_LOCK_KEY, clock=CLOCK, instance=self.journal.process)
        while True:
            session = await self._take(candidate)
            if session is None:
                await _pause(ASK_EVERY_S)
                continue
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(session.hold(LoopPulse("hold", CLOCK, stale_after_s=60)))
                    for _ in range(CLAIMERS):
                        group.create_task(self._claim_for_ever(session))
            except* LockLost:
                pass  # it leads no more, and asks again

    async def _take(self, candidate: LockCandidate) -> LockSession | None:
        name = self.journal.invoke("take_epoch")
        try:
            session = await candidate.try_acquire()
        except LockLost:
            self.journal.complete(name, End.INFO)
            return None
        self.journal.complete(name, End.OK if session else End.FAIL, session and session.epoch)
        return session

    async def _claim_for_ever(self, session: LockSession) -> None:
        connection = await asyncio.to_thread(_connect, self.url)
        with connection:
            while True:
                try:
                    await self._turn(session, connection)
                except psycopg.OperationalError:
                    connection = await asyncio.to_thread(_connect, self.url)

    async def _turn(self, session: LockSession, connection: psycopg.Connection[Any]) -> None:
        found = await asyncio.to_thread(new_signals, connection, hopeful=self.chance.randint(0, 1) > 0)
        if self.chance.randint(0, 9) == 0:
            await self._redeem(session, connection)
        await self._leave(session, connection)
        if not found:
            await _pause(0.01)
            return
        chosen = self.chance.choice(found)
        spends = self.chance.choice(list(SPENDS))
        order = entry(chosen["signal_id"], spends)
        epoch = session.epoch - (self.chance.randint(0, 9) == 0)  # now and then one that is over
        value = {
            "epoch": epoch, "account": chosen["account_id"], "signal": chosen["signal_id"], "order": order["order_id"],
            "window": chosen["window_id"], "strategy": chosen["strategy_id"], "reserved": order["reserved_usdc"],
        }  # fmt: skip
        name = self.journal.invoke("claim", **value)
        claiming_at = CLOCK.boottime()
        try:
            row = await session.call(CLAIM, [epoch, chosen["signal_id"], Jsonb(order)])
        except LockLost:
            self.journal.complete(name, End.INFO)
            raise
        except psycopg.Error as error:
            self.journal.complete(name, End.FAIL, error.sqlstate)
            return
        self.journal.complete(name, End.FAIL if row["refused"] else End.OK, row["refused"])
        if row["refused"] == "RECONCILIATION_PENDING":
            await _pause(ASK_EVERY_S)
        if row["refused"] is None:
            claimed = Claimed(order["order_id"], chosen["account_id"], epoch, claiming_at, "BUY", spends)
            await self._send(session, connection, claimed)

    async def _send(
        self, session: LockSession, connection: psycopg.Connection[Any], claimed: Claimed
    ) -> None:
        order = claimed.order_id
        await _pause(self.chance.choice((0, 0, 0, 0.02, 0.15)))  # the last one is too long
        if self.chance.randint(0, 99) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if not session.may_send(claimed.claiming_at):
            await self._record(connection, claimed, "NOT_SENT", {"reason": "LATE"})
            return
        drawn = fate(self.seed, order, claimed.side, claimed.amount)
        value = {
            "order": order,
            "epoch": claimed.epoch,
            "shares": str(drawn.kept),
            "side": claimed.side,
            "amount": claimed.amount,
        }
        self.journal.complete(self.journal.invoke("send", **value), End.OK)
        if self.chance.randint(0, 99) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        await _pause(self.chance.choice((0, 0.005, 0.05)))
        await self._record(connection, claimed, *drawn.answer(order))

    async def _record(
        self, connection: psycopg.Connection[Any], claimed: Claimed, event: str, details: dict[str, Any]
    ) -> None:
        name = self.journal.invoke("record", order=claimed.order_id, event=event, account=claimed.account_id)
        try:
            cursor = await asyncio.to_thread(
                connection.execute, RECORD, [claimed.order_id, event, Jsonb(details)]
            )
        except psycopg.OperationalError:
            self.journal.complete(name, End.INFO)  # a successor finds the row, and holds it for Unknown
            raise
        row = cursor.fetchone()
        self.journal.complete(name, End.OK, row and row[0])

    async def _leave(self, session: LockSession, connection: psycopg.Connection[Any]) -> None:
        found = [each for each in await asyncio.to_thread(leavable, connection) if each["shares"] >= 1]
        if not found:
            return
        chosen = self.chance.choice(found)
        shares = chosen["shares"].quantize(Decimal("0.01"), rounding="ROUND_DOWN")
        order = leave(chosen["position_id"], chosen["exit_attempts"] + 1, shares)
        value = {"epoch": session.epoch, "account": chosen["account_id"], "order": order["order_id"]}
        name = self.journal.invoke("claim_exit", **value)
        claiming_at = CLOCK.boottime()
        try:
            row = await session.call(EXIT, [session.epoch, chosen["position_id"], Jsonb(order)])
        except LockLost:
            self.journal.complete(name, End.INFO)
            raise
        except psycopg.Error as error:
            self.journal.complete(name, End.FAIL, error.sqlstate)
            return
        self.journal.complete(name, End.FAIL if row["refused"] else End.OK, row["refused"])
        if row["refused"] is None:
            claimed = Claimed(
                *(order["order_id"], chosen["account_id"], session.epoch), *(claiming_at, "SELL", str(shares))
            )
            await self._send(session, connection, claimed)

    async def _redeem(self, session: LockSession, connection: psycopg.Connection[Any]) -> None:
        cursor = await asyncio.to_thread(
            connection.execute,
            "SELECT account_id, window_id FROM positions WHERE state = 'SETTLEMENT' AND mode = %s LIMIT 1",
            [MODE],
        )
        found = cursor.fetchone()
        if found is None:
            return
        account, window = found
        redemption = f"r-{account}-{window}"
        name = self.journal.invoke("redeem", account=account, window=window)
        try:
            row = await session.call(REDEEM, [session.epoch, account, MODE, window, redemption])
        except LockLost:
            self.journal.complete(name, End.INFO)
            raise
        except psycopg.Error as error:
            self.journal.complete(name, End.FAIL, error.sqlstate)
            return
        self.journal.complete(name, End.FAIL if row["refused"] else End.OK, row["refused"])


def _connect(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(url, autocommit=True)


if __name__ == "__main__":
    own_name, drawn_seed, journal_path, book_url = sys.argv[1:]
    executor = Executor(
        Journal(Path(journal_path), own_name), int(drawn_seed), book_url, Random(f"{drawn_seed}/{own_name}")
    )
    asyncio.run(executor.run())
