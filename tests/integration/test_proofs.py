"""The proofs a schedule repeats: what is new at once, what is old part by part, and never all of it each time (B14, R9)."""

import pytest

from tests.factories import Desk
from tests.integration.long_history import touched_by

pytestmark = pytest.mark.integration
PART = 10
EVENTS = 35


@pytest.fixture
def noted(desk: Desk) -> list[int]:
    """The ids of an account's events, more than a proof looks at in one go."""
    desk.owner.execute("SELECT _audit('desk', 'PAPER', 'noted') FROM generate_series(1, %s)", [EVENTS])
    return [row["event_id"] for row in desk.all("SELECT event_id FROM audit_events ORDER BY event_id")]


def prove_chain(desk: Desk) -> int | None:
    broken: int | None = desk.do("risk_monitor", "SELECT prove_audit_chain(%s, %s)", desk.account, PART)
    return broken


def marks(desk: Desk) -> dict[str, int]:
    return {row["what"]: row["up_to"] for row in desk.all("SELECT what, up_to FROM integrity_marks")}


def tamper(desk: Desk, statement: str, *parameters: object) -> None:
    for table in ("audit_events", "ledger_entries"):
        desk.owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    desk.owner.execute(statement, parameters)


def prove_to_the_end(desk: Desk, noted: list[int]) -> None:
    for _ in range(len(noted) // PART + 1):
        assert prove_chain(desk) is None
    assert marks(desk)["audit"] == noted[-1]


def test_a_chain_is_proved_in_parts_and_over_again(desk: Desk, noted: list[int]) -> None:
    assert prove_chain(desk) is None
    assert marks(desk) == {"audit": noted[PART - 1], "audit_again": noted[PART - 1]}
    prove_to_the_end(desk, noted)
    seen = set()
    for _ in range(2 * (len(noted) // PART + 1)):
        assert prove_chain(desk) is None
        seen.add(marks(desk).get("audit_again", 0))
    assert 0 in seen, "having come to the end it begins anew"
    assert noted[PART - 1] in seen
    assert marks(desk)["audit"] == noted[-1]


def test_what_is_new_is_proved_at_once(desk: Desk, noted: list[int]) -> None:
    prove_to_the_end(desk, noted)
    desk.owner.execute("SELECT _audit('desk', 'PAPER', 'noted')")
    newest = desk.one("SELECT max(event_id) AS event FROM audit_events")["event"]
    tamper(desk, "UPDATE audit_events SET kind = 'changed' WHERE event_id = %s", newest)
    assert prove_chain(desk) == newest
    assert prove_chain(desk) == newest, "it stays broken"


@pytest.mark.parametrize("place", [0, 1, PART, EVENTS])
def test_what_was_proved_once_is_not_trusted_for_ever(desk: Desk, noted: list[int], place: int) -> None:
    prove_to_the_end(desk, noted)
    tamper(desk, "UPDATE audit_events SET kind = 'changed' WHERE event_id = %s", noted[place])
    found = [prove_chain(desk) for _ in range(len(noted) // PART + 2)]
    assert {broken for broken in found if broken is not None} == {noted[place]}


def test_the_marked_event_is_the_one_that_was_proved(desk: Desk, noted: list[int]) -> None:
    """A history rewritten whole, every hash made anew, does not go through the event a mark remembers."""
    prove_to_the_end(desk, noted)
    tamper(desk, "UPDATE audit_events SET hash = sha256(hash) WHERE event_id = %s", noted[-1])
    assert prove_chain(desk) == noted[-1]


def test_a_cut_off_end_is_noticed_by_a_proof(desk: Desk, noted: list[int]) -> None:
    prove_to_the_end(desk, noted)
    desk.owner.execute("SELECT _audit('desk', 'PAPER', 'noted')")
    tamper(desk, "DELETE FROM audit_events WHERE event_id = (SELECT max(event_id) FROM audit_events)")
    assert prove_chain(desk) == 0


def prove_ledger(desk: Desk, *, whole: str = "1 hour") -> list[str]:
    found = desk.as_role("risk_monitor").execute(
        "SELECT what FROM prove_ledger(%s, %s, %s)", [desk.account, desk.mode, whole]
    )
    return [row["what"] for row in found]


def entries_folded(desk: Desk) -> int:
    touched = touched_by(desk, "risk_monitor", "SELECT * FROM prove_ledger('desk', 'PAPER')")
    return sum(n for name, n in touched.items() if name.startswith("ledger_entries"))


def test_a_ledger_is_folded_from_where_it_was_proved(desk: Desk) -> None:
    for _ in range(EVENTS):
        desk.record(desk.enter().order_id, "KILLED")
    assert entries_folded(desk) >= 2 * EVENTS
    assert prove_ledger(desk) == []
    desk.hold()
    assert 0 < entries_folded(desk) < EVENTS
    assert prove_ledger(desk) == []
    assert marks(desk) == {"ledger:PAPER": desk.one("SELECT max(entry_id) AS n FROM ledger_entries")["n"]}


def test_a_balance_changed_by_hand_is_found_from_the_mark(desk: Desk) -> None:
    desk.hold()
    assert prove_ledger(desk) == []
    before = marks(desk)
    desk.hold()
    tamper(
        desk,
        "UPDATE ledger_balances SET balance = balance + 0.000001 WHERE bucket = 'CASH' AND mode = 'PAPER'",
    )
    assert prove_ledger(desk) == ["CASH"]
    assert marks(desk) == before, "nothing is proved by it"
    assert prove_ledger(desk) == ["CASH"]


def test_an_old_entry_changed_by_hand_is_found_when_the_whole_is_folded(desk: Desk) -> None:
    desk.hold()
    assert prove_ledger(desk) == []
    tamper(
        desk,
        "UPDATE ledger_entries SET amount = amount + 1 WHERE entry_id = (SELECT min(entry_id) FROM ledger_entries)",
    )
    assert prove_ledger(desk) == [], "not before its time"
    assert sorted(prove_ledger(desk, whole="0")) == ["CASH", "EXTERNAL"]


@pytest.mark.parametrize(
    ("column", "what"),
    [("booked_reserved", "positions:RESERVED"), ("booked_receivable", "positions:RECEIVABLE")],
)
def test_a_position_that_carries_what_the_ledger_does_not_is_found(
    desk: Desk, column: str, what: str
) -> None:
    claim = desk.enter()
    desk.record(claim.order_id, "KILLED")
    assert prove_ledger(desk) == []
    desk.owner.execute("SET session_replication_role = replica")
    desk.owner.execute(f"UPDATE positions SET {column} = 1 WHERE position_id = %s", [claim.position_id])
    assert what in prove_ledger(desk)
