"""One run: everybody starts, executors are stopped, thawed and killed, connections cut; at rest the history is judged."""

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import psycopg

from shared.db.lock import EXECUTOR_LOCK_KEY
from tests.conftest import REPOSITORY
from tests.processes import until
from tests.simulation.history import clients, venue
from tests.simulation.history.checker import Violation, stops
from tests.simulation.history.clients import Client
from tests.simulation.history.operations import End, Operation, read
from tests.simulation.history.rows import Rows, read_rows
from tests.simulation.history.rules import check
from tests.simulation.history.street import MODE, open_street
from tests.simulation.history.venue import Sent, find_out_once, is_at_rest, trade

EXECUTORS = 2
REST_WITHIN_S = 40.0
FROZEN_S = (0.3, 1.3, 2.0)
"""Shorter and longer than the server's patience with a silent lock session."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run was, and what is wrong with it."""

    seed: int
    history: Sequence[Operation]
    rows: Rows
    violations: Sequence[Violation]
    nemesis: Counter[str]

    def counts(self) -> Counter[str]:
        """How many operations of each kind ended how."""
        return Counter(
            f"{each.function} {each.end}"
            for each in self.history
            if each.function != "take_epoch" or each.end is End.OK
        )


@dataclass(slots=True)
class Nemesis:
    """What goes wrong: one thing every moment, to the executors or to anybody's connection."""

    seed: int
    path: Path
    url: str
    owner: psycopg.Connection[tuple[object, ...]]
    ended: threading.Event
    did: Counter[str] = field(default_factory=Counter)
    running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    _names: "itertools.count[int]" = field(default_factory=itertools.count)

    def start(self) -> None:
        """Start whichever executor is not running."""
        for place in range(EXECUTORS):
            old = self.running.get(place)
            if old is not None and old.poll() is None:
                continue
            self.did["executors started"] += 1
            name = f"executor-{place}.{next(self._names)}"
            if old is not None:
                old.wait()
            with (self.path.parent / f"{name}.log").open("wb") as log:
                self.running[place] = subprocess.Popen(
                    [
                        *(sys.executable, "-m", "tests.simulation.history.executor"),
                        *(name, str(self.seed), str(self.path), self.url),
                    ],
                    cwd=REPOSITORY,
                    env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                    stdout=log,
                    stderr=log,
                )

    def rage(self) -> None:
        """Do harm until the run is over."""
        chance = Random(f"{self.seed}/nemesis")
        harms: tuple[Callable[[Random], None], ...] = (
            *(
                self._freeze,
                self._freeze,
                self._freeze,
                self._cut_lock,
                self._cut_anyone,
                self._cut_anyone,
                self._kill,
            ),
        )
        while not self.ended.wait(chance.choice((0.3, 0.8, 1.2))):
            chance.choice(harms)(chance)
            self.start()

    def stop(self) -> None:
        """End every executor, the frozen ones, too."""
        for process in self.running.values():
            process.kill()
            process.wait(timeout=15)

    def _freeze(self, chance: Random) -> None:
        victim = chance.choice(list(self.running.values()))
        victim.send_signal(signal.SIGSTOP)
        self.did["freezes"] += 1
        self.ended.wait(chance.choice(FROZEN_S))
        victim.send_signal(signal.SIGCONT)

    def _kill(self, chance: Random) -> None:
        chance.choice(list(self.running.values())).kill()
        self.did["kills"] += 1

    def _cut_lock(self, chance: Random) -> None:
        del chance
        self._cut("lock sessions cut", "application_name LIKE 'lock_%'")

    def _cut_anyone(self, chance: Random) -> None:
        del chance
        self._cut("connections cut", "usename LIKE 'onebook_%' AND application_name NOT LIKE 'lock_%'")

    def _cut(self, what: str, which: str) -> None:
        row = self.owner.execute(
            f"SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            f" AND {which} ORDER BY random() LIMIT 1) x"
        ).fetchone()
        self.did[what] += row is not None


