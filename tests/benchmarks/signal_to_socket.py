"""From a signal's commit to the first byte of its order on the venue's socket, beside the floor and beside a queue.

Three ways take turns, one signal each, on one Postgres and into one receiver: execution in LIVE as its own process; the
bare script of ``floor``; and a procrastinate job, which is only the hop from its deferral to its first line. Times begin with
the server's own commit timestamp (the job's also with the call that defers it), and are of the one clock of the machine.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

import procrastinate
import psycopg
from pydantic import SecretStr

from shared.domain.ids import SignalId, TokenId, order_salt
from shared.runtime.clock import SystemClock
from shared.venue.onboarding import credentials
from shared.venue.order_struct import domain_for, is_v2_position_id
from shared.venue.signing import OrderSigner
from shared.venue.urls import VenueUrls
from tests.benchmarks.companion import Companion, companion
from tests.benchmarks.figures import Findings, percentile, table
from tests.benchmarks.ground import Ground
from tests.benchmarks.street import Deployment, a_venue, deployed, relay_to
from tests.factories import CLOCK
from tests.processes import Venue, until

ACCOUNTS = 5
SIGNALS = 220
WARM_UP = 15
LOOK_EVERY_S = 0.5
QUIET_S = 0.08
DEFERRED = (
    "SELECT pg_xact_commit_timestamp(xmin) FROM procrastinate_events WHERE job_id = %s AND type = 'deferred'"
)
LISTENING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"


def since_ms(began: datetime, seen: Mapping[str, Any]) -> float:
    """Return the milliseconds between a moment and what a companion saw: one machine, one clock."""
    return (datetime.fromisoformat(seen["at"]) - began).total_seconds() * 1000


@dataclass
class Times:
    """Milliseconds of each way, in the order they were taken."""

    onebook: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)
    queue: list[float] = field(default_factory=list)
    queue_from_commit: list[float] = field(default_factory=list)
    unsent: list[str] = field(default_factory=list)
    """Why an order did not go out: on a machine that is late, the send's deadline does its work."""


def measure(ground: Ground) -> Findings:
    with ExitStack() as stack:
        market = stack.enter_context(a_venue(ground))
        ours = stack.enter_context(deployed(ground, market, accounts=ACCOUNTS))
        bare = stack.enter_context(deployed(ground, market, accounts=ACCOUNTS, name="floor"))
        relay, clob_url = stack.enter_context(relay_to(market.urls["clob_url"]))
        process = stack.enter_context(ours.executing(ours.environment(clob_url)))
        ours.lead(process, after=ours.epoch())
        floor = stack.enter_context(_floor(bare, market, clob_url))
        queue = stack.enter_context(_queue(ground))
        times = Times()
        for number in range(SIGNALS + WARM_UP):
            ours.refresh()
            bare.refresh()
            sent = _ours(ours, relay)
            if isinstance(sent, str):
                times.unsent.append(sent)
                continue
            took, order = sent
            _rest(relay)
            again = _floor_turn(bare, floor, relay, order)
            _rest(relay)
            hop, hop_from_commit = queue.turn(number)
            _rest(relay)
            if number >= WARM_UP:
                times.onebook.append(took)
                times.floor.append(again)
                times.queue.append(hop)
                times.queue_from_commit.append(hop_from_commit)
    return _findings(times)


def _rest(relay: Companion) -> None:
    """Let whoever had a turn finish what follows it, so that nobody runs on another's time; no second order comes."""
    assert relay.hear_if_any(within_s=QUIET_S) is None, "an order nobody asked for"


def _ours(deployment: Deployment, relay: Companion) -> tuple[float, dict[str, Any]] | str:
    """Have execution send one order; returns milliseconds and the order's row, or why the Book says none was sent."""
    said = deployment.say(deployment.next_place(), price=deployment.ask())

    def look() -> dict[str, Any] | str | None:
        heard = relay.hear_if_any(within_s=LOOK_EVERY_S)
        if heard is not None:
            return cast("dict[str, Any]", heard)
        deployment.reconcile()  # a machine that is very late changes its executor
        return deployment.why_unsent(said)

    first = until("the order is sent, or is not to be", look)
    if isinstance(first, str):
        return first
    assert first["salt"] == order_salt(SignalId(said.signal_id)), "another order than this signal's"
    order = deployment.settled(said)
    return since_ms(deployment.committed_at(said), first), order


def _floor_turn(deployment: Deployment, floor: Companion, relay: Companion, order: dict[str, Any]) -> float:
    """Let the floor send an order like ``order``, for a signal like its own; returns milliseconds."""
    place = deployment.next_place()
    given = _given(order, place.signal_id)
    floor.say(given)
    assert floor.hear() == "ready"
    _rest(relay)  # as cold as execution was at its turn: being told what to send is not part of the way
    said = deployment.say(place, price=order["limit_price"])
    first = relay.hear()
    assert first["salt"] == given["order"]["salt"]
    answer = floor.hear()["answer"]
    # The venue took it, or its price had moved on: either way the signature and the login were right.
    assert answer.get("success") or "no orders found" in answer["error"], answer
    return since_ms(deployment.committed_at(said), first)


