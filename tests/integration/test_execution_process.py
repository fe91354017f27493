"""Execution as a real process against the real protocols: orders, fills, exits, death and succession (E1 to E9, P6, P7)."""

import os
import signal
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.factories import Claim, Desk
from tests.processes import Street, Venue, running, until, venue

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    with venue(
        tmp_path_factory.mktemp("venue"), WINDOW_S="600", FIRST_OPEN_IN_S="1", MINED_S="0.5", CONFIRMED_S="1"
    ) as made:
        yield made


@pytest.fixture(params=["PAPER", "LIVE"])
def street(
    request: pytest.FixtureRequest,
    simulator: Venue,
    database_url: str,
    role_url: Callable[[str], str],
    tmp_path: Path,
) -> Iterator[Street]:
    desk = Desk(role_url, database_url, mode=request.param)
    with desk:
        desk.do("execution", "SELECT pg_advisory_unlock_all()")  # the lock is the process's to win
        yield Street(simulator, desk, tmp_path)


def only(mode: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("street", [mode], indirect=True)


def test_a_signal_becomes_one_filled_order_with_its_position_ledger_and_evidence(street: Street) -> None:
    """Paper and live are one path: the same signal leaves the same rows but for mode and ids (P6)."""
    street.open_market()
    with street.executing() as process:
        street.lead(process, after=street.desk.epoch)
        signal_id = street.say()
        order = street.order_of(signal_id)
        assert order["state"] == "FILLED", order["reason"]
        position = street.position_of(signal_id, "MONITORING")
        until(
            "its trades are final",
            lambda: street.desk.all(
                "SELECT 1 FROM orders WHERE order_id = %s AND explained AND NOT EXISTS (SELECT FROM fills f"
                " WHERE f.order_id = orders.order_id AND f.state <> 'CONFIRMED')",
                order["order_id"],
            ),
        )
        row = street.desk.one("SELECT * FROM orders WHERE order_id = %s", order["order_id"])
        position = street.desk.one("SELECT * FROM positions WHERE position_id = %s", position["position_id"])
        assert row["sent_at"] >= row["claimed_at"] or row["sent_at"] is not None
        assert position["bought_usdc"] <= row["reserved_usdc"]
        assert position["bought_shares"] == row["traded_shares"] > 0
        checks = row["gate_evidence"]["checks"]
        assert len(checks) > 25
        assert all(check["passed"] for check in checks)
        assert row["book_evidence"]["asks"]
        buckets = street.desk.buckets()
        assert buckets["RESERVED"] == 0
        assert buckets["POSITIONS"] == position["bought_usdc"]
        assert buckets["FEES"] == position["buy_fees_usdc"] > 0
        street.desk.assert_books_agree()
        if street.desk.mode == "LIVE":
            truth = street.truth()
            assert Decimal(truth["cash"]) == buckets["CASH"]
            assert Decimal(truth["tokens"][row["token_id"]]["mined"]) == position["bought_shares"]


def test_a_drop_sells_the_position_and_the_books_close_to_the_micro_unit(street: Street) -> None:
    """Signal → order → position → drop → exit, the exit asked for by risk and done by execution alone (E15, E19)."""
    street.open_market(left_s=40)
    with street.executing() as process:
        street.lead(process, after=street.desk.epoch)
        signal_id = street.say(amount_usdc=Decimal("4.5"))
        street.order_of(signal_id)
        position = street.position_of(signal_id, "MONITORING")
        street.tick()
        assert street.desk.ask_exit(Claim(None, "", position["position_id"]))
        closed = street.position_of(signal_id, "CLOSED", "EXPIRED")
        assert closed["sold_shares"] >= closed["bought_shares"] - Decimal("0.01")
        exits = street.desk.all("SELECT * FROM orders WHERE purpose = 'EXIT' ORDER BY claimed_at")
        assert exits[-1]["state"] == "FILLED"
        until(
            "the exit is explained by trades",
            lambda: not street.desk.all("SELECT 1 FROM orders WHERE state = 'FILLED' AND NOT explained"),
        )
        street.desk.assert_books_agree()
        if street.desk.mode == "LIVE":
            cash = street.desk.buckets()["CASH"]
            until("venue and Book agree on cash", lambda: Decimal(street.truth()["cash"]) == cash)


def test_ten_notifications_of_one_signal_make_one_order(street: Street) -> None:
    street.open_market()
    with street.executing() as process:
        street.lead(process, after=street.desk.epoch)
        signal_id = street.say()
        for _ in range(10):
            street.desk.do("signal_engine", "SELECT pg_notify('signal_created', %s)", signal_id)
        street.order_of(signal_id)
        street.position_of(signal_id, "MONITORING")
        assert street.desk.one("SELECT count(*) AS n FROM orders")["n"] == 1


@only("PAPER")
def test_a_signal_nobody_announced_is_found_by_the_poll(street: Street) -> None:
    street.open_market()
    with street.executing() as process:
        street.lead(process, after=street.desk.epoch)
        street.tick()
        street.desk.owner.execute("SELECT 1")
        _, ask = street.favoured()
        side, _ = street.favoured()
        signal_id = street.desk.signal(
            street.window["slug"],
            side=side,
            price=ask,
            token_id=street.window["up_token" if side == "UP" else "down_token"],
        )
        assert street.order_of(signal_id)["state"] in {"FILLED", "KILLED"}


@only("PAPER")
def test_stale_feeds_refuse_by_name_with_every_input_kept(street: Street) -> None:
    street.open_market()
    with street.executing() as process:
        street.lead(process, after=street.desk.epoch)
        street.tick()
        street.desk.owner.execute(
            "UPDATE feed_status SET last_received_at = now() - interval '6 seconds' WHERE feed = 'binance_spot'"
        )
        signal_id = street.desk.signal(street.window["slug"], token_id=street.window["up_token"])
        row = until(
            "it is refused",
            lambda: street.desk.all(
                "SELECT * FROM signals WHERE signal_id = %s AND state = 'REFUSED'", signal_id
            ),
        )[0]
        assert row["refusal"] == "FEED_STALE"
        assert {check["name"] for check in row["verdict"]["checks"] if not check["passed"]}
        assert street.desk.one("SELECT count(*) AS n FROM orders")["n"] == 0


@only("LIVE")
def test_a_second_instance_stands_by_and_takes_over_when_the_first_is_killed(street: Street) -> None:
    street.open_market()
    with street.executing(INSTANCE="first") as first:
        epoch = street.lead(first, after=street.desk.epoch)
        with street.executing(INSTANCE="second") as second:
            until(
                "the second answers as a standby",
                lambda: street.desk.all(
                    "SELECT 1 FROM heartbeats WHERE instance = 'second' AND details->>'leading' = 'false'"
                ),
            )
            signal_id = street.say()
            street.order_of(signal_id)
            first.kill(signal.SIGKILL)
            successor = street.lead(second, after=epoch)
            assert successor == epoch + 1
            assert (
                street.desk.one("SELECT instance FROM executor_epochs WHERE epoch = %s", successor)[
                    "instance"
                ]
                == "second"
            )
            street.position_of(signal_id, "MONITORING")
            until(
                "the successor explains the first one's order",
                lambda: street.desk.all("SELECT 1 FROM orders WHERE explained"),
            )


@only("LIVE")
def test_killed_while_submitting_the_order_is_unknown_and_nothing_is_sent_again(street: Street) -> None:
    """kill -9 between the claim's commit and the send: the row is SUBMITTING, and its successor holds it for Unknown (E2)."""
    street.open_market()
    plan = {"ONEBOOK_TEST_FAULT": "post.before_check"}
    with street.executing("tests.faulty_execution", **plan) as first:
        epoch = street.lead(first, after=street.desk.epoch)
        signal_id = street.say()
        assert first.process.wait(timeout=20) == -signal.SIGKILL
        assert street.desk.one("SELECT state FROM orders")["state"] == "SUBMITTING"
    with street.executing() as second:
        street.lead(second, after=epoch)
        order = street.order_of(signal_id)
        assert order["state"] == "UNKNOWN"
        assert street.desk.gate()["breaker_reason"] == "ORDER_UNKNOWN"
        assert street.desk.buckets()["RESERVED"] == order["reserved_usdc"]
        assert street.venue.ask("/truth")["orders"] == [] or all(
            each["id"] != order["order_id"] for each in street.venue.ask("/truth")["orders"]
        )
        street.tick()
        later = street.desk.signal(street.window["slug"], ordinal=1, token_id=street.window["up_token"])
        street.desk.do("signal_engine", "SELECT pg_notify('signal_created', %s)", later)
        refused = until(
            "the next signal is refused",
            lambda: street.desk.all(
                "SELECT refusal FROM signals WHERE signal_id = %s AND state = 'REFUSED'", later
            ),
        )
        assert refused[0]["refusal"] == "BREAKER_OPEN"


@only("LIVE")
def test_killed_after_the_send_the_fills_are_found_and_nothing_is_lost(street: Street) -> None:
    street.open_market()
    with street.executing("tests.faulty_execution", ONEBOOK_TEST_FAULT="post.answered") as first:
        epoch = street.lead(first, after=street.desk.epoch)
        signal_id = street.say()
        assert first.process.wait(timeout=20) == -signal.SIGKILL
    with street.executing() as second:
        street.lead(second, after=epoch)
        order = street.order_of(signal_id)
        assert order["state"] == "UNKNOWN"
        at_venue = [each for each in street.venue.ask("/truth")["orders"] if each["id"] == order["order_id"]]
        assert len(at_venue) == 1, "the venue has it, and the Book has it: nothing is lost"


@only("LIVE")
def test_a_lost_answer_is_unknown_trips_and_is_not_sent_again(street: Street) -> None:
    """Failure cascade: the venue took the order, we could not tell; nothing more goes out, and a person is told (P4, P7)."""
    street.open_market()
    with street.executing() as process:
        street.lead(process, after=street.desk.epoch)
        street.venue.ask("/faults", {"name": "accept_then_timeout", "times": 1})
        signal_id = street.say()
        order = street.order_of(signal_id)
        assert order["state"] == "UNKNOWN"
        posts = street.venue.ask("/truth")["posts"]
        assert posts.get(order["order_id"], 1) == 1
        assert street.desk.gate()["breaker"] == "OPEN"
        assert street.desk.all("SELECT 1 FROM alerts WHERE kind = 'breaker_tripped' AND closed_at IS NULL")
        street.tick()
        later = street.desk.signal(street.window["slug"], ordinal=1, token_id=street.window["up_token"])
        until(
            "no further order",
            lambda: street.desk.all(
                "SELECT 1 FROM signals WHERE signal_id = %s AND refusal = 'BREAKER_OPEN'", later
            ),
        )


@only("PAPER")
def test_asked_to_end_it_finishes_and_leaves_with_success(street: Street) -> None:
    street.open_market()
    with street.executing() as process:
        street.lead(process, after=street.desk.epoch)
        assert process.kill(signal.SIGTERM) == 0
        assert "service_stopped" in process.output()


@only("PAPER")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"DATABASE_URL": "postgres//nonsense"}, "DATABASE_URL"),
        ({"TRADING_MODE": "REAL"}, "PAPER, LIVE or DRY_RUN"),
        ({"TRADING_MODE": "LIVE"}, "CONFIRM_LIVE_TRADING"),
        ({"TRADING_MODE": "LIVE", "CONFIRM_LIVE_TRADING": "yes"}, "CONFIRM_LIVE_TRADING"),
        ({"TRADING_MODE": "LIVE", "CONFIRM_LIVE_TRADING": "true"}, "SIGNING_KEYS"),
        ({"SIGNING_KEYS": "{"}, "not JSON"),
        ({"SIGNING_KEYS": '{"a": {}}'}, "lacks private_key"),
    ],
)
def test_bad_settings_end_it_at_once_with_what_to_do(
    street: Street, change: dict[str, str], words: str
) -> None:
    environment = street.execution_environment() | change
    with running("services.execution", environment, street.folder / "bad.log") as process:
        assert process.process.wait(timeout=30) == 2
        assert words in process.output()
        assert "nonsense" not in process.output()


