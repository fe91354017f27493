"""A claim that meets other transactions: asked once more, refused by name, never the end of the executor (B9)."""

import urllib.request
from collections.abc import Iterator

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.factories import Desk
from tests.processes import LAWFUL_ENDS, Running, Street, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture
def executor(street: Street) -> Iterator[Running]:
    street.open_market()
    with street.executing(HTTP_PORT_FILE=str(street.folder / "port")) as process:
        street.lead(process, after=street.desk.epoch)
        yield process


def conflict(desk: Desk, *, times: int) -> None:
    """Let the next orders meet a serialization failure: a sequence counts, because a rollback does not undo it."""
    desk.owner.execute("CREATE SEQUENCE conflicts")
    desk.owner.execute(
        f"CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN"
        f" IF nextval('public.conflicts') <= {times} THEN RAISE EXCEPTION 'in the way' USING ERRCODE = '40001'; END IF;"
        f" RETURN NEW; END $$"
    )
    desk.owner.execute(
        "CREATE TRIGGER conflict BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION conflict()"
    )


def decided(street: Street, signal_id: str) -> dict[str, object]:
    def look() -> object:
        row = street.desk.one("SELECT state, refusal FROM signals WHERE signal_id = %s", signal_id)
        return row if row["state"] != "NEW" else None

    found: dict[str, object] = until("the signal is decided", look)
    return found


def test_a_conflict_is_asked_once_more(street: Street, executor: Running) -> None:
    conflict(street.desk, times=1)
    signal_id = street.say()
    assert street.order_of(signal_id)["state"] in LAWFUL_ENDS
    assert street.desk.one("SELECT count(*) AS n FROM orders")["n"] == 1
    assert executor.process.poll() is None


def test_a_conflict_twice_is_refused_by_name_and_repeated_it_trips(street: Street, executor: Running) -> None:
    conflict(street.desk, times=4)
    first = street.say()
    assert decided(street, first) == {"state": "REFUSED", "refusal": "SERIALIZATION_CONFLICT"}
    assert street.desk.gate()["breaker"] == "CLOSED"
    second = street.say(ordinal=1)
    assert decided(street, second)["refusal"] == "SERIALIZATION_CONFLICT"
    until("it trips", lambda: street.desk.gate()["breaker_reason"] == "SERIALIZATION_CONFLICT")
    assert street.desk.one("SELECT count(*) AS n FROM orders")["n"] == 0
    assert executor.process.poll() is None


def test_a_row_somebody_holds_too_long_is_waited_for_not_died_of(street: Street, executor: Running) -> None:
    epoch = street.desk.one("SELECT max(epoch) AS epoch FROM executor_epochs")["epoch"]
    with psycopg.connect(street.desk.owner_url) as somebody:
        somebody.execute("SELECT FROM accounts FOR NO KEY UPDATE")
        signal_id = street.say()
        until("the claim gave up waiting", lambda: "statement_timed_out" in executor.output())
        state = street.desk.one("SELECT state FROM signals WHERE signal_id = %s", signal_id)["state"]
        assert state == "NEW"
    assert street.order_of(signal_id)["state"] in LAWFUL_ENDS
    assert street.desk.one("SELECT max(epoch) AS epoch FROM executor_epochs")["epoch"] == epoch


def metrics(street: Street) -> dict[tuple[str, ...], float]:
    """What the executor's /metrics says of claims, signals and a listener: a sample's name and labels → its value."""
    port = until("its door is open", lambda: (street.folder / "port").read_text().strip())
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if family.name in {"execution_claim_seconds", "execution_signals", "onebook_listener_connected"}
        and "le" not in sample.labels
    }


def test_what_became_of_each_signal_is_counted(street: Street, executor: Running) -> None:
    assert metrics(street) == {}, "nobody has spoken, and there is no listener that could be down"
    street.order_of(street.say())
    until("it is counted", lambda: metrics(street).get(("execution_signals_total", "ORDERED")) == 1)
    assert metrics(street)["execution_claim_seconds_count", "ENTRY"] == 1
    assert metrics(street)["execution_claim_seconds_sum", "ENTRY"] > 0
    street.desk.control("kill_switch", "PAUSE")
    assert decided(street, street.say(ordinal=1))["refusal"] == "KILL_SWITCH"
    until("so is this", lambda: metrics(street).get(("execution_signals_total", "KILL_SWITCH")) == 1)
    assert metrics(street)["execution_claim_seconds_count", "ENTRY"] == 1, (
        "the gate refused: nothing was claimed"
    )
    assert executor.process.poll() is None


def test_contention_is_counted_by_its_name(street: Street, executor: Running) -> None:
    conflict(street.desk, times=2)
    assert decided(street, street.say())["refusal"] == "SERIALIZATION_CONFLICT"
    until(
        "it is counted",
        lambda: metrics(street).get(("execution_signals_total", "SERIALIZATION_CONFLICT")) == 1,
    )
    assert metrics(street)["execution_claim_seconds_count", "ENTRY"] == 1
    assert executor.process.poll() is None


def test_what_a_claim_waited_for_another_holder_is_in_its_seconds(street: Street, executor: Running) -> None:
    with psycopg.connect(street.desk.owner_url) as somebody:
        somebody.execute("SELECT FROM accounts FOR NO KEY UPDATE")
        signal_id = street.say()
        waited_s = until("the claim waits", lambda: waiting_s(street))
    street.order_of(signal_id)
    until("it is measured", lambda: metrics(street).get(("execution_claim_seconds_count", "ENTRY")))
    assert metrics(street)["execution_claim_seconds_sum", "ENTRY"] >= waited_s
    assert executor.process.poll() is None


def waiting_s(street: Street) -> float:
    """How long the claim under way has been waiting for a lock by Postgres's clock; 0 while it does not."""
    rows = street.desk.all(
        "SELECT extract(epoch FROM clock_timestamp() - query_start) AS waited FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND query LIKE '%%claim_entry%%' AND pid <> pg_backend_pid()"
    )
    return float(rows[0]["waited"]) if rows else 0.0
