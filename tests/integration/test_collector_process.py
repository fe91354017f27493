"""Collector and engine as real processes on the feeds' real protocols, until a window has its signal, close and ticks."""

import asyncio
import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from shared.runtime.clock import SystemClock
from shared.venue.onboarding import credentials
from shared.venue.signing import OrderSigner
from shared.venue.urls import VenueUrls
from tests.factories import Desk
from tests.processes import Running, Venue, running, until, venue

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]
STRATEGIES = ("always-trade-canary", "oracle-average")
FEEDS = ("binance_spot", "chainlink", "chainlink_twap", "polymarket")


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    with venue(tmp_path_factory.mktemp("venue"), WINDOW_S="15", FIRST_OPEN_IN_S="1") as made:
        yield made


@pytest.fixture(scope="module")
def feed_key(simulator: Venue) -> dict[str, str]:
    """API credentials of an unfunded key: who listens to the oracle cannot trade (E17)."""
    urls = VenueUrls(clob=simulator.urls["clob_url"])
    signer = OrderSigner(SecretStr("0x" + "77" * 32))
    login = asyncio.run(credentials(signer, urls, SystemClock()))
    return {
        "FEED_API_KEY": login.api_key.get_secret_value(),
        "FEED_API_SECRET": login.secret.get_secret_value(),
        "FEED_API_PASSPHRASE": login.passphrase.get_secret_value(),
        "FEED_API_ADDRESS": login.address,
    }


class Stand:
    """A desk, the venue, and the two services on it."""

    def __init__(
        self, desk: Desk, simulator: Venue, feed_key: dict[str, str], folder: Path, stack: ExitStack
    ) -> None:
        self.desk = desk
        self.simulator = simulator
        self.feed_key = feed_key
        self.folder = folder
        self.stack = stack

    def collector(self, name: str = "collector") -> Running:
        environment = {
            "DATABASE_URL": self.desk.role_url("onebook_feed_collector"),
            "INSTANCE": name,
            "HTTP_PORT_FILE": str(self.folder / f"{name}.port"),
            **self.simulator.environment(),
            **self.feed_key,
        }
        return self.stack.enter_context(
            running("services.feed_collector", environment, self.folder / f"{name}.log")
        )

    def engine(self, accounts: str | None = None) -> Running:
        environment = {
            "DATABASE_URL": self.desk.role_url("onebook_signal_engine"),
            "TRADING_MODE": "PAPER",
            "ACCOUNTS": accounts or ",".join(f"{self.desk.account}:{each}" for each in STRATEGIES),
        }
        return self.stack.enter_context(
            running("services.signal_engine", environment, self.folder / "engine.log")
        )

    def until_row(
        self, what: str, statement: str, *, alive: Running, within_s: float = 60.0
    ) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            assert alive.process.poll() is None, alive.output()
            rows = self.desk.all(statement)
            return rows[0] if rows else None

        found: dict[str, Any] = until(what, look, within_s=within_s)
        return found

    def page(self, path: str, name: str = "collector") -> str:
        """What a collector's door shows, well or not."""
        port = until("its door is open", lambda: self._port(name))
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as unwell:
            return str(unwell.read().decode())

    def _port(self, name: str) -> str:
        file = self.folder / f"{name}.port"
        return file.read_text().strip() if file.exists() else ""

    def arm(self, name: str, channel: str = "", **more: object) -> None:
        match = {"match": {"channel": channel}} if channel else {}
        self.simulator.ask("/faults", {"name": name, **match, **more})

    def disarm(self) -> None:
        address = f"{self.simulator.urls['control_url']}/_sim/faults"
        urllib.request.urlopen(urllib.request.Request(address, method="DELETE"), timeout=10).close()

    def ticks(self) -> int:
        return int(self.desk.one("SELECT count(*) AS n FROM price_ticks WHERE source = 'binance_spot'")["n"])

    def until_ticks_flow(self, alive: Running) -> None:
        seen = self.ticks()
        until("ticks flow", lambda: alive.process.poll() is None and self.ticks() > seen, within_s=40)


