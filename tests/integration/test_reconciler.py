"""The reconciler's start and its paper settlement on a real Book, as its own role."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from services.reconciler import actions
from services.reconciler.actions import Run
from services.reconciler.asking import VenueDesk
from services.reconciler.decide.differences import Difference, Kind
from services.reconciler.loops import Comparison, Heart, Progress, Startup
from shared.bus.listen import Wakeup
from shared.db.lock import EXECUTOR_LOCK_KEY
from shared.domain.ids import AccountId
from shared.domain.modes import Mode
from shared.runtime.clock import SystemClock
from shared.venue.reading import PublicReading
from shared.venue.urls import VenueUrls
from tests.factories import Desk, order_hash

pytestmark = pytest.mark.integration
NOWHERE = VenueUrls(clob="http://127.0.0.1:9", gamma="http://127.0.0.1:9", data="http://127.0.0.1:9")


@pytest.fixture
def live(database_url: str, role_url: Callable[[str], str]) -> Iterator[Desk]:
    with Desk(role_url, database_url, mode="LIVE") as opened:
        yield opened


@pytest.fixture
async def database(db):
    return await db(role="reconciler")


@pytest.fixture
async def comparison(database):
    clock = SystemClock()
    async with PublicReading(NOWHERE, clock) as public:
        yield Comparison(database, VenueDesk(public, {}, {}, clock), clock, Progress())


@pytest.fixture
def startup(database, comparison):
    return Startup(
        database, Wakeup(frozenset({"gate_changed"})), comparison, comparison.clock, comparison.progress
    )


def new_epoch(desk: Desk) -> int:
    """A successor takes the lock; nobody has compared for it yet."""
    assert desk.do("execution", "SELECT pg_try_advisory_lock(%s)", EXECUTOR_LOCK_KEY)
    return desk.do("execution", "SELECT take_epoch('next')")


def epoch_row(desk: Desk) -> dict:
    return desk.one("SELECT * FROM executor_epochs ORDER BY epoch DESC LIMIT 1")


async def test_a_new_epoch_is_compared_and_may_then_claim(desk, startup):
    new_epoch(desk)
    signal = desk.signal(desk.window())
    assert desk.claim(signal, epoch=2).refused == "RECONCILIATION_PENDING"
    assert await startup.reconcile_epoch() == 2
    assert epoch_row(desk)["reconciled_summary"]["desk/PAPER"] == {
        "book": [],
        "mismatches": [],
        "error": None,
    }
    assert desk.claim(desk.signal(desk.window()), epoch=2).refused is None
    assert await startup.reconcile_epoch() is None
    runs = desk.all("SELECT mode, kind, mismatches FROM reconciliation_runs WHERE epoch = 2 ORDER BY mode")
    assert [(row["mode"], row["kind"], row["mismatches"]) for row in runs] == [
        (mode, "STARTUP", 0) for mode in ("DRY_RUN", "LIVE", "PAPER")
    ]


async def test_a_broken_ledger_is_marked_and_stands_tripped(desk, startup):
    desk.hold()
    desk.owner.execute(
        "UPDATE ledger_balances SET balance = balance + 1 WHERE bucket = 'CASH' AND mode = 'PAPER'"
    )
    new_epoch(desk)
    await startup.reconcile_epoch()
    assert desk.gate()["breaker_reason"] == "CAPITAL_INVARIANT"
    assert epoch_row(desk)["reconciled_summary"]["desk/PAPER"]["book"] == [
        "CASH: stored 98.950000, folded 97.950000"
    ]
    assert epoch_row(desk)["reconciled_at"] is not None


async def test_a_live_account_nobody_can_read_stands_tripped_and_holds_up_nobody_else(live, startup):
    live.hold()
    new_epoch(live)
    await startup.reconcile_epoch()
    assert live.gate()["breaker_reason"] == "RECONCILIATION_MISMATCH"
    assert epoch_row(live)["reconciled_at"] is not None
    run = live.one("SELECT * FROM reconciliation_runs WHERE mode = 'LIVE'")
    assert "ACCOUNT_CREDENTIALS names no such account" in run["error"]
    assert live.one("SELECT breaker FROM trading_gate WHERE mode = 'PAPER'")["breaker"] == "CLOSED"


async def test_a_live_account_that_never_traded_needs_no_credentials(desk, startup, comparison, database):
    new_epoch(desk)
    await startup.reconcile_epoch()
    await Heart(database, "one", comparison).beat()
    assert desk.one("SELECT breaker FROM trading_gate WHERE mode = 'LIVE'")["breaker"] == "CLOSED"
    assert desk.one("SELECT healthy FROM heartbeats WHERE service = 'reconciler' AND instance = 'one'")[
        "healthy"
    ]


async def test_a_live_position_nobody_compares_makes_the_reconciler_unfit(live, comparison, database):
    live.hold()
    await Heart(database, "one", comparison).beat()
    beat = live.one("SELECT * FROM heartbeats WHERE service = 'reconciler' AND instance = 'one'")
    assert not beat["healthy"]
    assert beat["details"]["problems"] == ["desk/LIVE was not compared"]


def found(*subjects: str) -> Run:
    differences = [Difference(Kind.TRADE_UNWRITTEN, subject) for subject in subjects]
    return Run((AccountId("desk"), Mode.PAPER), None, SystemClock().now(), {}, differences)


async def test_what_we_never_wrote_stays_open_out_of_sight_until_it_is_written(desk, database):
    written = desk.enter().order_id
    ghost = order_hash("ghost")
    assert [each.subject for each in await actions.finish_run(database, found(written, ghost))] == [
        written,
        ghost,
    ]
    assert await actions.finish_run(database, found(ghost)) == [], "an open one is not opened again"
    await actions.finish_run(database, found())
    still = desk.all("SELECT subject FROM discrepancies WHERE resolved_at IS NULL")
    assert [row["subject"] for row in still] == [ghost]


async def test_a_comparison_that_failed_closes_no_discrepancy(desk, database):
    await actions.finish_run(database, replace(found(), differences=[Difference(Kind.CASH_MORE, "USDC")]))
    await actions.finish_run(database, replace(found(), error="no answer"))
    assert desk.one("SELECT resolved_at FROM discrepancies")["resolved_at"] is None
    await actions.finish_run(database, found())
    assert desk.one("SELECT resolved_at FROM discrepancies")["resolved_at"] is not None


async def test_two_reconcilers_compare_once_a_period(database):
    first = await actions.claim_comparison(database, AccountId("desk"), period="000000000002", instance="one")
    again = await actions.claim_comparison(database, AccountId("desk"), period="000000000002", instance="two")
    later = await actions.claim_comparison(database, AccountId("desk"), period="000000000004", instance="two")
    assert (first, again, later) == (True, False, True)
