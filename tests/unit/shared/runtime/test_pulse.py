from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import REGISTRY

from shared.runtime.pulse import LoopPulse, SlowTurns, silent_loops


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


def test_a_slow_turn_is_told_for_a_while_by_loops_that_wait_for_nobody_outside(clock, monkeypatch):
    slow = SlowTurns()
    monkeypatch.setattr("shared.runtime.pulse.SLOW_TURNS", slow)
    for name, stale_after_s, took_s in (("quick", 15, 5.001), ("in time", 15, 4.9), ("patient", 30, 60)):
        with LoopPulse(name, clock, stale_after_s=stale_after_s).working():
            clock.elapsed_s += took_s
    assert slow.recent(clock.now()) == {"quick": "5.001"}
    assert slow.recent(clock.now() + timedelta(seconds=15)) == {"quick": "5.001"}
    assert slow.recent(clock.now() + timedelta(seconds=16)) == {}


def test_a_turn_that_failed_is_no_slow_turn(pulse, clock, monkeypatch):
    slow = SlowTurns()
    monkeypatch.setattr("shared.runtime.pulse.SLOW_TURNS", slow)
    with pytest.raises(RuntimeError), pulse.working():
        clock.elapsed_s += 60
        raise RuntimeError
    assert slow.recent(clock.now()) == {}


def test_the_process_knows_its_silent_loops(pulse, clock, monkeypatch):
    monkeypatch.setattr("shared.runtime.pulse.RUNNING", [pulse])
    assert silent_loops() == []
    clock.elapsed_s = 10.1
    assert silent_loops() == ["test_pulse"]
