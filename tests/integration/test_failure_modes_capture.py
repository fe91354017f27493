"""The failure modes of capture, each caused and its cure seen (FM1 to FM5, FM7, FM8, FM25).

The collector and the executor are real processes on the venue's real protocols, and what they see is what the dashboard
reads. FM6 is caused in ``test_settlement.py`` (our own prices against the venue's word, for windows held and not held),
its place on the page in ``test_dashboard_capture.py``; FM13 and FM14, whose cure is the reader, in
``test_window_reader.py``; FM3 with a server that is killed in ``test_collector_kills.py``.
"""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from structlog.testing import capture_logs
from typer.testing import CliRunner

from services.dashboard.api.capture.schemas import FeedScreen
from services.dashboard.api.queries import read_overview
from services.dashboard.api.schemas import Overview
from services.operator.__main__ import app
from services.risk_monitor.telling.loops import Notices
from shared.db.engine import POOL_MAX, Database
from shared.db.queries import lifecycle
from tests.factories import CLOCK, Desk
from tests.integration import test_collector_process as collector_tests
from tests.integration.test_collector_process import Stand
from tests.processes import Running, Street, Venue, running, until, venue

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]
feed_key = collector_tests.feed_key
stand = collector_tests.stand
WITHIN_S = 60.0
D = Decimal


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    with venue(
        tmp_path_factory.mktemp("venue"), WINDOW_S="8", FIRST_OPEN_IN_S="1", WINDOWS_AHEAD="4"
    ) as made:
        yield made


class Capture:
    """A collector that records, its faults, and what people see of it."""

    def __init__(self, stand: Stand) -> None:
        self.desk = stand.desk
        self.stand = stand
        self.port_file = stand.folder / "port"

    def start(self) -> Running:
        environment = {
            "DATABASE_URL": self.desk.role_url("onebook_feed_collector"),
            "HTTP_PORT_FILE": str(self.port_file),
            **self.stand.simulator.environment(),
            **self.stand.feed_key,
        }
        self.process = self.stand.stack.enter_context(
            running("services.feed_collector", environment, self.stand.folder / "collector.log")
        )
        self.stand.until_ticks_flow(self.process)
        return self.process

    def fault(self, name: str, channel: str, *, times: int = -1) -> None:
        self.stand.simulator.ask("/faults", {"name": name, "match": {"channel": channel}, "times": times})

    def row(self, what: str, statement: str) -> dict[str, Any]:
        return self.stand.until_row(what, statement, alive=self.process, within_s=WITHIN_S)

    def details(self) -> dict[str, Any]:
        rows = self.desk.all("SELECT details FROM heartbeats WHERE service = 'feed_collector'")
        found: dict[str, Any] = rows[0]["details"] if rows else {}
        return found

    def door(self, path: str) -> str:
        address = f"http://127.0.0.1:{self.port_file.read_text().strip()}{path}"
        try:
            with urllib.request.urlopen(address, timeout=6) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as unfit:
            return unfit.read().decode()

    def gaps_in_health(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.door("/health"))["data_gaps"]
        return found

    def page(self) -> Overview:
        return page(self.desk)

    def feed(self, name: str) -> FeedScreen:
        return next(each for each in self.page().feeds if each.feed == name)


def page(desk: Desk) -> Overview:
    """What the dashboard reads."""

    async def look() -> Overview:
        database = await Database.connect(desk.role_url("onebook_dashboard"), application_name="page")
        try:
            return await database.retry_read(read_overview)
        finally:
            await database.close()

    return asyncio.run(look())


def disarm(simulator: Venue) -> None:
    request = urllib.request.Request(f"{simulator.urls['control_url']}/_sim/faults", method="DELETE")
    urllib.request.urlopen(request, timeout=10).close()


@pytest.fixture
def capture(stand: Stand) -> Iterator[Capture]:
    yield Capture(stand)
    disarm(stand.simulator)