def _given(order: dict[str, Any], signal_id: str) -> dict[str, Any]:
    """Return what the floor's claim is told: the arguments execution's claim had, for another signal."""
    return {
        "signal_id": signal_id,
        "maker_micro": int(order["maker_amount"] * 1_000_000),
        "taker_micro": int(order["taker_amount"] * 1_000_000),
        "evidence": json.dumps(order["gate_evidence"]),
        "order": {
            "position_id": f"pos-{signal_id}",
            "token_id": order["token_id"],
            "order_type": order["order_type"],
            "limit_price": str(order["limit_price"]),
            "maker_amount": str(order["maker_amount"]),
            "taker_amount": str(order["taker_amount"]),
            "salt": order_salt(SignalId(signal_id)),
            "timestamp_ms": int(CLOCK.now().timestamp() * 1000),
            "reserved_usdc": str(order["reserved_usdc"]),
            "cap_usdc": str(order["cap_usdc"]),
            "book": order["book_evidence"],
        },
    }


@contextmanager
def _floor(deployment: Deployment, market: Venue, clob_url: str) -> Iterator[Companion]:
    """Start the floor with a wallet of its own, logged in as execution logs in."""
    street = deployment.first
    key = json.loads(street.signing_keys())[street.desk.account]
    signer = OrderSigner(SecretStr(key["private_key"]), key["wallet"], key["signature_type"])
    market.ask("/accounts", {"address": signer.address, "signature_type": 3, "usdc": "1000"})
    login = asyncio.run(credentials(signer, VenueUrls(clob=market.urls["clob_url"]), SystemClock()))
    token = TokenId(street.window["up_token"])
    domain = domain_for(token, version="v2" if is_v2_position_id(token) else "v1", neg_risk=False)
    with companion("tests.benchmarks.floor") as floor:
        floor.say(
            {
                "url": deployment.book.role_url("onebook_execution"),
                "private_key": key["private_key"],
                "wallet": signer.wallet,
                "login": {
                    "address": login.address,
                    "api_key": login.api_key.get_secret_value(),
                    "secret": login.secret.get_secret_value(),
                    "passphrase": login.passphrase.get_secret_value(),
                },
                "separator": domain.separator.hex(),
                "clob_url": clob_url,
            }
        )
        epoch = floor.hear()["epoch"]
        assert deployment.desk.do("reconciler", "SELECT mark_reconciled(%s, '{}')", epoch)
        yield floor


@dataclass
class Queue:
    """procrastinate on the same server: a worker that listens, and the one who defers."""

    app: procrastinate.App
    worker: Companion
    looking: psycopg.Connection

    def turn(self, number: int) -> tuple[float, float]:
        """Defer one job; returns the milliseconds to its first line, from the call that defers and from its commit."""
        called_at = CLOCK.now()
        job = self.app.configure_task("hop").defer(number=number)
        started = self.worker.hear()
        assert started["number"] == number
        deferred = self.looking.execute(DEFERRED, [job]).fetchone()
        assert deferred is not None
        return since_ms(called_at, started), since_ms(deferred[0], started)


@contextmanager
def _queue(ground: Ground) -> Iterator[Queue]:
    url = ground.database("queue")
    connector = procrastinate.SyncPsycopgConnector(conninfo=url)
    app = procrastinate.App(connector=connector)
    with app.open():
        app.schema_manager.apply_schema()
        with (
            companion("tests.benchmarks.queue_worker", url) as worker,
            psycopg.connect(url, autocommit=True) as looking,
        ):
            until("the worker listens", lambda: looking.execute(LISTENING).fetchall())
            yield Queue(app, worker, looking)


def _findings(times: Times) -> Findings:
    ours, floor = (
        {percent: percentile(values, percent) for percent in (50, 99)}
        for values in (times.onebook, times.floor)
    )
    hop = percentile(times.queue, 50)
    ratio = {percent: ours[percent] / floor[percent] for percent in (50, 99)}
    rows = [
        (name, *(f"{percentile(values, percent):.2f}" for percent in (5, 50, 90, 99, 100)))
        for name, values in (
            ("onebook: gate, claim, signature, send", times.onebook),
            ("floor: the same claim and signature, nothing else", times.floor),
            ("procrastinate: defer to start, no work", times.queue),
            ("the same from the deferral's commit", times.queue_from_commit),
        )
    ]
    text = (
        f"  signal's commit to the order's first byte on the venue's socket, {len(times.onebook)} of each in turns, ms\n"
        + table(("", "p5", "p50", "p90", "p99", "most"), rows)
        + f"\n  ratio to the floor: p50 {ratio[50]:.2f} (target 1.5), p99 {ratio[99]:.2f} (target 2);"
        f" below procrastinate's one hop: {'yes' if ours[50] < hop else 'no'}"
        + (f"\n  not sent, and not counted: {', '.join(times.unsent)}" if times.unsent else "")
    )
    figures = {
        "signal_to_socket_p50_ratio": round(ratio[50], 3),
        "signal_to_socket_p99_ratio": round(ratio[99], 3),
        "signal_to_socket_p50_ms": round(ours[50], 3),
        "signal_to_socket_p99_ms": round(ours[99], 3),
        "floor_p50_ms": round(floor[50], 3),
        "floor_p99_ms": round(floor[99], 3),
        "procrastinate_hop_p50_ms": round(hop, 3),
        "procrastinate_hop_from_commit_p50_ms": round(percentile(times.queue_from_commit, 50), 3),
    }
    return Findings(figures, text)
