"""What a person asks of the recording, as the operator's own role (C3, C11)."""

import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg.types.json import Jsonb
from typer.testing import CliRunner, Result

from services.operator.__main__ import app
from shared.runtime.clock import SystemClock
from tests.factories import Desk
from tests.recordings import recorded_sets

pytestmark = pytest.mark.integration
CLOCK = SystemClock()
Operate = Callable[..., Result]


@pytest.fixture
def operate(role_url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Operate:
    monkeypatch.setenv("DATABASE_URL", role_url("operator"))
    runner = CliRunner()

    def run(*arguments: str, status: int = 0) -> Result:
        result = runner.invoke(app, list(arguments), catch_exceptions=False)
        assert result.exit_code == status, result.output + result.stderr
        return result

    return run


def row(serial: int, *, at: datetime, price: str = "60000.5", **fields: object) -> dict[str, object]:
    standard = {
        "timestamp": at.isoformat(),
        "symbol": "BTC",
        "source": "binance_spot",
        "price": price,
        "token_id": None,
        "source_timestamp": (at - timedelta(milliseconds=40)).isoformat(),
        "trade_id": str(serial),
    }
    return standard | fields


def put_aside(desk: Desk, batch_id: str, rows: list[dict[str, object]]) -> None:
    desk.do(
        "feed_collector",
        "INSERT INTO failed_batches (batch_id, batch_data, error_message) VALUES (%s, %s, 'it was full')",
        batch_id,
        Jsonb(rows),
    )


def stored(desk: Desk) -> list[tuple[str, str]]:
    return [
        (each["trade_id"], str(each["price"]))
        for each in desk.all("SELECT trade_id, price FROM price_ticks ORDER BY timestamp, id")
    ]


def insert(desk: Desk, rows: list[dict[str, object]]) -> None:
    desk.owner.execute("SELECT ensure_partitions(2, current_date - 2)")
    desk.do(
        "feed_collector",
        "INSERT INTO price_ticks (timestamp, symbol, source, price, token_id, source_timestamp, trade_id)"
        " SELECT (r ->> 'timestamp')::timestamptz, r ->> 'symbol', r ->> 'source', (r ->> 'price')::numeric,"
        " r ->> 'token_id', (r ->> 'source_timestamp')::timestamptz, r ->> 'trade_id'"
        " FROM jsonb_array_elements(%s) r",
        Jsonb(rows),
    )


def test_a_failed_batch_is_stored_once_however_often_it_is_replayed(operate: Operate, desk: Desk):
    now = CLOCK.now()
    rows = [row(serial, at=now + timedelta(milliseconds=serial)) for serial in range(1, 4)]
    put_aside(desk, "b1", rows)
    assert "3 rows stored, 0 were in the Book, 0 cannot be stored" in operate("replay-batches").stdout
    assert stored(desk) == [(str(serial), "60000.50000000") for serial in range(1, 4)]
    assert "0 batches" in operate("replay-batches").stdout
    assert len(stored(desk)) == 3
    batch = desk.one("SELECT retry_count, replayed_at FROM failed_batches")
    assert batch["retry_count"] == 1
    assert batch["replayed_at"] is not None
    assert desk.all("SELECT FROM price_ticks_staging") == []


def test_a_batch_that_was_stored_after_all_is_not_stored_again(operate: Operate, desk: Desk):
    """The COMMIT whose answer was lost had happened: its rows are there, and nothing else tells."""
    now = CLOCK.now()
    rows = [row(serial, at=now, trade_id=None, source_timestamp=None) for serial in (1, 2)]
    insert(desk, rows)
    put_aside(desk, "b1", rows)
    assert "0 rows stored, 2 were in the Book" in operate("replay-batches").stdout
    assert len(stored(desk)) == 2


@pytest.mark.parametrize(
    ("source", "fields"),
    [
        ("binance_spot", {}),  # known by the exchange's trade id
        ("chainlink", {"trade_id": None}),  # known by the source's own time
        ("polymarket", {"trade_id": None, "token_id": "77"}),
    ],
)
def test_what_another_collector_recorded_a_moment_later_is_no_second_tick(
    operate: Operate, desk: Desk, source: str, fields: dict[str, object]
):
    now = CLOCK.now()
    said = row(1, at=now, source=source, **fields)
    insert(desk, [said | {"timestamp": (now + timedelta(milliseconds=300)).isoformat()}])
    later = now + timedelta(seconds=1)
    fresh = row(2, at=later, source=source, **fields)
    put_aside(desk, "b1", [said, fresh])
    assert "1 rows stored, 1 were in the Book" in operate("replay-batches").stdout
    assert len(stored(desk)) == 2


def test_two_equal_rows_of_a_batch_are_two_when_only_one_is_stored(operate: Operate, desk: Desk):
    """Rows are compared as a bag: what came twice is stored twice."""
    same = row(1, at=CLOCK.now(), trade_id=None, source_timestamp=None)
    insert(desk, [same])
    put_aside(desk, "b1", [same, same])
    assert "1 rows stored, 1 were in the Book" in operate("replay-batches").stdout
    assert len(stored(desk)) == 2


def test_what_can_never_be_stored_stays_with_its_reason_and_the_rest_goes_on(operate: Operate, desk: Desk):
    now = CLOCK.now()
    rows = [row(serial, at=now + timedelta(seconds=serial)) for serial in (1, 2, 3)]
    put_aside(desk, "b1", [rows[0], rows[1] | {"price": "1e15"}, rows[2]])
    said = operate("replay-batches", status=1)
    assert "2 rows stored, 0 were in the Book, 1 cannot be stored" in said.stdout
    left = desk.one("SELECT batch_data, error_message, retry_count, replayed_at FROM failed_batches")
    assert [each["trade_id"] for each in left["batch_data"]] == ["2"]
    assert "overflow" in left["error_message"]
    assert left["replayed_at"] is None
    operate("replay-batches", status=1)
    assert [trade for trade, _ in stored(desk)] == ["1", "3"]


def test_a_batch_of_a_day_without_a_place_gets_one_and_one_of_an_archived_day_is_refused(
    operate: Operate, desk: Desk
):
    old = CLOCK.now() - timedelta(days=5)
    put_aside(desk, "b1", [row(1, at=old)])
    assert "1 rows stored" in operate("replay-batches").stdout
    older = CLOCK.now() - timedelta(days=6)
    desk.do(
        "feed_collector",
        "INSERT INTO tick_archives (day, address, rows, sha256) VALUES (%s, 'there', 1, 'x')",
        older.date(),
    )
    put_aside(desk, "b2", [row(2, at=older)])
    assert "1 cannot be stored" in operate("replay-batches", status=1).stdout
    left = desk.one("SELECT error_message FROM failed_batches WHERE batch_id = 'b2'")
    assert "its day is archived" in left["error_message"]


def heard(desk: Desk, *feeds: str) -> None:
    for feed in feeds:
        desk.do("feed_collector", "INSERT INTO feed_status (feed, symbol) VALUES (%s, 'BTC')", feed)


def test_a_whole_recording_passes_and_every_hole_over_a_minute_fails_the_check(operate: Operate, desk: Desk):
    assert "nothing is recorded" in operate("check-gaps", status=1).stderr
    heard(desk, "binance_spot", "polymarket")
    now = CLOCK.now()
    whole = [row(second, at=now - timedelta(seconds=second)) for second in range(0, 600, 59)]
    insert(desk, whole)
    assert "no gap over a minute" in operate("check-gaps").stdout
    begun, ended = now - timedelta(seconds=900), now - timedelta(seconds=10)
    insert(desk, [row(9_000, at=begun), row(9_001, at=begun + timedelta(seconds=30))])
    desk.do(
        "feed_collector",
        "INSERT INTO feed_gaps (feed, symbol, started_at, ended_at) VALUES ('polymarket', 'BTC', %s, %s)",
        ended - timedelta(seconds=61),
        ended,
    )
    said = operate("check-gaps", status=1)
    assert "2 gaps over a minute" in said.stderr
    assert "binance_spot BTC" in said.stdout
    assert "(ticks)" in said.stdout
    assert "polymarket BTC" in said.stdout
    assert "(collector)" in said.stdout


def test_a_feed_that_fell_silent_is_a_gap_that_lasts(operate: Operate, desk: Desk):
    heard(desk, "binance_spot")
    insert(desk, [row(1, at=CLOCK.now() - timedelta(hours=30))])
    said = operate("check-gaps", status=1)
    assert "to now (ticks)" in said.stdout
    assert "1 gaps over a minute" in said.stderr


def test_the_holes_of_a_recorded_day_are_found_and_no_others(operate: Operate, desk: Desk, database_url: str):
    """84,558 oracle prices of one real day, whose recorder lost its connection four times for over a minute."""
    folder = recorded_sets(
        "that check-gaps finds every hole of a real recording, so a user could trust one with holes"
    )
    path = folder / "chainlink_btc_settlement_20260608"
    received = pq.read_table(path / "chainlink_btcusd_1s.parquet")["recv_ms"].to_pylist()
    received.sort()
    by_hand = [later - earlier for earlier, later in itertools.pairwise(received) if later - earlier > 60_000]
    assert len(by_hand) == 4
    heard(desk, "chainlink")
    shift = CLOCK.now() - timedelta(milliseconds=received[-1])
    desk.owner.execute("SELECT ensure_partitions(1, current_date - 2)")
    with (
        psycopg.connect(database_url) as connection,
        connection.cursor() as cursor,
        cursor.copy("COPY price_ticks (timestamp, symbol, source, price) FROM STDIN") as copy,
    ):
        for at in received:
            copy.write_row((shift + timedelta(milliseconds=at), "BTC", "chainlink", Decimal(60_000)))
    said = operate("check-gaps", status=1)
    lasted = [Decimal(line.split()[0]) for line in said.stdout.splitlines() if "(ticks)" in line]
    assert lasted == [round(Decimal(each) / 1000, 1) for each in by_hand]


def test_the_page_of_a_window_is_drawn_from_the_book(operate: Operate, desk: Desk, tmp_path: Path):
    assert "no window is recorded" in operate("window-page", status=1).stderr
    name = desk.window(opens_in_s=-60, closes_in_s=-1, strike=60000)
    opened = CLOCK.now() - timedelta(seconds=60)
    insert(desk, [row(second, at=opened + timedelta(seconds=second)) for second in range(50)])
    for table, columns in (
        ("window_close_events (window_id, symbol, window_close_time, resolved_direction)", f"'{name}', 'BTC', now(), 'UP'"),
        ("order_book_snapshots (timestamp, symbol, token_id, best_bid, best_ask)", f"now(), 'BTC', '{'1' * 70}', 0.4, 0.5"),
        (
            "feed_divergence_events (timestamp, symbol, fast_feed, slow_feed, divergence_pct, convergence_time_ms)",
            "now() - interval '20 s', 'BTC', 'binance_spot', 'chainlink', 0.06, 900",
        ),
        ("feed_gaps (feed, symbol, started_at)", "'chainlink', 'BTC', now() - interval '10 s'"),
        ("feed_completeness (window_id, feed, symbol, received, expected)", f"'{name}', 'binance_spot', 'BTC', 49, 50"),
    ):  # fmt: skip
        desk.do("feed_collector", f"INSERT INTO {table} VALUES ({columns})")
    out = tmp_path / "page.html"
    assert "50 ticks of 1 feeds, 2 books" in operate("window-page", "--out", str(out)).stdout
    said = out.read_text()
    assert "binance_spot 49 of 50" in said
    assert "1 divergences, 1 gaps" in said
    assert "no window other" in operate("window-page", "other", status=1).stderr
