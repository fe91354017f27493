"""A leader whom the database leaves for a while: its lead is over, its process is not (E1, B3)."""

from datetime import datetime

import psycopg
import pytest

from tests.integration.cutting import wire_to
from tests.processes import LAWFUL_ENDS, Street, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


def newest_epoch(street: Street) -> int:
    epoch: int = street.desk.one("SELECT max(epoch) AS epoch FROM executor_epochs")["epoch"]
    return epoch


def test_a_read_that_waits_too_long_ends_the_lead_and_the_next_one_trades(street: Street) -> None:
    street.open_market()
    with street.executing() as process:
        epoch = street.lead(process, after=street.desk.epoch)
        with psycopg.connect(street.desk.owner_url) as somebody:
            somebody.execute("LOCK TABLE signals IN ACCESS EXCLUSIVE MODE")
            until(
                "its lead is over", lambda: process.process.poll() is not None or newest_epoch(street) > epoch
            )
        assert process.process.poll() is None, process.output()
        released_at = street.desk.one("SELECT clock_timestamp() AS now")["now"]
        until("it leads again, and says so", lambda: says_that_it_leads(street, released_at))
        street.lead(process, after=epoch)
        assert street.order_of(street.say())["state"] in LAWFUL_ENDS


def says_that_it_leads(street: Street, after: datetime) -> bool:
    return bool(
        street.desk.all(
            "SELECT FROM heartbeats WHERE service = 'execution' AND at > %s"
            " AND (details->>'epoch')::bigint = (SELECT max(epoch) FROM executor_epochs)",
            after,
        )
    )


def test_all_connections_ending_at_once_again_and_again_end_no_process(street: Street) -> None:
    """Which loop hears of it first is chance: the lock's, one that works, or one that reads."""
    street.open_market()
    with (
        wire_to(street.desk.role_url("onebook_execution")) as wire,
        street.executing(DATABASE_URL=wire.url) as process,
    ):
        epoch = street.lead(process, after=street.desk.epoch)
        for _ in range(5):
            wire.mend()
            epoch = street.lead(process, after=epoch)
        assert street.order_of(street.say())["state"] in LAWFUL_ENDS
        assert street.desk.one("SELECT count(*) AS n FROM orders") == {"n": 1}
        street.desk.assert_books_agree()