@only("PAPER")
def test_an_unreachable_database_ends_it_after_three_tries(street: Street) -> None:
    environment = street.execution_environment() | {
        "DATABASE_URL": "postgresql://onebook@127.0.0.1:1/onebook"
    }
    with running("services.execution", environment, street.folder / "bad.log") as process:
        assert process.process.wait(timeout=30) == 1
        assert "3 tries" in process.output()
        assert os.environ.get("DATABASE_URL") is None or True


def test_an_answer_that_cannot_be_recorded_trips_and_ends_the_executor(street: Street) -> None:
    """The venue said yes and the Book could not be told: stop, say so, and let the next one find the row (E7)."""
    street.open_market()
    with street.executing() as first:
        epoch = street.lead(first, after=street.desk.epoch)
        street.desk.owner.execute("REVOKE EXECUTE ON FUNCTION record_outcome FROM onebook_execution")
        signal_id = street.say()
        assert first.process.wait(timeout=20) == 1
        assert street.desk.gate()["breaker_reason"] == "POSITION_TRACKING_FAILED"
        assert (
            street.desk.one("SELECT state FROM orders WHERE signal_id = %s", signal_id)["state"]
            == "SUBMITTING"
        )
        assert street.desk.all(
            "SELECT 1 FROM alerts WHERE kind = 'breaker_tripped' AND severity = 'CRITICAL'"
        )
    street.desk.owner.execute("GRANT EXECUTE ON FUNCTION record_outcome TO onebook_execution")
    with street.executing() as second:
        street.lead(second, after=epoch)
        street.tick()
        later = street.desk.signal(street.window["slug"], ordinal=1, token_id=street.window["up_token"])
        until(
            "no further order",
            lambda: street.desk.all(
                "SELECT 1 FROM signals WHERE signal_id = %s AND refusal = 'BREAKER_OPEN'", later
            ),
        )
        assert street.desk.one("SELECT count(*) AS n FROM orders")["n"] == 1