@pytest.fixture
def stand(desk: Desk, simulator: Venue, feed_key: dict[str, str], tmp_path: Path) -> Iterator[Stand]:
    desk.owner.execute("DELETE FROM heartbeats")
    with ExitStack() as stack:
        made = Stand(desk, simulator, feed_key, tmp_path, stack)
        stack.callback(made.disarm)
        yield made


def test_a_window_gets_its_ticks_books_strike_signal_close_and_result(stand: Stand):
    collector, engine = stand.collector(), stand.engine()
    made = stand.until_row("a strategy spoke", "SELECT * FROM signals ORDER BY created_at", alive=engine)
    assert (made["account_id"], made["mode"], made["ordinal"]) == ("desk", "PAPER", 0)
    assert made["strategy_id"] in STRATEGIES
    assert made["expires_at"] > made["created_at"]
    seen = made["evidence"]["view"]
    side = "up_book" if made["side"] == "UP" else "down_book"
    assert seen[side]["asks"][0][0] == str(made["price"])
    assert seen["oracle_samples"]
    close = stand.until_row(
        "the window closed and the venue told its end",
        f"SELECT * FROM window_close_events WHERE window_id = '{made['window_id']}' AND resolved_direction IS NOT NULL",
        alive=collector,
    )
    assert close["samples"] >= 3
    assert None not in (
        close["oracle_price_at_close"],
        close["binance_price_at_close"],
        close["oracle_average_at_close"],
    )
    window = stand.desk.one("SELECT * FROM windows WHERE window_id = %s", made["window_id"])
    truth = next(
        each for each in stand.simulator.ask("/windows")["windows"] if each["slug"] == made["window_id"]
    )
    assert (window["state"], window["strike_source"]) == ("CLOSED", "venue")
    assert str(window["strike"].normalize()) == str(window["strike"].__class__(truth["strike"]).normalize())
    assert (window["up_token"], window["condition_id"]) == (truth["up_token"], truth["condition_id"])
    said = stand.desk.all("SELECT payout_up FROM window_resolutions WHERE window_id = %s", made["window_id"])
    assert {int(each["payout_up"]) for each in said} == {int(truth["winner"] == "UP")}
    sources = {row["source"] for row in stand.desk.all("SELECT DISTINCT source FROM price_ticks")}
    assert sources == set(FEEDS)
    assert stand.desk.all("SELECT 1 FROM order_book_snapshots")
    assert stand.desk.all("SELECT 1 FROM oracle_updates")
    beats = {
        row["service"]: row["healthy"] for row in stand.desk.all("SELECT service, healthy FROM heartbeats")
    }
    assert beats == {"feed_collector": True, "signal_engine": True}
    assert collector.kill(signal.SIGTERM) == 0, collector.output()
    assert engine.kill(signal.SIGTERM) == 0, engine.output()


def test_a_second_collector_stands_by_takes_over_and_stores_no_trade_twice(stand: Stand):
    """The lock is the writing connection's: it is free the moment the first one dies (T5)."""
    first = stand.collector("first")
    stand.until_ticks_flow(first)
    second = stand.collector("second")
    until("the second stands by", lambda: "standing_by" in second.output())
    stand.until_ticks_flow(first)
    assert stand.desk.all("SELECT 1 FROM heartbeats WHERE instance = 'second'") == []
    first.kill(signal.SIGKILL)
    stand.until_row("the second works", "SELECT 1 FROM heartbeats WHERE instance = 'second'", alive=second)
    stand.until_ticks_flow(second)
    assert stored_twice(stand) == []


def stored_twice(stand: Stand) -> list[Any]:
    """The trades stored more than once."""
    return stand.desk.all(
        "SELECT trade_id FROM price_ticks WHERE source = 'binance_spot' GROUP BY trade_id HAVING count(*) > 1"
    )


