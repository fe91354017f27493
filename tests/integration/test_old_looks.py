"""Looks that found everything in order go after a while; what was amiss stays, and the newest of each account (ADR 0004)."""

from datetime import timedelta

import pytest
import pytest_asyncio

from services.risk_monitor import actions
from shared.db.engine import Database
from tests.conftest import Connect
from tests.factories import CLOCK, Desk

pytestmark = pytest.mark.integration
OLD = f"clock_timestamp() - interval '{actions.LOOKS_KEPT.days} days 1 hour'"
YOUNG = f"clock_timestamp() - interval '{actions.LOOKS_KEPT.days} days' + interval '1 hour'"
EXACT, INEXACT = '{"cash_exact": 1}', '{"cash_exact": 0}'


@pytest_asyncio.fixture
async def database(db: Connect) -> Database:
    return await db(role="risk_monitor")


async def drop(database: Database) -> int | None:
    return await actions.drop_old_looks(database, now=CLOCK.now(), instance="one")


def asserted(desk: Desk, at: str, *, held: bool) -> None:
    desk.owner.execute(
        f"INSERT INTO assertion_results (assertion, account_id, mode, held, at) VALUES (1, %s, %s, %s, {at})",
        [desk.account, desk.mode, held],
    )


def verified(desk: Desk, at: str, *, agreed: bool) -> None:
    desk.owner.execute(
        f"INSERT INTO position_verifications (account_id, mode, verified, at) VALUES (%s, %s, %s, {at})",
        [desk.account, desk.mode, agreed],
    )


def compared(desk: Desk, at: str, found: str, *, mismatches: int = 0, error: str | None = None) -> int:
    return int(
        desk.one(
            "INSERT INTO reconciliation_runs (account_id, mode, kind, started_at, finished_at, compared, mismatches, error)"
            f" VALUES (%s, %s, 'CONTINUOUS', {at}, {at}, %s, %s, %s) RETURNING run_id",
            *(desk.account, desk.mode, found, mismatches, error),
        )["run_id"]
    )


async def test_an_assertion_that_held_goes_and_one_that_failed_stays(desk: Desk, database: Database) -> None:
    asserted(desk, OLD, held=True)
    asserted(desk, OLD, held=False)
    asserted(desk, YOUNG, held=True)
    assert await drop(database) == 1
    assert [row["held"] for row in desk.all("SELECT held FROM assertion_results ORDER BY at")] == [
        False,
        True,
    ]


async def test_the_last_verification_that_agreed_stays_however_old(desk: Desk, database: Database) -> None:
    """It says since when nobody has seen the holdings."""
    for agreed in (True, True, False):
        verified(desk, OLD, agreed=agreed)
    assert await drop(database) == 1
    rows = desk.all("SELECT verified FROM position_verifications ORDER BY at")
    assert [row["verified"] for row in rows] == [True, False]


async def test_the_last_clean_and_the_last_exact_comparison_stay(desk: Desk, database: Database) -> None:
    compared(desk, OLD, EXACT)
    exact = compared(desk, OLD, EXACT)
    compared(desk, OLD, INEXACT)
    differing = compared(desk, OLD, INEXACT, mismatches=1)
    failed = compared(desk, OLD, INEXACT, error="no answer")
    clean = compared(desk, OLD, INEXACT)
    assert await drop(database) == 2
    rows = desk.all("SELECT run_id FROM reconciliation_runs ORDER BY run_id")
    assert [row["run_id"] for row in rows] == [exact, differing, failed, clean]


@pytest.mark.usefixtures("desk")
async def test_two_monitors_drop_once_an_hour(database: Database) -> None:
    now = CLOCK.now()
    assert await actions.drop_old_looks(database, now=now, instance="one") == 0
    assert await actions.drop_old_looks(database, now=now, instance="two") is None
    later = now + timedelta(hours=1)
    assert await actions.drop_old_looks(database, now=later, instance="two") == 0


async def test_a_large_heap_goes_in_parts(desk: Desk) -> None:
    for _ in range(5):
        asserted(desk, OLD, held=True)
    ask = "SELECT drop_old_looks('30 days', 2)"
    assert [desk.do("risk_monitor", ask) for _ in range(4)] == [2, 2, 1, 0]