def test_fm1_a_feed_silent_on_an_open_connection_is_a_gap_that_is_seen_while_it_lasts_and_taints(
    capture: Capture,
) -> None:
    process = capture.start()
    capture.row("a window trades", "SELECT 1 FROM windows WHERE state = 'OPEN'")
    capture.fault("silent_socket", "binance.*")
    gap = capture.row(
        "a gap has begun", "SELECT * FROM feed_gaps WHERE feed = 'binance_spot' AND ended_at IS NULL"
    )
    heard = capture.desk.one("SELECT * FROM feed_status WHERE feed = 'binance_spot' AND symbol = 'BTC'")
    assert gap["started_at"] == heard["last_received_at"] == heard["stale_since"]
    tainted = capture.row(
        "the window it fell into is tainted", "SELECT * FROM windows WHERE tainted ORDER BY opens_at"
    )
    assert tainted["closes_at"] > gap["started_at"]
    shown = {"feed": "binance_spot", "symbol": "BTC", "from": gap["started_at"].isoformat(), "to": None}
    assert shown in capture.gaps_in_health()
    told = [json.loads(line) for line in process.output().splitlines() if '"gap_begun"' in line]
    assert [(each["level"], each["context"]["feed"]) for each in told] == [("WARNING", "binance_spot")]
    seen = capture.page()
    assert [(each.feed, each.symbol) for each in seen.capture.gaps] == [("binance_spot", "BTC")]
    feed = capture.feed("binance_spot")
    assert feed.stale
    assert feed.age_s is not None
    assert feed.age_s > 5

    disarm(capture.stand.simulator)
    ended = capture.row(
        "the gap has ended", "SELECT * FROM feed_gaps WHERE feed = 'binance_spot' AND ended_at IS NOT NULL"
    )
    assert ended["ended_at"] - ended["started_at"] > timedelta(seconds=5)
    assert shown | {"to": ended["ended_at"].isoformat()} in capture.gaps_in_health()
    after = capture.page().capture
    assert after.gaps == []
    assert (after.gaps_of_day, [each.feed for each in after.tainted_by]) == (1, ["binance_spot"])
    assert 0 < after.tainted_of_day <= after.windows_of_day