RoleUrl = Callable[[str], str]


def run(owner_url: str, role_url: RoleUrl, folder: Path, *, seed: int, operations: int) -> Outcome:
    """Run until so many operations were asked for, come to rest, and judge."""
    open_street(owner_url)
    path = folder / "history.jsonl"
    path.touch()
    sent, ended = Sent(path, seed), threading.Event()
    with (
        psycopg.connect(owner_url, autocommit=True) as owner,
        _executors(Nemesis(seed, path, role_url("onebook_execution"), owner, ended)) as nemesis,
        ThreadPoolExecutor(16) as pool,
    ):

        def client(name: str, url: str, work: Callable[[Client], None]) -> Future[None]:
            return pool.submit(_work, Client(name, url, seed, path, ended), work)

        jobs = [client(name, role_url(f"onebook_{role}"), work) for name, role, work in clients.ROLES]
        jobs += [
            client("signals", owner_url, venue.signals),
            client("marks", role_url("onebook_reconciler"), venue.marks),
            client("channel", role_url("onebook_execution"), partial(venue.channel, sent=Sent(path, seed))),
            client("reconciler", role_url("onebook_reconciler"), partial(venue.find_out, sent=sent)),
            pool.submit(nemesis.rage),
        ]
        try:
            until(
                f"{operations} operations",
                lambda: sent.operations >= operations or any(job.done() for job in jobs),
                within_s=60 + operations / 20,
            )
        finally:
            ended.set()
        for job in jobs:
            job.result(timeout=30)
        nemesis.stop()
        rest = partial(_come_to_rest, owner, sent=Sent(path, seed))
        _work(Client("last", owner_url, seed, path, threading.Event()), rest)
        history, rows = read(path), read_rows(owner_url, MODE)
        return Outcome(seed, history, rows, check(history, rows), nemesis.did)


def _work(client: Client, work: Callable[[Client], None]) -> None:
    try:
        work(client)
    finally:
        client.close()


@contextmanager
def _executors(nemesis: Nemesis) -> Iterator[Nemesis]:
    nemesis.start()
    try:
        yield nemesis
    finally:
        nemesis.ended.set()
        nemesis.stop()


def _come_to_rest(owner: psycopg.Connection[tuple[object, ...]], last: Client, sent: Sent) -> None:
    """A last epoch holds what the dead were sending; then everything that is open is found out."""
    until(
        "the lock is free",
        lambda: last.ask("SELECT pg_try_advisory_lock(%s)", EXECUTOR_LOCK_KEY) == [(True,)],
    )
    last.call("take_epoch", {}, "SELECT take_epoch('last')")

    def rests() -> bool:
        find_out_once(last, sent)
        here = {
            row[0] for row in last.ask("SELECT order_id FROM fills WHERE state IN ('CONFIRMED', 'FAILED')")
        }
        for order, drawn in sent.fates.items():
            if drawn.shares > 0 and order not in here:
                trade(last, sent.fates, order, drawn.final)
        return is_at_rest(owner, sent)

    until("the street is at rest", rests, within_s=REST_WITHIN_S)


def late_ms(history: Sequence[Operation], function: str) -> list[float]:
    """For each switch thrown: milliseconds from its answer to the last act of this kind begun while it held; 0 for none."""
    acts = [each for each in history if each.function == function and each.end is End.OK]
    late = []
    for stop, until_at in stops(history):
        if stop.function != "control" or stop.completed_at is None:
            continue
        account_of = {
            each.value["order"]: each.value["account"] for each in history if each.function == "claim"
        }
        begun = [
            each.invoked_at - stop.completed_at
            for each in acts
            if stop.completed_at < each.invoked_at
            and each.last_at < until_at  # else it may have waited for the lift
            and account_of.get(each.value["order"]) == stop.value["account"]
        ]
        late.append(max(begun, default=0.0) * 1000)
    return late
