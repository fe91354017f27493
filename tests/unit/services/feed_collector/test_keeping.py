"""Who should speak, what is sampled in time, and whether the collector is fit."""

from types import SimpleNamespace

import pytest

from services.feed_collector.keeping import Keeper
from services.feed_collector.shelf import Shelf
from services.feed_collector.tape import EVERY, Tape
from services.feed_collector.watch import Watch
from shared.domain.ids import Instrument
from shared.domain.ticks import Source
from shared.domain.windows import WindowState
from shared.runtime.clock import SystemClock
from tests.unit.services.feed_collector.test_decide import after, window
from tests.unit.services.feed_collector.test_tape import oracle

BTC = Instrument("BTC")
EXPECTED = [(Source.BINANCE, BTC), (Source.POLYMARKET, BTC)]


class SetClock(SystemClock):
    seconds = 0.0

    def now(self):
        return after(self.seconds)


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
def keeper(clock):
    tape, watch = Tape(), Watch(clock, (window(state=WindowState.OPEN),))
    shelf = Shelf(tape)
    writer = SimpleNamespace(trip_owed=None)
    return Keeper(None, tape, shelf, watch, writer, clock, "test", EXPECTED, after(0), None)


@pytest.mark.parametrize(
    ("key", "seconds", "stale"),
    [
        ((Source.BINANCE, BTC), 5, None),
        ((Source.BINANCE, BTC), 5.5, 0),
        ((Source.POLYMARKET, BTC), 9, None),
        ((Source.POLYMARKET, BTC), 11, 0),
        ((Source.CHAINLINK, BTC), 600, None),  # nobody gave us credentials to listen with
        ((Source.BINANCE, EVERY), 600, None),
    ],
)
def test_a_feed_that_should_speak_and_does_not_is_stale(keeper, clock, key, seconds, stale):
    clock.seconds = seconds
    assert keeper._stale_since(key, clock.now()) == (None if stale is None else after(stale))


def test_a_market_channel_without_an_open_window_may_be_silent(keeper, clock):
    keeper.watch.windows = (window(),)
    clock.seconds = 600
    assert keeper._stale_since((Source.POLYMARKET, BTC), clock.now()) is None


async def test_the_collector_is_fit_while_its_primary_feed_was_heard_within_thirty_seconds(keeper, clock):
    assert not (await keeper.check_primary()).ok, "nothing heard yet"
    keeper.tape.feed(Source.BINANCE, BTC).last_received_at = after(0)
    clock.seconds = 30
    assert (await keeper.check_primary()).ok
    clock.seconds = 30.1
    assert not (await keeper.check_primary()).ok


async def test_an_oracles_change_that_could_not_be_written_comes_again_in_order(keeper, monkeypatch):
    written = []

    async def write(_database, changes):
        written.append([change.new_price for change in changes])
        if len(written) == 1:
            raise ConnectionResetError

    monkeypatch.setattr("services.feed_collector.actions.write_oracle_changes", write)
    keeper.tape.oracle(oracle(1, "100"))
    keeper.tape.oracle(oracle(2, "101"))
    with pytest.raises(ConnectionResetError):
        await keeper._write_changes()
    keeper.tape.oracle(oracle(3, "102"))
    for _ in range(2):
        await keeper._write_changes()
    assert written == [[100, 101], [100, 101, 102]]


async def test_prices_that_cannot_be_stored_make_it_unfit(keeper):
    assert (await keeper.check_capture()).ok
    keeper.writer.trip_owed = "disk full"
    assert not (await keeper.check_capture()).ok


def test_a_process_starts_its_patience_when_it_starts(keeper, clock):
    keeper.started_at = after(100)
    clock.seconds = 104
    assert keeper._stale_since((Source.BINANCE, BTC), clock.now()) is None
