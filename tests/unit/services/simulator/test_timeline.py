from decimal import Decimal
from itertools import pairwise
from math import sqrt

import pytest

from services.simulator.generator import GeneratedStory
from services.simulator.prices import Grid
from services.simulator.recorded import RecordedBook, RecordedWindow
from services.simulator.replay import RecordedStory
from services.simulator.story import Story
from services.simulator.timeline import Schedule, Timeline

GRID = Grid(steps=240, step_s=3.75, points=16)
SIGMA = 1e-4
SCHEDULE = Schedule(
    start_ms=1_800_000_000_123,
    first_open_ms=1_800_000_011_000,
    window_ms=60_000,
    tick_ms=250,
    lookback_s=4,
    resolution_delay_ms=3_667,
    ahead=3,
)


def timeline(story: Story) -> Timeline:
    return Timeline("btc", story, SCHEDULE, grid=GRID, seed="1:btc")


@pytest.fixture
def generated() -> Timeline:
    return timeline(
        GeneratedStory(duration_s=900, grid=GRID, volatility=SIGMA, seed="1:btc", least_gap_s=0.75)
    )


def test_windows_are_listed_ahead_but_not_before_the_start() -> None:
    listed = [SCHEDULE.listed_ms(index) - SCHEDULE.start_ms for index in range(5)]
    assert listed == [0, 0, 0, 10_877, 70_877]
    assert [SCHEDULE.index_at(SCHEDULE.first_open_ms + ms) for ms in (-1, 0, 59_999, 60_000)] == [-1, 0, 0, 1]


def test_the_price_exists_two_minutes_before_the_start(generated: Timeline) -> None:
    history = generated.segment(-1)
    assert history.opens_ms <= SCHEDULE.start_ms - 120_000
    assert history.opens_ms + (len(history.prices) - 1) * 250 == SCHEDULE.first_open_ms


def test_the_history_moves_as_the_windows_do(generated: Timeline) -> None:
    steps = [abs(float(later / price - 1)) for price, later in pairwise(generated.segment(-1).prices)]
    assert max(steps) < 6 * SIGMA * sqrt(GRID.step_s)


def test_each_window_begins_at_the_last_price_and_the_last_average(generated: Timeline) -> None:
    for index in range(20):
        before, segment = generated.segment(index - 1), generated.segment(index)
        assert segment.prices[0] == before.prices[-1]
        assert segment.strike == before.final
        assert segment.opens_ms == SCHEDULE.opens_ms(index)


def test_the_story_is_told_about_the_path_that_is_played(generated: Timeline) -> None:
    segment = generated.segment(3)
    for deviation, price in list(zip(segment.reference, segment.prices, strict=True))[1:]:
        assert float(price / segment.strike - 1) == pytest.approx(deviation, abs=1e-11)


def test_a_price_that_settled_against_binance_does_so_again() -> None:
    books = tuple(
        RecordedBook(float(at_s), ((Decimal("0.50"), Decimal(7)),), ((Decimal("0.52"), Decimal(9)),))
        for at_s in range(0, 900, 3)
    )
    binance = ((0.0, 0.0), (400.0, 0.001), (900.0, 0.001))
    story = RecordedStory(
        [RecordedWindow("test", 0, 900, books, "DOWN", binance=binance)],
        grid=GRID,
        volatility=SIGMA,
        seed="1",
    )
    played = timeline(story)
    for index, winner, side in ((0, "DOWN", 1), (1, "UP", -1)):
        segment = played.segment(index)
        assert segment.winner == winner
        seen = sum(segment.binance[-16:], Decimal(0)) / 16
        assert side * (seen / segment.strike - 1) > Decimal("0.0004")
        assert segment.binance[0] == played.segment(index - 1).binance[-1]
        assert segment.binance[-1] == pytest.approx(segment.prices[-1], rel=Decimal("1e-9"))


def test_a_longer_listing_names_the_same_windows(generated: Timeline) -> None:
    first = generated.window(0)
    assert first.slug == "btc-updown-15m-1800000011"
    assert (first.series_id, first.series_slug) == ("10192", "btc-up-or-down-15m")
    assert first.question == "Bitcoin Up or Down - January 15, 08:00:11-08:01:11 UTC"
    assert generated.window(0) == first