def test_fm1_the_time_nobody_recorded_is_a_gap_that_fails_the_check(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collector that comes back finds the last word of the one before it: what lies between is a hole (C11)."""
    left_at = CLOCK.now() - timedelta(seconds=90)
    capture.desk.do(
        "feed_collector",
        "INSERT INTO feed_status (feed, symbol, last_received_at) VALUES ('binance_spot', 'BTC', %s)",
        left_at,
    )
    capture.start()
    gap = capture.row("the gap has ended", "SELECT * FROM feed_gaps WHERE ended_at IS NOT NULL")
    assert (gap["feed"], gap["started_at"]) == ("binance_spot", left_at)
    assert [(each["feed"], each["from"]) for each in capture.gaps_in_health()] == [
        ("binance_spot", left_at.isoformat())
    ]
    monkeypatch.setenv("DATABASE_URL", capture.desk.role_url("onebook_operator"))
    checked = CliRunner().invoke(app, ["check-gaps"], catch_exceptions=False)
    assert checked.exit_code == 1
    assert "binance_spot BTC" in checked.stdout


def test_fm2_a_clock_that_drifts_is_measured_told_and_shown_and_every_price_keeps_both_times(
    capture: Capture,
) -> None:
    capture.stand.simulator.ask("/faults", {"name": "clock_ahead", "times": -1, "seconds": 4})
    capture.start()
    clock = capture.row(
        "it is measured", "SELECT * FROM clock_offsets WHERE source = 'clob' AND offset_ms > 2000"
    )
    assert clock["offset_ms"] - clock["error_ms"] > 1000
    alert = capture.row("it is told", "SELECT * FROM alerts WHERE dedup_key = 'clock_off:clob'")
    assert alert["severity"] == "ERROR"
    # Each clock shows itself with its first message: the exchange's may come after the venue's.
    capture.row("it shows itself", "SELECT * FROM clock_offsets WHERE source = 'binance_spot'")
    shown = {each.source: each.off for each in capture.page().capture.clocks}
    assert shown == {"clob": True, "feed_collector": False, "binance_spot": False} | (
        {"chainlink": False} if "chainlink" in shown else {}
    )
    stored = capture.desk.one(
        "SELECT count(*) AS n, count(source_timestamp) AS said, count(timestamp) AS received FROM price_ticks"
    )
    assert stored["n"] == stored["said"] == stored["received"] > 0


def test_fm3_what_the_book_cannot_take_is_put_aside_counted_and_missing_from_its_window(
    capture: Capture,
) -> None:
    """The table is locked for longer than two tries wait: a batch fails, is tried once more, and is put aside."""
    capture.start()
    begun = capture.desk.one("SELECT clock_timestamp() AS at")["at"]
    capture.row(
        "a whole window trades", f"SELECT 1 FROM windows WHERE state = 'OPEN' AND opens_at > '{begun}'"
    )
    with psycopg.connect(capture.desk.owner_url) as blocker:
        blocker.execute("LOCK TABLE price_ticks IN ACCESS EXCLUSIVE MODE")
        capture.row(
            "trades are put aside",
            "SELECT 1 FROM failed_batches, jsonb_array_elements(batch_data) t WHERE t->>'source' = 'binance_spot'",
        )
    capture.stand.until_ticks_flow(capture.process)
    aside = capture.desk.one(
        "SELECT count(DISTINCT id) AS batches, count(*) AS ticks FROM failed_batches, jsonb_array_elements(batch_data)"
    )
    until("the beat counts them", lambda: capture.details().get("ticks_failed") == aside["ticks"])
    account = json.loads(capture.door("/health"))["capture"]
    assert account["received"] == sum(account[name] for name in ("stored", "failed", "dropped", "waiting"))
    assert account["failed"] == aside["ticks"]
    assert f"feed_collector_ticks_failed_total {float(aside['ticks'])}" in capture.door("/metrics")
    missing = capture.row(
        "the window they are missing from is counted",
        """SELECT w.window_id, received, expected, count(*) AS aside FROM failed_batches b, jsonb_array_elements(batch_data) t
             JOIN windows w ON (t->>'timestamp')::timestamptz >= w.opens_at AND (t->>'timestamp')::timestamptz < w.closes_at
             JOIN feed_completeness c ON c.window_id = w.window_id AND c.feed = t->>'source'
            WHERE t->>'source' = 'binance_spot' GROUP BY 1, 2, 3 ORDER BY min(w.opens_at)""",
    )
    assert missing["expected"] - missing["received"] >= missing["aside"] > 0
    seen = capture.page()
    assert seen.capture.waiting is not None
    assert seen.capture.waiting.put_aside == aside["batches"]
    shares = next(each for each in seen.feeds if each.feed == "binance_spot").windows
    assert (missing["received"], missing["expected"]) in [(each.received, each.expected) for each in shares]


def test_fm4_books_written_down_too_seldom_are_seen_beside_what_is_wanted(capture: Capture) -> None:
    capture.start()

    def rate() -> tuple[Decimal, int]:
        details = capture.details()
        lines = details.get("per_second", {}).get("order_book_snapshots/BTC", "0")
        return D(lines), details.get("snapshots_wanted", {}).get("BTC", 0)

    def is_whole() -> bool:
        lines, wanted = rate()
        return wanted > 0 and D("0.7") * wanted <= lines <= D("1.5") * wanted

    def is_poor() -> bool:
        lines, wanted = rate()
        return wanted > 0 and lines < D("0.5") * wanted

    until("the books are written down once a second", is_whole, within_s=WITHIN_S)
    seen = capture.page()
    assert all(each.per_second for each in seen.feeds if each.age_s is not None), "every feed shows its rate"
    capture.fault("malformed_frame", "market")
    until("they are not", is_poor, within_s=WITHIN_S)
    (books,) = capture.page().capture.snapshots
    assert books.per_second is not None
    assert books.per_second < books.wanted
    disarm(capture.stand.simulator)
    until("they are again", is_whole, within_s=WITHIN_S)


def test_fm5_a_trade_sent_twice_is_stored_once_one_sent_late_is_kept_and_both_are_counted(
    capture: Capture,
) -> None:
    capture.start()
    capture.fault("duplicate_event", "binance.trade", times=5)
    capture.fault("shuffled_frames", "binance.trade", times=4)
    counted = capture.row(
        "they are counted",
        "SELECT * FROM feed_status WHERE feed = 'binance_spot' AND symbol = 'BTC' AND duplicates >= 5 AND out_of_order >= 3",
    )
    assert (counted["duplicates"], counted["out_of_order"]) == (5, 3)
    capture.stand.until_ticks_flow(capture.process)
    trades = capture.desk.one(
        "SELECT count(*) AS n, count(DISTINCT trade_id) AS ids, max(trade_id::bigint) - min(trade_id::bigint) + 1 AS span"
        " FROM price_ticks WHERE source = 'binance_spot'"
    )
    assert trades["n"] == trades["ids"] == trades["span"], "none twice, none lost"
    feed = capture.feed("binance_spot")
    assert (feed.duplicates, feed.out_of_order) == (5, 3)


def test_fm7_a_window_without_its_condition_gets_it_or_stays_shut_and_is_told(capture: Capture) -> None:
    """One is in the Book as it was first listed, without ids, and the venue knows them by now; of the other it never will."""
    answer = capture.stand.simulator.ask("/windows")
    listed = next(each for each in answer["windows"] if each["opens_at_ms"] > answer["now_ms"] + 8_000)
    opens_at = datetime.fromtimestamp(listed["opens_at_ms"] / 1000, tz=UTC)
    without = {"condition_id": None, "up_token": None, "down_token": None, "state": "DISCOVERED"}
    capture.desk.window(
        window_id=listed["slug"], opens_at=opens_at, closes_at=opens_at + timedelta(seconds=8), **without
    )
    ghost = capture.desk.window(opens_in_s=-1, closes_in_s=120, **without)
    capture.start()
    opened = capture.row(
        "the first opens with its ids",
        f"SELECT * FROM windows WHERE window_id = '{listed['slug']}' AND state <> 'DISCOVERED'",
    )
    assert [opened[name] for name in ("condition_id", "up_token", "down_token")] == [
        listed[name] for name in ("condition_id", "up_token", "down_token")
    ]
    alert = capture.row("the other is told", "SELECT * FROM alerts WHERE kind = 'window_without_ids'")
    assert (alert["severity"], alert["details"]["window_id"]) == ("ERROR", ghost)
    assert capture.desk.one("SELECT state FROM windows WHERE window_id = %s", ghost)["state"] == "DISCOVERED"
    assert capture.page().capture.without_ids == [ghost]


def test_fm8_token_ids_gone_wrong_while_we_trade_are_refused_before_the_next_order(
    desk: Desk, tmp_path: Path
) -> None:
    """The Book comes to take one token for the other: an order for UP would buy DOWN."""
    with venue(tmp_path, SOURCE="generator", WINDOW_S="600", FIRST_OPEN_IN_S="1") as simulator:
        street = Street(simulator, desk, tmp_path)
        desk.do("execution", "SELECT pg_advisory_unlock_all()")  # the lock is the process's to win
        window = street.open_market()
        with street.executing() as process:
            street.lead(process, after=desk.epoch)
            assert page(desk).capture.tokens.validated == 1
            desk.owner.execute("UPDATE windows SET up_token = down_token, down_token = up_token")
            street.tick()  # everything else an order needs is fresh
            signal = desk.signal(window, side="UP", token_id=street.window["down_token"])
            refused = until(
                "it is refused",
                lambda: desk.all("SELECT * FROM signals WHERE signal_id = %s AND state <> 'NEW'", signal),
            )[0]
    assert (refused["state"], refused["refusal"]) == ("REFUSED", "MARKET_MISMATCH")
    tokens = next(each for each in refused["verdict"]["checks"] if each["name"] == "market_tokens")
    assert not tokens["passed"]
    assert desk.one("SELECT count(*) AS n FROM orders") == {"n": 0}
    shown = page(desk).capture.tokens
    assert (shown.due, shown.validated, shown.differing) == (1, 0, [window])


async def test_fm25_a_pool_that_runs_dry_is_a_figure_an_alert_and_a_time_out_told_with_its_context(
    desk, db
) -> None:
    watching = Notices(await db(role="risk_monitor"))
    crowded = await db(role="reconciler")
    used = "onebook_database_pool_used_connections"
    async with crowded.begin(), crowded.begin(), crowded.begin():
        async with crowded.begin() as tx:
            await lifecycle.beat(tx, service="reconciler", instance="crowded", healthy=True)
            assert REGISTRY.get_sample_value(used) == POOL_MAX
            with pytest.raises(PoolTimeoutError):
                await crowded.check()
        assert REGISTRY.get_sample_value(used) == POOL_MAX - 1
        before = REGISTRY.get_sample_value("onebook_database_timeouts_total", {"kind": "statement"}) or 0
        with capture_logs() as logs, pytest.raises(DBAPIError):
            async with crowded.begin() as tx:
                await tx.execute(text("SET LOCAL statement_timeout = '10ms'"))
                await tx.execute(text("SELECT pg_sleep(5)"))
    assert REGISTRY.get_sample_value("onebook_database_timeouts_total", {"kind": "statement"}) == before + 1
    (told,) = [each for each in logs if each["event"] == "statement_timed_out"]
    assert (told["statement"], told["kind"]) == ("SELECT pg_sleep(5)", "statement")
    assert (told["pool_used"], told["pool_size"]) == (POOL_MAX, POOL_MAX)
    assert told["seconds"] is not None
    await watching.look()
    alert = desk.one(
        "SELECT severity, details FROM alerts WHERE dedup_key = 'pool_nearly_full:reconciler/crowded'"
    )
    assert alert == {"severity": "WARNING", "details": {"connections": f"{POOL_MAX} of {POOL_MAX}"}}
    seen = (await (await db(role="dashboard")).retry_read(read_overview)).capture
    assert [(each.instance, each.used, each.size) for each in seen.pools] == [("crowded", POOL_MAX, POOL_MAX)]
