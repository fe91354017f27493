"""The audit chain is checked at one moment, however busy the account is (B14)."""

import threading
from collections.abc import Callable, Iterator

import pytest

from tests.factories import Desk

pytestmark = pytest.mark.integration
EVENTS = 400
LOOKS = 25


@pytest.fixture
def desk(database_url: str, role_url: Callable[[str], str]) -> Iterator[Desk]:
    with Desk(role_url, database_url) as made:
        yield made


def test_a_chain_that_grows_while_it_is_checked_is_whole(desk: Desk) -> None:
    """Found by the fault matrix: an epoch began while the reconciler checked, and CAPITAL_INVARIANT stopped trading."""
    desk.owner.execute("SELECT _audit('desk', 'PAPER', 'noted') FROM generate_series(1, %s)", [EVENTS])
    writing, written = threading.Event(), threading.Event()

    def write() -> None:
        with desk.connect(desk.owner_url) as connection:
            while not writing.is_set():
                connection.execute("SELECT _audit('desk', 'PAPER', 'noted')")
                written.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert written.wait(10)
        found = [desk.do("reconciler", "SELECT verify_audit_chain(%s)", desk.account) for _ in range(LOOKS)]
    finally:
        writing.set()
        writer.join()
    assert found == [None] * LOOKS


def test_a_rewritten_event_is_still_found(desk: Desk) -> None:
    desk.owner.execute("SELECT _audit('desk', 'PAPER', 'noted') FROM generate_series(1, 3)")
    event = desk.one("SELECT min(event_id) AS event FROM audit_events WHERE kind = 'noted'")["event"]
    desk.owner.execute("ALTER TABLE audit_events DISABLE TRIGGER USER")
    desk.owner.execute("UPDATE audit_events SET kind = 'changed' WHERE event_id = %s", [event])
    assert desk.do("reconciler", "SELECT verify_audit_chain(%s)", desk.account) == event
