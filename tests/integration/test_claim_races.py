"""Uniqueness and limits under real concurrency: many sessions claim at once, and exactly as many pass as may (B8, B9).

The fence (one session, one epoch) is taken out of the way here on purpose: the constraints must hold without it.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.factories import Desk

pytestmark = pytest.mark.integration

SESSIONS = 25


@pytest.fixture(autouse=True)
def _without_the_fence(desk: Desk) -> None:
    desk.owner.execute("SET ROLE onebook_owner")
    desk.owner.execute(
        "CREATE OR REPLACE FUNCTION _claim_bar(p_epoch bigint) RETURNS text LANGUAGE sql AS 'SELECT NULL'"
    )
    desk.owner.execute("RESET ROLE")


def claim_all(
    desk: Desk, role_url: Callable[[str], str], signals: Sequence[str], **fields: object
) -> Counter[str]:
    """Claim every signal from many sessions that start together; returns how often each answer was given."""
    barrier = threading.Barrier(SESSIONS)
    answers: Counter[str] = Counter()
    lock = threading.Lock()

    def work(mine: Sequence[str]) -> None:
        with psycopg.connect(role_url("onebook_execution"), autocommit=True) as connection:
            barrier.wait(timeout=30)
            for signal in mine:
                row = connection.execute(
                    "SELECT refused FROM claim_entry(%s, %s, %s, 'body', '{}')",
                    [desk.epoch, signal, Jsonb(desk.order(signal, **fields))],
                ).fetchone()
                assert row is not None
                with lock:
                    answers[row[0] or "ORDERED"] += 1

    with ThreadPoolExecutor(SESSIONS) as pool:
        for job in [pool.submit(work, signals[number::SESSIONS]) for number in range(SESSIONS)]:
            job.result(timeout=60)
    return answers


def test_a_hundred_concurrent_entries_make_exactly_one_order(
    desk: Desk, role_url: Callable[[str], str]
) -> None:
    window = desk.window()
    signals = [desk.signal(window, ordinal=ordinal) for ordinal in range(100)]
    answers = claim_all(desk, role_url, signals)
    assert answers == {"ORDERED": 1, "ALREADY_ENTERED": 99}
    assert desk.one("SELECT count(*) AS n FROM orders")["n"] == 1
    desk.assert_books_agree()


def test_one_signal_retried_by_everyone_makes_one_order(desk: Desk, role_url: Callable[[str], str]) -> None:
    signal = desk.signal(desk.window())
    answers = claim_all(desk, role_url, [signal] * 50)
    assert answers == {"ORDERED": 1, "SIGNAL_NOT_NEW": 49}


def test_open_positions_stop_at_their_limit(desk: Desk, role_url: Callable[[str], str]) -> None:
    desk.control("max_open_positions", "4")
    desk.control("max_instrument_usd", "1000")
    signals = [desk.signal(desk.window()) for _ in range(25)]
    assert claim_all(desk, role_url, signals) == {"ORDERED": 4, "MAX_OPEN_POSITIONS": 21}
    desk.assert_books_agree()


@pytest.mark.parametrize(
    ("control", "value", "refusal"),
    [
        ("max_exposure_usd", "6.43", "MAX_EXPOSURE"),
        ("max_instrument_usd", "6.43", "MAX_INSTRUMENT"),
        ("max_session_loss", "6.43", "SESSION_DEPLOYED"),
    ],
)
def test_dollars_stop_at_their_limit(
    desk: Desk, role_url: Callable[[str], str], control: str, value: str, refusal: str
) -> None:
    """Three reservations of 2.14 fit into 6.43, four do not."""
    for key, amount in {
        "max_open_positions": "50",
        "max_instrument_usd": "1000",
        "max_session_loss": "1000",
    }.items():
        desk.control(key, amount)
    desk.control("max_exposure_usd", "1000")
    desk.control(control, value)
    signals = [desk.signal(desk.window()) for _ in range(25)]
    assert claim_all(desk, role_url, signals) == {"ORDERED": 3, refusal: 22}
    desk.assert_books_agree()


def test_cash_is_reserved_once(desk: Desk, role_url: Callable[[str], str]) -> None:
    for key in ("max_instrument_usd", "max_session_loss", "max_exposure_usd"):
        desk.control(key, "1000")
    desk.control("max_open_positions", "50")
    desk.control("max_position_usd", "100")
    desk.do("reconciler", "SELECT book_external(%s, %s, 'WITHDRAWAL', -93, 'w')", desk.account, desk.mode)
    signals = [desk.signal(desk.window()) for _ in range(25)]
    assert claim_all(desk, role_url, signals) == {"ORDERED": 3, "INSUFFICIENT_CAPITAL": 22}
    assert desk.buckets()["CASH"] >= 0
    desk.assert_books_agree()


def test_a_switch_thrown_among_claims_is_seen_by_every_later_one(
    desk: Desk, role_url: Callable[[str], str]
) -> None:
    """No claim commits after a committed PAUSE: claims and switch meet on the gate's row (D18)."""
    for key in ("max_instrument_usd", "max_session_loss", "max_exposure_usd"):
        desk.control(key, "1000")
    desk.control("max_open_positions", "50")
    signals = [desk.signal(desk.window()) for _ in range(40)]
    thrown = threading.Event()

    def throw() -> None:
        thrown.wait(timeout=30)
        with psycopg.connect(role_url("onebook_operator"), autocommit=True) as connection:
            connection.execute(
                "SELECT set_control(%s, 'kill_switch', 'PAUSE', 'me', 'drill')", [desk.account]
            )

    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(throw)
        thrown.set()
        claim_all(desk, role_url, signals)
        job.result(timeout=30)
    late = desk.one(
        "SELECT count(*) AS n FROM audit_events c JOIN audit_events s ON s.kind = 'control_set' AND s.details->>'new' = 'PAUSE'"
        " WHERE c.kind = 'entry_claimed' AND c.event_id > s.event_id"
    )["n"]
    assert late == 0
    assert desk.claim(desk.signal(desk.window())).refused == "KILL_SWITCH"


def test_a_trip_among_claims_is_seen_by_every_later_one(desk: Desk, role_url: Callable[[str], str]) -> None:
    for key in ("max_instrument_usd", "max_session_loss", "max_exposure_usd"):
        desk.control(key, "1000")
    desk.control("max_open_positions", "50")
    signals = [desk.signal(desk.window()) for _ in range(30)]
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(
            desk.do,
            "risk_monitor",
            "SELECT trip_breaker(%s, %s, 'MANUAL_TRIP', '{}')",
            desk.account,
            desk.mode,
        )
        claim_all(desk, role_url, signals)
        job.result(timeout=30)
    late = desk.one(
        "SELECT count(*) AS n FROM audit_events c JOIN audit_events s ON s.kind = 'breaker_tripped'"
        " WHERE c.kind = 'entry_claimed' AND c.event_id > s.event_id"
    )["n"]
    assert late == 0