def test_what_a_feed_repeats_or_sends_late_is_stored_once_and_counted_on_it(stand: Stand):
    collector = stand.collector()
    stand.until_ticks_flow(collector)
    for channel in ("binance.*", "polybolt.*"):
        stand.arm("duplicate_event", channel, times=20)
    for feed in ("binance_spot", "chainlink"):
        repeated = f"SELECT 1 FROM feed_status WHERE feed = '{feed}' AND symbol = 'BTC' AND duplicates > 0"
        stand.until_row(f"{feed} counts what it repeated", repeated, alive=collector)
    late = "SELECT out_of_order FROM feed_status WHERE feed = 'binance_spot' AND symbol = 'BTC'"
    assert stand.desk.one(late)["out_of_order"] == 0
    stand.disarm()
    stand.arm("shuffled_frames", "binance.*", times=20)
    stand.until_row("it counts what it sent late", f"{late} AND out_of_order > 0", alive=collector)
    stand.until_ticks_flow(collector)
    assert stored_twice(stand) == []
    page = stand.page("/metrics")
    for name in ("duplicates", "out_of_order"):
        line = f'feed_collector_{name}_total{{feed="binance_spot"}} '
        assert float(page.partition(line)[2].partition("\n")[0]) > 0


def test_a_new_collector_takes_up_where_the_book_ends(stand: Stand):
    """The Book says that it holds all trades up to a number and all reports up to a time: none of them is new (C4)."""
    for feed, column, value in (
        ("binance_spot", "last_trade_id", "'999999999999'"),
        ("chainlink", "last_source_at", "clock_timestamp() + interval '1 hour'"),
    ):
        stand.desk.do(
            "feed_collector",
            f"INSERT INTO feed_status (feed, symbol, {column}) VALUES ('{feed}', 'BTC', {value})",
        )
    collector = stand.collector()
    for feed in ("binance_spot", "chainlink"):
        known = f"SELECT 1 FROM feed_status WHERE feed = '{feed}' AND symbol = 'BTC' AND duplicates > 5"
        stand.until_row(f"{feed} tells what is known", known, alive=collector)
    stand.until_row(
        "the average is new", "SELECT 1 FROM price_ticks WHERE source = 'chainlink_twap'", alive=collector
    )
    assert not stand.desk.all("SELECT 1 FROM price_ticks WHERE source IN ('binance_spot', 'chainlink')")


def test_the_oracle_wakes_who_looks_and_each_change_follows_from_the_one_before(stand: Stand):
    collector = stand.collector()
    stand.until_ticks_flow(collector)
    stand.until_row("a window is open", "SELECT 1 FROM windows WHERE state = 'OPEN'", alive=collector)
    for channel in ("binance.*", "market"):
        stand.arm("silent_socket", channel, times=-1)
    silent = (
        "SELECT 1 FROM feed_status WHERE feed = 'binance_spot' AND symbol = 'BTC'"
        " AND last_received_at < clock_timestamp() - interval '1 second'"
    )
    stand.until_row("the primary feed is silent", silent, alive=collector)
    with psycopg.connect(stand.desk.owner_url, autocommit=True) as listening:
        before = stand.desk.one("SELECT count(*) AS n FROM oracle_updates")["n"]
        listening.execute("LISTEN market_moved")
        reports = "SELECT 1 FROM price_ticks WHERE source = 'chainlink' OFFSET "
        told = len(stand.desk.all(f"{reports} 0"))
        stand.until_row("it reports ten times", f"{reports} {told + 10}", alive=collector)
        woken = [note.payload for note in listening.notifies(timeout=0.5)]
    names = {row["window_id"] for row in stand.desk.all("SELECT window_id FROM windows")}
    assert len(woken) >= 6, "about as often as it reports; other news of a market are rarer"
    assert {name for payload in woken for name in payload.split(",")} <= names
    more = f"SELECT 1 FROM oracle_updates OFFSET {before + 3}"
    stand.until_row("its changes are written", more, alive=collector)
    both = "SELECT 1 FROM oracle_updates HAVING count(DISTINCT oracle_source) = 2"
    stand.until_row("the report and its average both changed", both, alive=collector)
    changes = stand.desk.all(
        "SELECT *, lag(new_price) OVER feed AS price_before, lag(timestamp) OVER feed AS at_before FROM oracle_updates"
        " WINDOW feed AS (PARTITION BY oracle_source ORDER BY timestamp, id) ORDER BY id"
    )
    assert {row["oracle_source"] for row in changes} == {"chainlink", "chainlink_twap"}
    for row in changes:
        assert row["old_price"] == row["price_before"] != row["new_price"]
        if row["old_price"] is not None:
            moved = (row["new_price"] - row["old_price"]) / row["old_price"] * 100
            assert abs(row["price_change_pct"] - moved) <= Decimal("0.000001")
            assert (row["time_since_last_update_ms"] is None) is (row["at_before"] is None)


