"""How long the venue still hears from us after a person has stopped trading.

Signals stream into one account; in their midst PAUSE, FLATTEN or EMERGENCY is set. What counts is the last order whose
first byte reaches the venue's socket after that, against the server's timestamp of the switch's commit: zero when none
does.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.domain.ids import SignalId, order_salt
from tests.benchmarks.companion import Companion
from tests.benchmarks.figures import Findings, histogram, percentile, table
from tests.benchmarks.ground import Ground
from tests.benchmarks.street import WINDOWS, Deployment, Place, Said, a_venue, deployed, relay_to
from tests.processes import until

ACCOUNTS = 5
BURST = 4
"""Signals of one trial: so many are on their way when the switch comes."""
SWITCHES = ("PAUSE", "FLATTEN", "EMERGENCY")
EDGES_MS = (0, 1, 2, 3, 5, 10, 20, 50, 100)
QUIET_S = 0.3
LATEST_MS = 100.0
"""No send begins later than this after its claim, and no claim after the switch (E3, R7)."""


@dataclass
class Trials:
    """Milliseconds of each trial."""

    took_ms: list[float] = field(default_factory=list)
    sends_after: int = 0
    stopped: int = 0
    faults: list[str] = field(default_factory=list)


def measure(ground: Ground) -> Findings:
    trials = Trials()
    with ExitStack() as stack:
        market = stack.enter_context(a_venue(ground))
        deployment = stack.enter_context(deployed(ground, market, accounts=ACCOUNTS))
        relay, clob_url = stack.enter_context(relay_to(market.urls["clob_url"]))
        process = stack.enter_context(deployment.executing(deployment.environment(clob_url)))
        deployment.lead(process, after=deployment.epoch())
        number = 0
        for first in range(0, WINDOWS - BURST + 1, BURST):
            windows = deployment.windows[first : first + BURST]
            for street in deployment.streets:
                deployment.refresh()
                deployment.reconcile()
                places = [Place(street.desk, window) for window in windows]
                _try(deployment, relay, places, SWITCHES[number % len(SWITCHES)], trials)
                number += 1
    return _findings(trials)


def _try(deployment: Deployment, relay: Companion, places: list[Place], switch: str, trials: Trials) -> None:
    """Stream signals, set the switch between them, and set it off again once all is quiet."""
    desk = places[0].desk
    ask = deployment.ask()
    said = [deployment.say(place, price=ask) for place in places[:-1]]
    # Every other switch comes when the first order of its burst is seen to leave, the rest as early as may be.
    first = relay.hear_if_any(within_s=QUIET_S) if len(trials.took_ms) % 2 else None
    desk.control("kill_switch", switch)
    said.append(deployment.say(places[-1], price=ask))
    posts = [] if first is None else [first]
    while (post := relay.hear_if_any(within_s=QUIET_S)) is not None:
        posts.append(post)
    until("every signal is decided", lambda: _decided(deployment, said))
    stopped = desk.one(
        "SELECT pg_xact_commit_timestamp(xmin) AS at FROM control_history"
        " WHERE account_id = %s AND key = 'kill_switch' ORDER BY id DESC LIMIT 1",
        desk.account,
    )["at"]
    ours = {order_salt(SignalId(each.signal_id)): each for each in said}
    after = [(datetime.fromisoformat(post["at"]) - stopped).total_seconds() * 1000 for post in posts]
    late = [ms for ms in after if ms > 0]
    trials.took_ms.append(max(late, default=0.0))
    trials.sends_after += len(late)
    trials.stopped += len(said) - len(posts)
    trials.faults += [f"a send began {ms:.1f} ms after {switch}" for ms in late if ms > LATEST_MS]
    if order_salt(SignalId(said[-1].signal_id)) in {post["salt"] for post in posts}:
        trials.faults.append(f"a signal made after {switch} was sent")
    if unknown := {post["salt"] for post in posts} - set(ours):
        trials.faults.append(f"orders nobody asked for: {unknown}")
    desk.control("kill_switch", "OFF")


def _decided(deployment: Deployment, said: list[Said]) -> bool:
    found: dict[str, Any] = deployment.desk.one(
        "SELECT count(*) AS open FROM signals s LEFT JOIN orders o USING (signal_id) WHERE s.signal_id = ANY(%s)"
        " AND (s.state = 'NEW' OR o.state = 'SUBMITTING')",
        [each.signal_id for each in said],
    )
    return bool(found["open"] == 0)


def _findings(trials: Trials) -> Findings:
    took = trials.took_ms
    row = (
        "last send after the switch",
        len(took),
        *(f"{percentile(took, p):.2f}" for p in (50, 90, 99, 100)),
    )
    text = (
        "  from the switch's commit to the last send begun after it, ms; 0: none was\n"
        + table(("", "trials", "p50", "p90", "p99", "most"), [row])
        + f"\n  {trials.sends_after} sends began after a switch, {trials.stopped} signals were stopped by one\n"
        + histogram(took, EDGES_MS, "ms")
    )
    figures = {
        "kill_switch_ms_p50": round(percentile(took, 50), 3),
        "kill_switch_ms_p99": round(percentile(took, 99), 3),
        "kill_switch_trials": len(took),
        "kill_switch_ms": [round(each, 3) for each in took],
    }
    return Findings(figures, text, tuple(trials.faults))
