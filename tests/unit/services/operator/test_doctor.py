from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.operator.actions import Proof
from services.operator.doctor import ROLES, SERVICES, Reading, examine
from services.operator.queries import AccountState, Ground, Heartbeat
from shared.db.queries.administration import LedgerDifference
from shared.domain.ids import AccountId
from shared.domain.modes import Mode

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ACCOUNT = AccountId("desk")
GROUND = Ground(
    now=NOW,
    role="onebook_operator",
    version=180_001,
    durable=True,
    revision="0001",
    oldest_code="0.1.0",
    partitions=("price_ticks_20261120", "price_ticks_20261121", "price_ticks_20261122"),
    roles=ROLES,
)
STATE = AccountState(
    ACCOUNT,
    Mode.PAPER,
    "CLOSED",
    None,
    "OFF",
    Mode.LIVE,
    halted=False,
    session_id=None,
    deposited=Decimal(100),
    cash=Decimal(100),
    reserved=Decimal(0),
    positions=Decimal(0),
    receivable=Decimal(0),
    gross_pnl=Decimal(0),
    fees=Decimal(0),
    open_count=0,
)
BEATS = tuple(Heartbeat(name, "one", Decimal("0.5"), healthy=True, details={}) for name in SERVICES)
WELL = Reading(
    ground=GROUND,
    own_now=NOW,
    head="0001",
    code="0.1.0",
    offsets_ms={"clob": Decimal(-120)},
    heartbeats=BEATS,
    states=(STATE,),
    epoch=(3, "execution", True),
    proofs=(Proof(ACCOUNT, Mode.PAPER, (), None),),
)


def wrong(reading: Reading) -> list[str]:
    return [finding.check for finding in examine(reading) if not finding.ok]


def ground(**fields: object) -> Reading:
    return replace(WELL, ground=replace(GROUND, **fields))


def beat(name: str, **fields: object) -> Reading:
    return replace(
        WELL, heartbeats=tuple(replace(each, **fields) if each.service == name else each for each in BEATS)
    )


def test_a_sound_deployment_has_nothing_wrong():
    assert wrong(WELL) == []


@pytest.mark.parametrize(
    ("reading", "check"),
    [
        (ground(version=140_012), "database"),
        (ground(durable=False), "durability"),
        (ground(roles=ROLES - {"onebook_execution"}), "roles"),
        (ground(revision=None), "migrations"),
        (ground(revision="0002"), "migrations"),
        (ground(oldest_code="0.2.0"), "code"),
        (ground(partitions=GROUND.partitions[:2]), "partitions"),
        (ground(now=NOW + timedelta(milliseconds=251)), "own clock"),
        (ground(now=NOW - timedelta(milliseconds=251)), "own clock"),
        (replace(WELL, offsets_ms={"clob": Decimal("-1000.1")}), "clock of clob"),
        (beat("reconciler", age_s=Decimal("10.1")), "reconciler"),
        (beat("feed_collector", healthy=False), "feed_collector"),
        (replace(WELL, heartbeats=BEATS[1:]), BEATS[0].service),
        (replace(WELL, epoch=None), "executor"),
        (replace(WELL, epoch=(3, "execution", False)), "executor"),
        (
            replace(WELL, states=(replace(STATE, breaker="OPEN", breaker_reason="DRAWDOWN"),)),
            "gate of desk PAPER",
        ),
        (replace(WELL, states=(replace(STATE, kill_switch="PAUSE"),)), "gate of desk PAPER"),
        (replace(WELL, states=(replace(STATE, halted=True),)), "gate of desk PAPER"),
        (
            replace(
                WELL,
                proofs=(
                    Proof(ACCOUNT, Mode.PAPER, (LedgerDifference("CASH", Decimal(1), Decimal(2)),), None),
                ),
            ),
            "ledger of desk PAPER",
        ),
        (replace(WELL, proofs=(Proof(ACCOUNT, Mode.PAPER, (), 7),)), "audit of desk"),
    ],
)
def test_each_fault_is_found_alone_and_comes_with_advice(reading: Reading, check: str):
    assert wrong(reading) == [check]
    found = next(finding for finding in examine(reading) if finding.check == check)
    assert found.advice


def test_a_service_that_trading_can_do_without_is_still_looked_at_once_seen():
    silent = Heartbeat("dashboard", "one", Decimal(60), healthy=True, details={})
    assert wrong(replace(WELL, heartbeats=(*BEATS, silent))) == ["dashboard"]
