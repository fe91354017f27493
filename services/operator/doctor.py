"""What is wrong with a deployment, and what to do about it: pure judgement over what was read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from services.operator.actions import Proof
from services.operator.queries import AccountState, Ground, Heartbeat
from shared.domain.preflight import Finding

SERVICES = ("feed_collector", "signal_engine", "execution", "risk_monitor", "reconciler")
"""Who must be alive for trading; the dashboard may be missed."""
ROLES = frozenset(f"onebook_{name}" for name in (*SERVICES, "dashboard", "operator", "backtesting", "owner"))
HEARTBEAT_AGE_MAX_S = Decimal(10)
OWN_OFFSET_MAX = timedelta(milliseconds=250)
VENUE_OFFSET_MAX_MS = Decimal(1000)
OLDEST_POSTGRES = 15
PARTITIONS_AHEAD_DAYS = 2
_VERSION_UNIT = 10_000


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything the doctor looks at, read at once."""

    ground: Ground
    own_now: datetime
    """Our clock half-way between question and answer."""
    head: str
    """The newest migration of this code."""
    code: str
    offsets_ms: Mapping[str, Decimal]
    heartbeats: Sequence[Heartbeat]
    states: Sequence[AccountState]
    epoch: tuple[int, str, bool] | None
    proofs: Sequence[Proof]


def examine(reading: Reading) -> list[Finding]:
    """Return every finding, in the order a person would look."""
    return [
        *_server(reading),
        *_schema(reading),
        *_clocks(reading),
        *services_found(reading.heartbeats),
        *_executor(reading),
        *_gates(reading.states),
        *_books(reading.proofs),
    ]


def _server(reading: Reading) -> Iterator[Finding]:
    ground = reading.ground
    major = ground.version // _VERSION_UNIT
    yield Finding(
        "database",
        major >= OLDEST_POSTGRES,
        f"PostgreSQL {major}, reached as {ground.role}",
        f"use PostgreSQL {OLDEST_POSTGRES} or newer",
    )
    yield Finding(
        "durability",
        ground.durable,
        "fsync, full_page_writes and synchronous_commit are on"
        if ground.durable
        else "a committed row may be lost",
        "turn fsync, full_page_writes and synchronous_commit on: LIVE refuses to start without",
    )
    missing = sorted(ROLES - ground.roles)
    yield Finding(
        "roles",
        not missing,
        "every service has its own" if not missing else f"missing: {', '.join(missing)}",
        "run `make migrate`: the first migration makes them",
    )


def _schema(reading: Reading) -> Iterator[Finding]:
    ground = reading.ground
    if ground.revision is None:
        found = f"{ground.role} sees no migration; this code is at {reading.head}"
    else:
        found = f"the Book is at {ground.revision}, this code at {reading.head}"
    yield Finding(
        "migrations",
        ground.revision == reading.head,
        found,
        "run `make migrate`; if the Book is ahead, run newer code",
    )
    if ground.oldest_code is not None:
        old = _release(reading.code) < _release(ground.oldest_code)
        yield Finding(
            "code",
            not old,
            f"this is {reading.code}, the Book takes {ground.oldest_code} or newer",
            "deploy a newer release",
        )
    today = ground.now.date()
    wanted = [
        f"price_ticks_{today + timedelta(days=ahead):%Y%m%d}" for ahead in range(PARTITIONS_AHEAD_DAYS + 1)
    ]
    missing = [name for name in wanted if name not in ground.partitions]
    yield Finding(
        "partitions",
        not missing,
        f"{len(ground.partitions)} days of ticks have a place"
        if not missing
        else f"missing: {', '.join(missing)}",
        "run `make partitions`",
    )


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _clocks(reading: Reading) -> Iterator[Finding]:
    offset = reading.own_now - reading.ground.now
    yield Finding(
        "own clock",
        abs(offset) <= OWN_OFFSET_MAX,
        f"{_ms(offset)} ms from the database's",
        "let both machines keep time with NTP",
    )
    for source, milliseconds in reading.offsets_ms.items():
        yield Finding(
            f"clock of {source}",
            abs(milliseconds) <= VENUE_OFFSET_MAX_MS,
            f"{milliseconds} ms from the database's",
            "no entry goes out beyond one second: let the database's machine keep time with NTP",
        )


def _ms(offset: timedelta) -> str:
    return f"{(offset / timedelta(microseconds=1)) / 1000:+.1f}"


def services_found(heartbeats: Sequence[Heartbeat]) -> Iterator[Finding]:
    """Yield a finding for each service that must live, and for each other one that was ever seen."""
    seen = {each.service: each for each in heartbeats}
    for name in (*SERVICES, *sorted(seen.keys() - set(SERVICES))):
        beat = seen.get(name)
        if beat is None:
            yield Finding(name, ok=False, found="it has never been seen", advice=_start(name))
        elif beat.age_s > HEARTBEAT_AGE_MAX_S:
            yield Finding(name, ok=False, found=f"silent for {beat.age_s:.1f} s", advice=_start(name))
        else:
            yield Finding(
                name,
                beat.healthy,
                f"{'healthy' if beat.healthy else 'NOT fit'}, {beat.age_s:.1f} s ago",
                f"read its /health and its log: {_told(beat.details)}",
            )


def _start(name: str) -> str:
    return f"start it: python -m services.{name}, or `docker compose up -d {name}`"


def _told(details: Mapping[str, object]) -> str:
    return ", ".join(f"{key}={value}" for key, value in details.items()) or "it gave no details"


def _executor(reading: Reading) -> Iterator[Finding]:
    if reading.epoch is None:
        yield Finding("executor", ok=False, found="nobody ever held the lock", advice=_start("execution"))
        return
    epoch, instance, reconciled = reading.epoch
    yield Finding(
        "executor",
        reconciled,
        f"epoch {epoch} of {instance}, {'' if reconciled else 'NOT YET '}compared with the venue",
        "nothing is claimed before the reconciler has compared: see its log",
    )


def _gates(states: Sequence[AccountState]) -> Iterator[Finding]:
    for state in states:
        stopped = [f"breaker OPEN ({state.breaker_reason})"] if state.breaker == "OPEN" else []
        stopped += [f"kill switch {state.kill_switch}"] if state.kill_switch != "OFF" else []
        stopped += ["halted"] if state.halted else []
        yield Finding(
            f"gate of {state.account} {state.mode}",
            not stopped,
            "; ".join(stopped) or "open",
            "understand why, then `breaker reset` or `resume`",
        )


def _books(proofs: Sequence[Proof]) -> Iterator[Finding]:
    for proof in proofs:
        differences = "; ".join(
            f"{each.what}: stored {each.stored}, entries say {each.folded}" for each in proof.differences
        )
        yield Finding(
            f"ledger of {proof.account} {proof.mode}",
            not proof.differences,
            differences or "every balance is the fold of its entries",
            "stop trading (`pause`) and find the first wrong entry before anything else",
        )
    for account, broken in {proof.account: proof.broken_event for proof in proofs}.items():
        yield Finding(
            f"audit of {account}",
            broken is None,
            "the chain is whole" if broken is None else f"the chain breaks at event {broken}",
            "someone changed history behind the Book's back: keep a copy of the database, then investigate",
        )
