"""Only one trades, whatever happens to it: killed, frozen, cut off or thrown out by the server (E1, E2, D7).

Real processes against the venue's real protocols. Which orders exist is asked of the venue, not of those who sent them.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.factories import Desk
from tests.integration.cutting import Wire, wire_to
from tests.processes import LAWFUL_ENDS, Running, Street, Venue, until, venue

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    with venue(
        tmp_path_factory.mktemp("venue"), WINDOW_S="600", FIRST_OPEN_IN_S="1", MINED_S="0.5", CONFIRMED_S="1"
    ) as made:
        yield made


@pytest.fixture
def street(
    simulator: Venue, database_url: str, role_url: Callable[[str], str], tmp_path: Path
) -> Iterator[Street]:
    with Desk(role_url, database_url, mode="LIVE") as desk:
        desk.do("execution", "SELECT pg_advisory_unlock_all()")  # the lock is the processes' to win
        yield Street(simulator, desk, tmp_path)


@pytest.fixture
def wire(role_url: Callable[[str], str]) -> Iterator[Wire]:
    with wire_to(role_url("onebook_execution")) as made:
        yield made


def freeze(street: Street, first: Running, wire: Wire) -> None:
    del street, wire
    first.process.send_signal(signal.SIGSTOP)


def partition(street: Street, first: Running, wire: Wire) -> None:
    del street, first
    wire.cut()


def evict(street: Street, first: Running, wire: Wire) -> None:
    del first, wire
    street.desk.owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lock_first'"
        " AND datname = current_database()"
    )


def kill(street: Street, first: Running, wire: Wire) -> None:
    del street, wire
    first.kill()


def stands_by(street: Street, instance: str) -> Any:
    """Whether it said so since the newest epoch was taken."""
    return street.desk.all(
        "SELECT 1 FROM heartbeats WHERE instance = %s AND details->>'leading' = 'false'"
        " AND at > (SELECT max(taken_at) FROM executor_epochs)",
        instance,
    )


@contextmanager
def two(
    street: Street, wire: Wire, module: str = "services.execution", **more: str
) -> Iterator[tuple[Running, Running, int]]:
    """The first leads, over the wire; the second stands by."""
    street.open_market()
    with street.executing(module, INSTANCE="first", DATABASE_URL=wire.url, **more) as first:
        epoch = street.lead(first, after=street.desk.epoch)
        with street.executing(INSTANCE="second") as second:
            until("the second stands by", lambda: stands_by(street, "second"))
            yield first, second, epoch


def sent(street: Street) -> Counter[str]:
    """Order id → how often the venue was asked to take it from this desk's wallet; no other order has ever arrived."""
    truth = street.venue.ask(f"/truth?wallet={street.wallet}")
    arrived = Counter(each["id"] for each in truth["arrivals"])
    assert arrived.keys() <= {row["order_id"] for row in street.desk.all("SELECT order_id FROM orders")}
    return arrived


@pytest.mark.parametrize("loss", [kill, freeze, partition, evict])
def test_whoever_loses_the_lock_is_followed_and_does_nothing_more(
    street: Street, wire: Wire, loss: Callable[[Street, Running, Wire], None]
) -> None:
    with two(street, wire) as (first, second, epoch):
        loss(street, first, wire)
        # An evicted one may be the faster to ask again: then it leads anew, by the next epoch and no other.
        assert street.lead(second, after=epoch) == epoch + 1
        order = street.order_of(street.say())
        assert order["epoch"] == epoch + 1
        assert order["state"] in LAWFUL_ENDS
        if loss is not kill:
            first.process.send_signal(signal.SIGCONT)
            if loss is partition:
                wire.mend()  # it ends what it carried: who was only evicted may lead again by now
            leader = street.desk.one("SELECT instance FROM executor_epochs WHERE epoch = %s", epoch + 1)
            other = {"first": "second", "second": "first"}[leader["instance"]]
            until("who lost it stands by", lambda: stands_by(street, other))
            assert (first.process.poll(), second.process.poll()) == (None, None)
        assert sent(street) == ({} if order["state"] == "NOT_SENT" else {order["order_id"]: 1})
        assert street.desk.one("SELECT count(*) AS n FROM orders") == {"n": 1}
        assert street.desk.one("SELECT count(*) AS n FROM executor_epochs WHERE epoch > %s", epoch) == {
            "n": 1
        }
        street.desk.assert_books_agree()


