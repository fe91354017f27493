"""Orders that rest, with a real executor and a real socket: cancelled, lost, read, kept alive (E16, E20, R6)."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.factories import CLOCK, Claim, Desk
from tests.processes import Running, Street, Venue, running, until, venue
from tests.resting import Maker

LOCK_IS_FREE = """SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"""
"""The server notices a killed session a moment later."""

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    with venue(
        tmp_path_factory.mktemp("venue"), WINDOW_S="600", FIRST_OPEN_IN_S="1", MINED_S="0.5", CONFIRMED_S="1"
    ) as made:
        yield made


@pytest.fixture
def maker(
    simulator: Venue, database_url: str, role_url: Callable[[str], str], tmp_path: Path
) -> Iterator[Maker]:
    with Desk(role_url, database_url, mode="LIVE") as desk:
        desk.do("execution", "SELECT pg_advisory_unlock_all()")  # the lock is the process's to win
        street = Street(simulator, desk, tmp_path)
        street.open_market(left_s=40)
        yield Maker(street)
        simulator.ask("/mode", {"mode": "normal"})


def ended(maker: Maker, claim: Claim, state: str = "KILLED") -> dict[str, Any]:
    def look() -> Any:
        row = maker.street.desk.order_row(claim)
        return row if row["state"] == state else None

    found: dict[str, Any] = until(f"the order is {state}", look)
    return found


def steps(maker: Maker, claim: Claim) -> list[str]:
    rows = maker.street.desk.all(
        "SELECT kind FROM audit_events WHERE order_id = %s AND kind LIKE ANY (ARRAY['order\\_%%', 'cancel\\_%%']) ORDER BY event_id",
        claim.order_id,
    )
    return [row["kind"] for row in rows]


def ask(maker: Maker, claim: Claim) -> None:
    assert maker.street.desk.do("operator", "SELECT request_cancel(%s, 'not wanted', 'anna')", claim.order_id)


@contextmanager
def watching(maker: Maker, service: str) -> Iterator[Running]:
    """One of the services that read and cancel, with credentials and no key."""
    environment = {
        "DATABASE_URL": maker.street.desk.role_url(f"onebook_{service}"),
        "ACCOUNT_CREDENTIALS": maker.account_credentials(),
        **maker.street.venue.environment(),
    }
    with running(f"services.{service}", environment, maker.street.folder / f"{service}.log") as process:
        yield process


def deadman_check(maker: Maker) -> dict[str, Any]:
    """What the gate found of the switch for a signal of now; the market is taken, so the signal is refused."""
    name = maker.street.say(ordinal=7)
    verdict = until(
        "it is decided",
        lambda: maker.street.desk.one("SELECT verdict FROM signals WHERE signal_id = %s", name)["verdict"],
    )
    return next(check for check in verdict["checks"] if check["name"] == "deadman")


CANCELLED = ["order_cancelling", "cancel_answered", "order_killed"]


def test_a_resting_order_stays_until_somebody_asks_and_its_cancel_is_written_before_it_is_sent(
    maker: Maker,
) -> None:
    claim = maker.rest()
    desk = maker.street.desk
    with maker.street.executing() as process:
        maker.street.lead(process, after=desk.epoch)
        until("it is watched over", lambda: desk.all("SELECT FROM venue_heartbeats WHERE armed"))
        assert desk.order_row(claim)["state"] == "LIVE"
        assert deadman_check(maker)["passed"], "entries go on under a switch that is fed"
        ask(maker, claim)
        ended(maker, claim)
    assert steps(maker, claim) == ["order_live", "cancel_requested", *CANCELLED]
    assert maker.at_venue(claim.order_id)["status"].startswith("CANCELED")
    assert desk.buckets()["RESERVED"] == 0
    assert desk.position(claim)["state"] == "VOID"
    assert desk.gate()["breaker"] == "CLOSED"
    desk.assert_books_agree()


def test_emergency_ends_what_rests_and_the_book_says_how(maker: Maker) -> None:
    claim = maker.rest()
    with maker.street.executing() as process:
        maker.street.lead(process, after=maker.street.desk.epoch)
        maker.street.desk.control("kill_switch", "EMERGENCY")
        ended(maker, claim)
    assert steps(maker, claim) == ["order_live", *CANCELLED]
    assert maker.street.desk.all("SELECT FROM audit_events WHERE details->>'why' = 'EMERGENCY'")


def test_an_order_that_was_not_meant_to_rest_is_cancelled_at_once(maker: Maker) -> None:
    claim = maker.rest(written_as="FAK")
    with maker.street.executing() as process:
        maker.street.lead(process, after=maker.street.desk.epoch)
        ended(maker, claim)
    assert steps(maker, claim) == ["order_live", *CANCELLED]


def test_nothing_rests_into_the_end_of_its_window(maker: Maker) -> None:
    claim = maker.rest()
    desk = maker.street.desk
    with maker.street.executing() as process:
        maker.street.lead(process, after=desk.epoch)
        desk.owner.execute("UPDATE windows SET closes_at = %s", [CLOCK.now() + timedelta(seconds=3)])
        ended(maker, claim)
    assert desk.all("SELECT FROM audit_events WHERE details->>'why' = 'WINDOW_ENDS'")


@pytest.mark.parametrize(
    "point", ["cancel.claimed", "cancel.post.sent", "cancel.answered", "cancel.recorded"]
)
def test_killed_in_the_middle_of_a_cancel_its_successor_reads_what_became_of_it(
    maker: Maker, point: str
) -> None:
    claim = maker.rest()
    desk = maker.street.desk
    with maker.street.executing("tests.faulty_execution", ONEBOOK_TEST_FAULT=point) as first:
        epoch = maker.street.lead(first, after=desk.epoch)
        ask(maker, claim)
        assert first.process.wait(timeout=20) == -signal.SIGKILL
        assert desk.order_row(claim)["state"] == "CANCELLING"
    with maker.street.executing() as second:
        maker.street.lead(second, after=epoch)
        ended(maker, claim)
    assert maker.at_venue(claim.order_id)["status"].startswith("CANCELED")
    assert desk.buckets()["RESERVED"] == 0
    desk.assert_books_agree()


def test_a_cancel_whose_answer_is_lost_is_unknown_and_keeps_its_capital(maker: Maker) -> None:
    claim = maker.rest()
    desk = maker.street.desk
    ask(maker, claim)
    match = {"method": "DELETE", "path": "/order", "wallet": maker.keys["wallet"]}
    maker.street.venue.ask("/faults", {"name": "accept_then_reset", "match": match, "times": 1})
    with maker.street.executing() as process:
        maker.street.lead(process, after=desk.epoch)
        ended(maker, claim, "UNKNOWN")
    assert desk.gate()["breaker_reason"] == "ORDER_UNKNOWN"
    assert desk.buckets()["RESERVED"] == desk.order_row(claim)["reserved_usdc"]
    with watching(maker, "reconciler"):
        ended(maker, claim)
    assert desk.all(
        "SELECT FROM order_evidence WHERE order_id = %s AND kind = 'RESOLUTION' AND proves = 'TERMINAL'",
        claim.order_id,
    )
    assert desk.buckets()["RESERVED"] == 0


def test_while_the_executor_is_silent_the_risk_monitor_cancels_and_the_book_says_who_asked(
    maker: Maker,
) -> None:
    """EMERGENCY without an executor: asked for in the Book, cancelled at the venue, ended by its reading (R6)."""
    claim = maker.rest()
    with watching(maker, "risk_monitor"):
        maker.street.desk.control("kill_switch", "EMERGENCY")
        until(
            "it is cancelled at the venue",
            lambda: maker.at_venue(claim.order_id)["status"].startswith("CANCELED"),
        )
    with watching(maker, "reconciler"):
        ended(maker, claim)
    assert steps(maker, claim) == ["order_live", "cancel_requested", "order_killed"]
    asked = maker.street.desk.one("SELECT actor FROM audit_events WHERE kind = 'cancel_requested'")
    assert asked["actor"] == "risk_monitor"


def test_a_cancel_the_venue_refuses_leaves_the_order_resting_and_is_tried_again(maker: Maker) -> None:
    claim = maker.rest()
    desk = maker.street.desk
    ask(maker, claim)
    match = {"method": "DELETE", "path": "/order", "wallet": maker.keys["wallet"]}
    maker.street.venue.ask("/faults", {"name": "http_425", "match": match, "times": 1, "seconds": 1})
    with maker.street.executing() as process:
        maker.street.lead(process, after=desk.epoch)
        ended(maker, claim)
    assert steps(maker, claim) == [
        *("order_live", "cancel_requested", "order_cancelling", "cancel_answered", "order_live"),
        *CANCELLED,
    ]


def test_the_switch_is_armed_only_while_something_rests_and_silence_cancels(maker: Maker) -> None:
    desk = maker.street.desk
    with maker.street.executing() as first:
        epoch = maker.street.lead(first, after=desk.epoch)
        assert desk.all("SELECT FROM venue_heartbeats") == [], "nothing rests, so nothing is armed"
        desk.do("reconciler", "SELECT 1")
        first.kill(signal.SIGKILL)
    until("its lock is free", lambda: desk.all(LOCK_IS_FREE))
    epoch = desk.take_epoch()
    claim = maker.rest()
    desk.do("execution", "SELECT pg_advisory_unlock_all()")
    with maker.street.executing() as second:
        epoch = maker.street.lead(second, after=epoch)
        until("it is armed", lambda: desk.all("SELECT FROM venue_heartbeats WHERE armed"))
        chained = desk.one("SELECT heartbeat_id, beaten_at FROM venue_heartbeats")
        until(
            "it is fed again, with the next id",
            lambda: desk.all(
                "SELECT FROM venue_heartbeats WHERE heartbeat_id <> %s AND beaten_at > %s", *chained.values()
            ),
        )
        second.kill(signal.SIGKILL)
    until(
        "the venue cancels by itself",
        lambda: maker.at_venue(claim.order_id)["status"].startswith("CANCELED"),
    )
    assert desk.order_row(claim)["state"] == "LIVE"
    with maker.street.executing() as third:
        maker.street.lead(third, after=epoch)
        ended(maker, claim)
    assert "cancel_answered" not in steps(maker, claim), "the Book learnt it from the order's own reading"
