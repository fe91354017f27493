"""What is sampled on the way to a close, and when."""

from datetime import timedelta
from decimal import Decimal

import pytest

from services.feed_collector.closing import CloseRecorder, slot_of
from services.feed_collector.shelf import Shelf
from services.feed_collector.tape import Tape
from services.feed_collector.watch import Watch
from shared.domain.ids import Instrument
from shared.domain.ticks import Source
from shared.domain.windows import WindowState
from shared.runtime.clock import SystemClock
from tests.unit.services.feed_collector.test_decide import after, window
from tests.unit.services.feed_collector.test_shelf import snapshot

BTC = Instrument("BTC")
LENGTH_S = (window().closes_at - window().opens_at).total_seconds()


class SetClock(SystemClock):
    seconds = 0.0

    def now(self):
        return after(self.seconds)


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
def recorder(clock):
    tape, watch = Tape(), Watch(clock, (window(state=WindowState.OPEN),))
    made = CloseRecorder(None, tape, Shelf(tape), watch, clock)
    running = watch.windows[0]
    made.shelf.follow({running.up_token: running, running.down_token: running})
    made.shelf.apply(snapshot(bid="0.90", ask="0.92"), 0.0)
    return made


def test_a_sample_is_what_was_seen_at_its_moment_and_a_missed_one_stays_missing(recorder, clock):
    running = recorder.watch.windows[0]
    clock.seconds = LENGTH_S - 9.4
    assert recorder.samples_now(running) == [], "ten seconds before is half a second past"
    clock.seconds = LENGTH_S - 4.9
    (sample,) = recorder.samples_now(running)
    assert (sample.seconds_before, sample.up_price, sample.consensus) == (5, Decimal("0.91"), "UP")
    assert recorder.samples_now(running) == []


def test_from_ninety_seconds_before_every_price_is_written_ten_times_a_second_and_no_more(recorder, clock):
    running = recorder.watch.windows[0]
    taken = []
    for step in range(int(LENGTH_S * 100) + 50):  # looked at a hundred times a second, until after the close
        clock.seconds = step / 100
        sample = recorder.dense_now(running)
        if sample is not None:
            taken.append(sample)
    wanted = int(min(LENGTH_S, 90) * 10)
    assert [sample.ms_to_close for sample in taken] == [100 * slot for slot in range(wanted, -1, -1)]
    recorder.tape.feed(Source.BINANCE, BTC).last_price = Decimal(7)
    assert (taken[-1].up_bid, taken[-1].up_ask, taken[-1].down_bid) == (
        Decimal("0.90"),
        Decimal("0.92"),
        None,
    )


def test_a_doubtful_book_is_no_price(recorder, clock):
    recorder.shelf.doubt_all("the connection was lost", 1.0)
    clock.seconds = LENGTH_S - 1
    sample = recorder.dense_now(recorder.watch.windows[0])
    assert (sample.up_bid, sample.up_ask) == (None, None)


@pytest.mark.parametrize(
    ("left_s", "slot"), [(90.1, None), (90, 900), (89.95, 900), (89.9, 899), (0.05, 1), (0, 0), (-0.1, None)]
)
def test_a_slot_is_a_tenth_of_a_second_before_the_close(left_s, slot):
    assert slot_of(timedelta(seconds=left_s)) == slot
