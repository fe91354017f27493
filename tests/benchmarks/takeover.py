"""How long nobody leads: from the leader's death, freeze or cut-off to its standby's epoch.

Real processes: one leads, others stand by. Killed ones are replaced, frozen ones are thawed and cut-off ones are joined
again once another leads; then each must have claimed nothing and begun no send since it lost the lock.
"""

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.domain.ids import SignalId, order_salt
from tests.benchmarks.companion import Companion
from tests.benchmarks.figures import Findings, percentile, table
from tests.benchmarks.ground import Ground
from tests.benchmarks.street import Deployment, Said, a_venue, deployed, relay_to
from tests.factories import CLOCK
from tests.processes import Running, until

KILLS = 50
FREEZES = 50
CUTS = 6
STANDBYS = 2
SILENT_S = 0.05


@dataclass
class Trader:
    """One execution process."""

    name: str
    process: Running
    passage: Companion | None = None
    """Its own way to Postgres, when that can be cut."""


@dataclass
class Scene:
    """A deployment with one who leads and those who stand by."""

    deployment: Deployment
    orders: Companion
    clob_url: str
    traders: dict[str, Trader] = field(default_factory=dict)
    names: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    posts: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    restarted: int = 0
    stack: ExitStack = field(default_factory=ExitStack)

    def epoch(self) -> dict[str, Any]:
        return self.deployment.desk.one("SELECT * FROM executor_epochs ORDER BY epoch DESC LIMIT 1")

    def leader(self) -> Trader:
        return self.traders[self.epoch()["instance"]]

    def standing_by(self) -> set[str]:
        """Return the traders whose session asks for the lock, the leader's among them."""
        rows = self.deployment.desk.all(
            "SELECT application_name AS name FROM pg_stat_activity WHERE application_name LIKE 'lock\\_%%'"
            " AND datname = current_database()"
        )
        return {row["name"].removeprefix("lock_") for row in rows}

    def wait_for_standbys(self) -> None:
        """Wait until all are there; one that has ended is started again, as its platform would do."""

        def look() -> bool:
            for trader in [each for each in self.traders.values() if each.process.process.poll() is not None]:
                del self.traders[trader.name]
                self.restarted += 1
                join(self, cuttable=trader.passage is not None)
            return self.standing_by() >= set(self.traders) and self.epoch()["instance"] in self.traders

        until("every trader leads or stands by", look, within_s=90)

    def followed(self, since: datetime, last: int) -> float:
        """Wait for the next epoch, say that it is compared; returns the seconds nobody led."""

        def look() -> dict[str, Any] | None:
            found = self.epoch()
            return found if found["epoch"] > last else None

        epoch = until("a standby leads", look)
        self.deployment.reconcile()
        return float((epoch["taken_at"] - since).total_seconds())

    def hear_posts(self) -> list[dict[str, Any]]:
        while (post := self.orders.hear_if_any(within_s=SILENT_S)) is not None:
            self.posts.append(post)
        return self.posts


def measure(ground: Ground) -> Findings:
    with ExitStack() as stack:
        market = stack.enter_context(a_venue(ground))
        deployment = stack.enter_context(deployed(ground, market, accounts=3))
        orders, clob_url = stack.enter_context(relay_to(market.urls["clob_url"]))
        scene = Scene(deployment, orders, clob_url)
        with scene.stack:
            for _ in range(1 + STANDBYS):
                join(scene)
            scene.wait_for_standbys()
            frozen = [_freeze(scene) for _ in range(FREEZES)]
            killed = [_kill(scene) for _ in range(KILLS)]
            scene.traders.clear()
        with scene.stack:
            for _ in range(2):
                join(scene, cuttable=True)
            scene.wait_for_standbys()
            cut = [_cut(scene) for _ in range(CUTS)]
            scene.traders.clear()
        _check_no_send_twice(scene)
    return _findings(killed, frozen, cut, scene)


def join(scene: Scene, *, cuttable: bool = False) -> None:
    """Start one more trader; its log and its way to Postgres are its own."""
    name = f"trader{next(scene.names)}"
    environment = scene.deployment.environment(scene.clob_url)
    passage = None
    if cuttable:
        passage, url = scene.stack.enter_context(relay_to(environment["DATABASE_URL"]))
        environment["DATABASE_URL"] = url
    process = scene.stack.enter_context(scene.deployment.executing(environment, name))
    scene.traders[name] = Trader(name, process, passage)