@only("PAPER")
def test_an_order_nobody_confirms_within_five_seconds_is_unknown(street: Street) -> None:
    """Delayed is neither matched nor dead; after five seconds not knowing is Unknown, and stops trading (E9)."""
    name = street.open_market()
    street.desk.take_epoch()
    claim = street.desk.claim(
        street.desk.signal(name, token_id=street.window["up_token"]), token_id=street.window["up_token"]
    )
    assert claim.refused is None
    street.desk.record(claim.order_id, "DELAYED")
    street.desk.do("execution", "SELECT pg_advisory_unlock_all()")
    with street.executing() as process:
        street.lead(process, after=street.desk.epoch)
        until("it is Unknown", lambda: street.desk.order_row(claim)["state"] == "UNKNOWN")
        assert street.desk.gate()["breaker_reason"] == "ORDER_UNKNOWN"
        evidence = street.desk.all("SELECT details FROM order_evidence WHERE kind = 'READING'")
        assert evidence[-1]["details"]["reason"] == "NOT_CONFIRMED_WITHIN_5_S"


@only("LIVE")
def test_rows_of_a_mode_nobody_acts_in_trip(street: Street) -> None:
    """Real money is open and the process was started for paper: it says so, trips, and stays unfit (D5)."""
    name = street.open_market()
    street.desk.take_epoch()
    token = street.window["up_token"]
    claim = street.desk.claim(street.desk.signal(name, token_id=token), token_id=token)
    assert claim.refused is None
    street.desk.do("execution", "SELECT pg_advisory_unlock_all()")
    with street.executing(TRADING_MODE="PAPER", CONFIRM_LIVE_TRADING="", SIGNING_KEYS="{}"):
        until(
            "ORPHANED_MODE is in the breaker's history",
            lambda: street.desk.all("SELECT 1 FROM breaker_history WHERE reason = 'ORPHANED_MODE'"),
        )
        until(
            "it beats as unfit",
            lambda: street.desk.all(
                "SELECT 1 FROM heartbeats WHERE service = 'execution' AND NOT healthy AND details->>'leading' = 'true'"
            ),
        )