def stopped(process: Running) -> bool:
    """Whether the kernel says that it is stopped."""
    stat = Path(f"/proc/{process.process.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


STOPPING = "tests.integration.stopping_execution"


def test_frozen_between_claim_and_send_the_thawed_one_sends_nothing(street: Street, wire: Wire) -> None:
    with two(street, wire, STOPPING, ONEBOOK_TEST_STOP_AT="entry.post.before_check") as (
        first,
        second,
        epoch,
    ):
        signal_id = street.say()
        until("it is frozen", lambda: stopped(first))
        street.lead(second, after=epoch)
        order = street.order_of(signal_id)
        assert (order["state"], order["epoch"]) == ("UNKNOWN", epoch)
        assert street.desk.buckets()["RESERVED"] == order["reserved_usdc"]
        assert street.desk.gate()["breaker_reason"] == "ORDER_UNKNOWN"
        os.kill(first.process.pid, signal.SIGCONT)
        until("the thawed one stands by", lambda: stands_by(street, "first"))
        assert sent(street) == {}
        later = street.order_of(signal_id)
        if later["state"] == "UNKNOWN":
            assert street.desk.buckets()["RESERVED"] == order["reserved_usdc"]
        else:
            assert later["state"] == "NOT_SENT", "it alone knows that it never sent, and may say so"
        assert street.desk.gate()["breaker"] == "OPEN", "a person looks before anything else is sent"


def test_frozen_between_answer_and_record_the_order_is_held_and_nothing_is_lost(
    street: Street, wire: Wire
) -> None:
    with two(street, wire, STOPPING, ONEBOOK_TEST_STOP_AT="entry.post.answered") as (first, second, epoch):
        signal_id = street.say()
        until("it is frozen", lambda: stopped(first))
        street.lead(second, after=epoch)
        order = street.order_of(signal_id)
        assert order["state"] == "UNKNOWN"
        assert sent(street) == {order["order_id"]: 1}
        os.kill(first.process.pid, signal.SIGCONT)
        until("the thawed one stands by", lambda: stands_by(street, "first"))
        assert street.order_of(signal_id)["state"] in {"UNKNOWN", "FILLED"}, (
            "late as it is, its answer is a fact"
        )
        assert sent(street) == {order["order_id"]: 1}
        assert street.desk.gate()["breaker"] == "OPEN"


def test_a_claim_whose_answer_was_cut_off_is_not_sent_and_not_forgotten(street: Street, wire: Wire) -> None:
    """The Book took the claim, and who asked never heard: not sent by it, not sent again by anyone."""
    with two(street, wire, STOPPING, ONEBOOK_TEST_STOP_AT="prepare.done") as (first, second, epoch):
        signal_id = street.say()
        until("it is about to claim", lambda: stopped(first))
        wire.cut(answers_only=True)
        os.kill(first.process.pid, signal.SIGCONT)
        street.lead(second, after=epoch)
        held = street.desk.all(
            "SELECT state, epoch, reserved_usdc FROM orders WHERE signal_id = %s", signal_id
        )
        if held:  # else the server threw the frozen one out first: there was no claim, and nothing to hold
            assert (held[0]["state"], held[0]["epoch"]) == ("UNKNOWN", epoch)
            assert street.desk.buckets()["RESERVED"] == held[0]["reserved_usdc"]
        wire.mend()
        until("who was cut off stands by", lambda: stands_by(street, "first"))
        assert len(street.desk.all("SELECT 1 FROM orders WHERE epoch = %s", epoch)) == len(held)
        assert not [order for order in sent(street) if held]
