"""Completeness, clocks, divergences, lags and dense samples in the Book, as the collector's own role (C8, C9, C13 to C15)."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import psycopg
import pytest
import pytest_asyncio

from services.feed_collector import actions as collector
from services.feed_collector.closing import CloseRecorder
from services.feed_collector.predictions import KnownLag
from services.feed_collector.quality import actions, judging
from services.feed_collector.quality.judging import Quality
from services.feed_collector.shelf import Shelf
from services.feed_collector.tape import EVERY, Tape
from services.feed_collector.watch import Watch
from shared.db import patience
from shared.db.engine import CommitUnknown, Database
from shared.db.queries.preflight import measured_clocks
from shared.domain.books import Level
from shared.domain.ids import ConditionId, Instrument, TokenId
from shared.domain.ticks import PriceTick, Source
from shared.domain.windows import WindowState
from shared.runtime.clock import SystemClock
from shared.runtime.pulse import LoopPulse
from shared.venue.events import BookSnapshot
from tests.factories import Desk
from tests.integration.test_collector_windows import DOWN, UP, window
from tests.processes import until

pytestmark = pytest.mark.integration
BTC = Instrument("BTC")
CLOCK = SystemClock()
D = Decimal
FEEDS = (Source.BINANCE, Source.CHAINLINK, Source.CHAINLINK_TWAP, Source.POLYMARKET)


@pytest_asyncio.fixture
async def database(db) -> Database:
    return await db(role="feed_collector")


class Stand:
    def __init__(self, database: Database, desk: Desk, database_url: str) -> None:
        self.desk = desk
        self.url = database_url
        self.watch = Watch(CLOCK)
        self.tape = Tape()
        self.shelf = Shelf(self.tape)
        expected = [(source, BTC) for source in FEEDS]
        self.quality = Quality(database, self.tape, self.shelf, self.watch, CLOCK, expected)

    def hear(self, now: datetime, *told: tuple[Source, str, float]) -> None:
        """Put prices on the tape: (feed, price, seconds after now)."""
        for source, price, later in told:
            at = now + timedelta(seconds=later)
            self.tape.mid(PriceTick(BTC, source, D(price), at, at))

    def copy(self, rows: list[tuple[object, ...]]) -> None:
        self.desk.owner.execute("SELECT ensure_partitions(2, current_date - 2)")
        with (
            psycopg.connect(self.url) as connection,
            connection.cursor() as cursor,
            cursor.copy(
                "COPY price_ticks (timestamp, symbol, source, price, source_timestamp, trade_id) FROM STDIN"
            ) as copy,
        ):
            for row in rows:
                copy.write_row(row)


@pytest.fixture
def stand(database: Database, desk: Desk, database_url: str) -> Stand:
    return Stand(database, desk, database_url)


def trade(at: datetime, serial: int) -> tuple[object, ...]:
    return (at, "BTC", "binance_spot", D(60_000), at, str(serial))


def report(at: datetime, source: str = "chainlink") -> tuple[object, ...]:
    return (at + timedelta(seconds=1.3), "BTC", source, D(60_000), at, None)


async def test_a_windows_completeness_counts_the_exchanges_own_numbers_and_the_oracles_seconds(
    stand: Stand, database: Database
):
    over = window(opens_in_s=-60, length_s=30)
    await collector.save_listings(database, [over])
    stand.desk.owner.execute("UPDATE windows SET state = 'OPEN'")
    stand.desk.owner.execute("UPDATE windows SET state = 'CLOSED'")
    opens = over.opens_at
    heard = [
        n for n in range(100, 160) if n not in {100, 117, 118, 119, 159}
    ]  # 110..150 fall into the window
    stand.copy(
        [trade(opens + timedelta(seconds=(n - 110) * 0.73), n) for n in heard]
        + [report(opens + timedelta(seconds=n)) for n in range(-3, 33) if n not in {4, 5}]
        + [report(opens + timedelta(seconds=7))]  # the same second once more is no second report
    )
    for token, seconds in (("11", 30), ("22", 20)):
        for second in range(seconds):
            stand.desk.do(
                "feed_collector",
                "INSERT INTO order_book_snapshots (timestamp, symbol, token_id) VALUES (%s, 'BTC', %s)",
                opens + timedelta(seconds=second),
                token,
            )
    (due,) = await actions.unmeasured(database, CLOCK.now())
    assert await actions.measure_window(database, due, FEEDS) == 4
    rows = {
        row["feed"]: (row["received"], row["expected"])
        for row in stand.desk.all("SELECT * FROM feed_completeness")
    }
    in_window = [n for n in heard if 0 <= (n - 110) * 0.73 < 30]
    assert rows == {
        "binance_spot": (len(in_window), len(in_window) + 3),
        "chainlink": (28, 30),
        "chainlink_twap": (0, 30),
        "polymarket": (50, 60),
    }
    assert await actions.unmeasured(database, CLOCK.now()) == []


async def test_a_window_still_running_or_just_over_is_not_counted_yet(stand: Stand, database: Database):
    await collector.save_listings(database, [window(opens_in_s=-35, length_s=30)])
    stand.desk.owner.execute("UPDATE windows SET state = 'OPEN'")
    stand.desk.owner.execute("UPDATE windows SET state = 'CLOSED'")
    assert await actions.unmeasured(database, CLOCK.now()) == []
    assert len(await actions.unmeasured(database, CLOCK.now() + timedelta(seconds=6))) == 1


async def test_every_clock_is_measured_against_the_databases_and_a_wrong_one_is_told_once(
    stand: Stand, database: Database
):
    venue = stand.tape.feed(Source.POLYMARKET, EVERY)
    venue.offset_ms = D(40)
    stand.watch.offset_error_ms = D(20)
    now = CLOCK.now()
    for late_s in (0.2, 0.05):
        stand.tape.feed(Source.BINANCE, BTC).heard(now, now + timedelta(seconds=late_s))
    stand.tape.feed(Source.CHAINLINK, BTC).heard(now + timedelta(seconds=3), now)
    for _ in range(2):
        await stand.quality.write_clocks()
    async with database.begin() as tx:
        clocks = {row.source: row for row in await measured_clocks(tx)}
    assert clocks.keys() == {"feed_collector", "clob", "binance_spot", "chainlink"}
    own = clocks["feed_collector"].offset_ms
    assert abs(clocks["binance_spot"].offset_ms - own - D(-50)) < 1
    assert abs(clocks["clob"].offset_ms - own - D(40)) < 1
    assert [row.source for row in clocks.values() if row.is_off] == ["chainlink"]
    stand.desk.owner.execute("UPDATE clock_offsets SET measured_at = measured_at - interval '1 minute'")
    async with database.begin() as tx:
        assert await measured_clocks(tx) == []
    alerts = stand.desk.all("SELECT dedup_key, repeats FROM alerts WHERE kind = 'clock_off'")
    assert alerts == [{"dedup_key": "clock_off:chainlink", "repeats": 0}]


async def test_a_divergence_is_a_row_with_its_window_and_gets_its_end(stand: Stand, database: Database):
    running = window(opens_in_s=-10, length_s=30)
    stand.watch.windows = (running,)
    apart = (Source.CHAINLINK, "60000", 0), (Source.BINANCE, "60060", 1), (Source.BINANCE, "60001", 2.5)
    stand.hear(CLOCK.now(), *apart)
    news = stand.tape.divergences.take_news()
    rows = [stand.quality._as_row(each) for each in news]
    await actions.write_divergences(database, rows)
    await actions.write_divergences(database, rows)  # an unanswered COMMIT may have happened: the same again
    (row,) = stand.desk.all("SELECT * FROM feed_divergence_events")
    assert (row["symbol"], row["fast_feed"], row["slow_feed"]) == ("BTC", "binance_spot", "chainlink")
    assert (row["fast_feed_price"], row["slow_feed_price"]) == (60060, 60000)
    assert (row["divergence_pct"], row["divergence_direction"]) == (D("0.100000"), "up")
    assert row["window_id"] == running.window_id
    assert 18_000 < row["time_to_window_close_ms"] < 19_100
    assert (row["convergence_time_ms"], row["converged_to_price"]) == (1500, 60000)


async def test_where_feeds_part_and_meet_is_written_while_they_do_though_a_writing_fails(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(judging, "DIVERGENCES_EVERY_S", 0.01)
    monkeypatch.setattr(patience, "FIRST_S", 0.01)
    failures = iter(["before it was written", "after it was written"])
    written = actions.write_divergences

    async def write(*arguments: Any) -> None:
        failure = next(failures, "")
        if not failure.startswith("before"):
            await written(*arguments)
        if failure:
            raise CommitUnknown(failure)

    monkeypatch.setattr(actions, "write_divergences", write)
    pulse = LoopPulse("divergences", CLOCK, 15.0)
    now = CLOCK.now()

    async def row(where: str) -> dict[str, Any]:
        statement = f"SELECT * FROM feed_divergence_events WHERE {where}"
        (found,) = await asyncio.to_thread(until, where, lambda: stand.desk.all(statement))
        return dict(found)

    async with asyncio.TaskGroup() as group:
        group.create_task(stand.quality.keep_divergences(pulse))
        stand.hear(now, (Source.CHAINLINK, "60000", 0), (Source.BINANCE, "59940", 1))
        begun = await row("convergence_time_ms IS NULL")
        assert (begun["timestamp"], begun["divergence_direction"]) == (now + timedelta(seconds=1), "down")
        assert begun["divergence_pct"] == D("-0.100000")
        assert (begun["window_id"], begun["time_to_window_close_ms"]) == (None, None), "none is running"
        stand.hear(now, (Source.CHAINLINK, "59950", 3))
        met = await row("convergence_time_ms IS NOT NULL")
        assert (met["id"], met["convergence_time_ms"], met["converged_to_price"]) == (
            begun["id"],
            2000,
            59950,
        )
        pulse.stopping.set()
    assert next(failures, None) is None, "it did fail both ways"


async def test_the_lag_of_the_stored_ticks_is_found_and_written_down(stand: Stand):
    chance = np.random.default_rng(5)
    now = CLOCK.now()
    begin = now - timedelta(seconds=400)
    prices = 60_000 * np.exp(np.cumsum(chance.normal(0, 3e-5, size=4_000)))
    rows: list[tuple[object, ...]] = [
        (begin + timedelta(seconds=n / 10), "BTC", "binance_spot", round(D(float(price)), 8), None, str(n))
        for n, price in enumerate(prices)
    ]
    rows += [
        (
            begin + timedelta(seconds=second, milliseconds=1),
            "BTC",
            "chainlink",
            round(D(float(prices[second * 10 - 17])), 8),
            None,
            None,
        )
        for second in range(6, 400)
    ]
    stand.copy(rows)
    found = await stand.quality.analyse_lag(Source.CHAINLINK, BTC, now)
    assert found is not None
    assert abs(found.tau_ms - 1700) <= 50
    assert stand.tape.predictions._markets[BTC].lag is not None, "from now on it predicts"
    assert await stand.quality.analyse_lag(Source.CHAINLINK_TWAP, BTC, now) is None
    (row,) = stand.desk.all("SELECT * FROM lag_analysis")
    assert (row["fast_feed"], row["slow_feed"], row["tau_star_ms"]) == (
        "binance_spot",
        "chainlink",
        found.tau_ms,
    )
    assert row["correlation"] > D("0.95")
    assert row["p_value"] < D("0.0001")
    assert row["sample_size"] > 300
    assert row["tau_variance"] < D("0.01")
    assert row["correlation_profile"][str(found.tau_ms)] == float(row["correlation"])


async def test_a_proved_lag_predicts_and_each_prediction_is_kept_with_its_outcome(stand: Stand):
    running = window(opens_in_s=-10, length_s=30)
    stand.watch.windows = (running,)
    stand.shelf.follow({UP: running, DOWN: running})
    quote(stand.shelf, UP, bid="0.48", ask="0.50")
    quote(stand.shelf, DOWN, bid="0.10", ask="0.90")
    stand.tape.predictions.learn(BTC, KnownLag(timedelta(seconds=1), D("0.8123")))
    now = CLOCK.now()
    stand.hear(
        now, (Source.BINANCE, "60000", -2), (Source.CHAINLINK, "60010", -0.9), (Source.BINANCE, "60030", 0)
    )
    quote(stand.shelf, UP, bid="0.60", ask="0.70")  # later: it was not so when the prediction was made
    stand.hear(now, (Source.CHAINLINK, "60040", 1.2))
    await stand.quality._write_predictions()
    (row,) = stand.desk.all("SELECT * FROM lag_signals")
    assert (row["timestamp"], row["window_id"]) == (now, stand.watch.windows[0].window_id)
    assert (row["spot_price"], row["oracle_price"], row["spot_move_pct"]) == (60_030, 60_010, D("0.05"))
    assert (row["predicted_direction"], row["predicted_tau_ms"]) == ("UP", 1000)
    assert row["correlation_at_signal"] == D("0.8123")
    assert (row["polymarket_price"], row["spread_at_signal"]) == (D("0.49"), D("0.02"))
    assert row["depth_at_signal"] == D("10.00"), "USDC offered within 1 % of the best"
    assert (row["oracle_update_price"], row["actual_tau_ms"]) == (60_040, 1200)
    assert (row["outcome_direction"], row["prediction_correct"]) == ("UP", True)


def quote(shelf: Shelf, token: TokenId, *, bid: str, ask: str) -> None:
    """A book of two levels a side: twenty shares at the best, a hundred further off."""
    now = CLOCK.now()
    bids = Level(D(bid), D(20)), Level(D(bid) / 2, D(100))
    asks = Level(D(ask), D(20)), Level((1 + D(ask)) / 2, D(100))
    shelf.apply(BookSnapshot(token, ConditionId("0xc"), bids, asks, D("0.01"), now, now), 0.0)


async def test_a_doubtful_book_and_a_moment_between_windows_quote_nothing(stand: Stand):
    stand.tape.predictions.learn(BTC, KnownLag(timedelta(seconds=1), D("0.8")))
    now = CLOCK.now()
    stand.hear(
        now, (Source.BINANCE, "60000", -2), (Source.CHAINLINK, "60010", -0.9), (Source.BINANCE, "59900", 0)
    )
    await stand.quality._write_predictions()
    (row,) = stand.desk.all("SELECT * FROM lag_signals")
    assert row["predicted_direction"] == "DOWN"
    assert (row["window_id"], row["polymarket_price"], row["spread_at_signal"]) == (None, None, None)


async def test_until_every_exchanges_clock_has_shown_itself_it_is_looked_for_every_second(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(judging, "CLOCKS_FIRST_EVERY_S", 0.01)
    pulse = LoopPulse("clocks", CLOCK, 15.0)

    async def until_measured(source: str) -> None:
        statement = "SELECT FROM clock_offsets WHERE source = %s"
        look = partial(until, source, lambda: stand.desk.all(statement, source), within_s=9)
        await asyncio.to_thread(look)  # it would be there after ten seconds anyway

    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(stand.quality.keep_clocks(pulse))
        await until_measured("feed_collector")
        stand.tape.feed(Source.POLYMARKET, EVERY).offset_ms = D(5)
        await until_measured("clob")
        stand.tape.feed(Source.BINANCE, BTC).heard(CLOCK.now(), CLOCK.now())
        await until_measured("binance_spot")
        stand.tape.feed(Source.CHAINLINK, BTC).heard(CLOCK.now(), CLOCK.now())
        await until_measured("chainlink")
        keeping.cancel()


async def test_dense_samples_are_written_once_a_moment(stand: Stand, database: Database):
    closing = window(opens_in_s=-25, length_s=30, state=WindowState.OPEN)
    stand.watch.windows = (closing,)
    stand.tape.feed(Source.BINANCE, BTC).last_price = D("60000.5")
    recorder = CloseRecorder(database, stand.tape, stand.shelf, stand.watch, CLOCK)
    sample = recorder.dense_now(closing)
    assert sample is not None
    await collector.write_dense_samples(database, [sample])
    await collector.write_dense_samples(database, [sample])
    (row,) = stand.desk.all("SELECT * FROM window_close_samples")
    assert (row["window_id"], row["binance_price"], row["up_bid"]) == (closing.window_id, D("60000.5"), None)
    assert 4_000 <= row["ms_to_close"] <= 5_000