def test_a_clock_that_is_off_is_measured_at_the_start_shown_and_told(stand: Stand):
    stand.arm("clock_ahead", times=-1, seconds=3)
    collector = stand.collector()
    alert = "SELECT * FROM alerts WHERE dedup_key = 'clock_off:clob' AND closed_at IS NULL"
    told = stand.until_row("a person is told", alert, alive=collector)
    assert told["severity"] == "ERROR"
    for source in ("feed_collector", "clob", "binance_spot", "chainlink"):
        stand.until_row(source, f"SELECT 1 FROM clock_offsets WHERE source = '{source}'", alive=collector)
    offsets = {row["source"]: row["offset_ms"] for row in stand.desk.all("SELECT * FROM clock_offsets")}
    assert {source for source, offset in offsets.items() if abs(offset) > 1000} == {"clob"}
    assert 1900 < offsets["clob"] < 3100  # it tells whole seconds
    until("it is shown", lambda: json.loads(stand.page("/health"))["venue_clock_offset_ms"] > 1900)
    loops = json.loads(stand.page("/health"))["loops"]
    assert {"read_clock", "clocks", "divergences", "completeness", "lags"} <= loops.keys()


def test_what_cannot_be_read_is_refused_and_counted_and_the_rest_goes_on(stand: Stand):
    """Half frames on every feed, a market of an unknown version, one of an unknown fee: nothing half-done."""
    collector = stand.collector()
    stand.until_ticks_flow(collector)
    for channel in ("binance.*", "polybolt.*", "market"):
        stand.simulator.ask("/faults", {"name": "malformed_frame", "match": {"channel": channel}, "times": 3})
    for listing in ("unknown_market_version", "unknown_fee_type"):
        stand.simulator.ask("/faults", {"name": listing})
    for feed in ("binance_spot", "chainlink", "polymarket"):
        stand.until_row(
            f"a half frame of {feed} is counted",
            f"SELECT 1 FROM feed_status WHERE feed = '{feed}' AND symbol = '*' AND malformed > 0",
            alive=collector,
        )
    for kind in ("UnknownVersion", "UnknownFeeType"):
        refused = stand.until_row(
            f"the listing is refused as {kind}",
            f"SELECT details FROM alerts WHERE dedup_key = 'listing_refused:{kind}'",
            alive=collector,
        )
        assert not stand.desk.all(
            "SELECT 1 FROM windows WHERE window_id = %s", refused["details"]["window_id"]
        )
    stand.until_ticks_flow(collector)
    stand.until_row(
        "the books are sound again",
        "SELECT 1 FROM books_now b JOIN windows w USING (window_id) WHERE w.state = 'OPEN' AND b.continuous",
        alive=collector,
    )
    assert collector.output().count("frame_refused") == 3, "each kind is logged once"


def test_a_collector_outlives_its_connections(stand: Stand):
    collector = stand.collector()
    stand.until_ticks_flow(collector)
    stand.desk.owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'onebook_feed_collector'"
        " AND datname = current_database() AND application_name = 'feed_collector'"
    )
    stand.until_ticks_flow(collector)
    stand.until_row(
        "books are written again",
        "SELECT 1 FROM books_now WHERE received_at > (SELECT max(at) FROM heartbeats)",
        alive=collector,
    )


@pytest.mark.parametrize(
    ("accounts", "said"),
    [
        ("nobody:always-trade-canary", "python -m services.operator account open nobody"),
        ("desk:no-such-strategy", "there are always-trade-canary, oracle-average"),
    ],
)
def test_an_engine_that_cannot_run_says_what_to_do(stand: Stand, accounts: str, said: str):
    engine = stand.engine(accounts)
    assert until("it ends", lambda: engine.process.poll() is not None)
    assert engine.process.returncode == 1
    assert said in engine.output()
