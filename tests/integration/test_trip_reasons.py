"""Every reason a breaker can be opened for has a place that opens it, and a test that sees it (R1)."""

import re
from pathlib import Path

import pytest

from shared.domain.breaker import BLINDING, TripReason
from tests.factories import Desk
from tests.processes import Street, until, venue

pytestmark = pytest.mark.integration
REPOSITORY = Path(__file__).parents[2]
SQL = "".join(path.read_text() for path in (REPOSITORY / "alembic" / "sql").rglob("*.sql"))
CODE = "".join(path.read_text() for path in (REPOSITORY / "services").rglob("*.py"))
TESTS = "".join(
    path.read_text() for path in (REPOSITORY / "tests").rglob("test_*.py") if "unit" not in path.parts
)


@pytest.mark.parametrize("reason", TripReason)
def test_every_reason_has_a_place_that_trips_and_a_test_that_sees_it(reason):
    in_sql = re.search(rf"_trip\([^;]*'{reason}'", SQL)
    in_code = f"TripReason.{reason}" in CODE
    assert in_sql or in_code, f"nobody trips {reason}"
    assert f'"{reason}"' in TESTS or f"TripReason.{reason}" in TESTS, f"no test sees {reason}"


@pytest.mark.parametrize("reason", TripReason)
def test_every_reason_opens_the_breaker_with_its_context_and_only_a_person_closes_it(desk: Desk, reason):
    ask = 'SELECT trip_breaker(%s, %s, %s, \'{"why": "because"}\')'
    assert desk.do("risk_monitor", ask, desk.account, desk.mode, reason)
    assert not desk.do("execution", ask, desk.account, desk.mode, TripReason.MANUAL_TRIP), (
        "the first one stands"
    )
    gate = desk.gate()
    assert (gate["breaker"], gate["breaker_reason"]) == ("OPEN", reason)
    assert desk.claim(desk.signal(desk.window())).refused == "BREAKER_OPEN"
    desk.do("operator", "SELECT reset_breaker(%s, %s, 'alice', 'looked')", desk.account, desk.mode)
    history = desk.all("SELECT state, reason, actor, context FROM breaker_history ORDER BY id")
    first, last = history[0], history[-1]
    assert (first["state"], first["reason"], first["context"]) == ("OPEN", reason, {"why": "because"})
    assert (last["state"], last["actor"], last["reason"]) == ("CLOSED", "alice", "looked")


@pytest.mark.timeout(120)
def test_an_executor_that_may_not_act_in_the_mode_of_open_rows_trips_it_and_is_not_fit(
    database_url, role_url, tmp_path
):
    """Somebody's money is open and nobody minds it (D5)."""
    with (
        venue(tmp_path, SOURCE="generator", WINDOW_S="600", FIRST_OPEN_IN_S="1") as simulator,
        Desk(role_url, database_url, mode="DRY_RUN") as desk,
    ):
        desk.hold()
        desk.do("execution", "SELECT pg_advisory_unlock_all()")
        with Street(simulator, desk, tmp_path).executing(TRADING_MODE="PAPER"):
            until("the orphaned mode trips", lambda: desk.gate()["breaker_reason"] == "ORPHANED_MODE")
            until(
                "execution says it is not fit",
                lambda: desk.all("SELECT FROM heartbeats WHERE service = 'execution' AND NOT healthy"),
            )


def test_the_blinding_ones_are_the_same_in_the_book() -> None:
    listed = re.findall(r"g\.breaker_reason IN \(([^)]*)\)", SQL)
    assert listed
    for each in listed:
        assert set(re.findall(r"'(\w+)'", each)) == {str(reason) for reason in BLINDING}
