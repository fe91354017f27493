from datetime import UTC, datetime

import pytest
from prometheus_client import REGISTRY

from shared.runtime.pulse import LoopPulse


class HandClock:
    def __init__(self):
        self.elapsed_s = 0.0

    def now(self):
        return datetime(2026, 11, 20, tzinfo=UTC)

    def monotonic(self):
        return self.elapsed_s

    boottime = monotonic


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def pulse(clock):
    return LoopPulse("test_pulse", clock, stale_after_s=10)


def test_a_loop_is_stale_when_it_has_been_silent_longer_than_it_promised(pulse, clock):
    clock.elapsed_s = 10
    assert not pulse.is_stale
    clock.elapsed_s = 10.1
    assert pulse.is_stale
    pulse.tick()
    assert not pulse.is_stale


def test_working_measures_the_turn_even_when_it_raises(pulse, clock):
    with pytest.raises(RuntimeError), pulse.working():
        clock.elapsed_s += 2.5
        raise RuntimeError
    assert pulse.slowest_turn_s == 2.5
    assert REGISTRY.get_sample_value("onebook_loop_duration_seconds_sum", {"loop": "test_pulse"}) >= 2.5


def test_a_description_says_when_it_last_ran(pulse):
    assert pulse.describe()["last_run"] is None
    pulse.tick()
    assert pulse.describe() == {
        "last_run": "2026-11-20T00:00:00+00:00",
        "silent_s": 0.0,
        "turns": 1,
        "slowest_turn_s": 0.0,
        "ok": True,
    }