def _kill(scene: Scene) -> float:
    """kill -9 the leader; returns the seconds until a standby leads. The dead one is replaced meanwhile."""
    scene.wait_for_standbys()
    last, leader = scene.epoch()["epoch"], scene.leader()
    del scene.traders[leader.name]
    since = CLOCK.now()
    leader.process.process.kill()
    took = scene.followed(since, last)
    leader.process.process.wait(timeout=15)
    join(scene)
    return took


def _freeze(scene: Scene) -> float:
    """Stop the leader with SIGSTOP and thaw it once another leads; returns the seconds until then."""
    leader = scene.leader()
    number = leader.process.process.pid

    def stop() -> None:
        os.kill(number, signal.SIGSTOP)

    def thaw() -> None:
        os.kill(number, signal.SIGCONT)

    return _silence(scene, leader, stop, thaw)


def _cut(scene: Scene) -> float:
    """Let the leader's packets vanish between it and Postgres, and join it again once another leads."""
    leader = scene.leader()
    passage = leader.passage
    assert passage is not None

    def cut() -> None:
        passage.say("cut")
        assert passage.hear() == "done"

    def mend() -> None:
        passage.say("mend")
        assert passage.hear() == "done"

    return _silence(scene, leader, cut, mend)


def _silence(scene: Scene, leader: Trader, begin: Callable[[], None], end: Callable[[], None]) -> float:
    """Silence the leader, and give it a signal to act on the moment it can: its successor alone may."""
    scene.wait_for_standbys()
    last = scene.epoch()["epoch"]
    since = CLOCK.now()
    begin()
    took = scene.followed(since, last)
    said = _say(scene)
    end()
    order = until("the successor decides the signal", lambda: _order(scene, said))
    if order["epoch"] == last:
        scene.faults.append(f"{leader.name} claimed {said.signal_id} after it had lost the lock")
    scene.wait_for_standbys()
    return took


def _say(scene: Scene) -> Said:
    scene.deployment.refresh()
    return scene.deployment.say(scene.deployment.next_place(), price=scene.deployment.ask())


def _order(scene: Scene, said: Said) -> dict[str, Any] | None:
    """Return the order of a signal once it is answered; a signal that was refused has none, and that is no fault."""
    rows = scene.deployment.desk.all(
        "SELECT s.signal_id, o.epoch FROM signals s LEFT JOIN orders o USING (signal_id) WHERE s.signal_id = %s"
        " AND (s.state IN ('REFUSED', 'EXPIRED') OR o.state <> 'SUBMITTING')",
        said.signal_id,
    )
    return rows[0] if rows else None


def _check_no_send_twice(scene: Scene) -> None:
    """Compare what reached the venue's socket with the Book: each order once, and only what was claimed."""
    salts = [post["salt"] for post in scene.hear_posts()]
    for salt in {salt for salt in salts if salts.count(salt) > 1}:
        scene.faults.append(f"the order of salt {salt} was sent {salts.count(salt)} times")
    known = {
        order_salt(SignalId(row["signal_id"]))
        for row in scene.deployment.desk.all("SELECT signal_id FROM orders WHERE purpose = 'ENTRY'")
    }
    for salt in set(salts) - known:
        scene.faults.append(f"an order of salt {salt} was sent that nobody claimed")


def _findings(killed: list[float], frozen: list[float], cut: list[float], scene: Scene) -> Findings:
    rows = [
        (name, len(values), *(f"{percentile(values, percent):.2f}" for percent in (50, 90, 99, 100)))
        for name, values in (("kill -9", killed), ("SIGSTOP", frozen), ("packets vanish", cut))
    ]
    text = (
        "  from the leader's end to its standby's epoch, s (targets: kill -9 within 1, freeze or partition within 2)\n"
        + table(("", "trials", "p50", "p90", "p99", "most"), rows)
        + "\n  a thawed or rejoined one claimed nothing and began no send: "
        + ("no" if scene.faults else "yes")
        + f"; {scene.restarted} ended by themselves and were started again"
    )
    figures = {
        "takeover_s_p50": round(percentile(killed, 50), 3),
        "takeover_s_p99": round(percentile(killed, 99), 3),
        "takeover_frozen_s_p50": round(percentile(frozen, 50), 3),
        "takeover_frozen_s_p99": round(percentile(frozen, 99), 3),
        "takeover_cut_s_max": round(max(cut), 3),
        "takeover_trials": len(killed) + len(frozen) + len(cut),
    }
    return Findings(figures, text, tuple(scene.faults))
