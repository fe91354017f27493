from decimal import Decimal
from statistics import fmean, stdev

import pytest

from services.simulator.prices import Grid, chance_of_up
from services.simulator.recorded import RecordedBook, RecordedWindow
from services.simulator.replay import RecordedStory
from services.simulator.world import Winner

GRID = Grid(steps=240, step_s=3.75, points=16)
SIGMA = 1e-4


def window(bid: str, *, winner: Winner = "UP", **recorded: tuple[tuple[float, float], ...]) -> RecordedWindow:
    best = Decimal(bid)
    books = tuple(
        RecordedBook(float(at_s), ((best, Decimal(7)),), ((best + Decimal("0.02"), Decimal(9)),))
        for at_s in range(0, 900, 3)
    )
    return RecordedWindow("test", 0, 900, books, winner, **recorded)


def told(*windows: RecordedWindow) -> RecordedStory:
    return RecordedStory(windows, grid=GRID, volatility=SIGMA, seed="1:btc")


def test_the_derived_reference_holds_an_opinion_of_its_own() -> None:
    story = told(window("0.59"))
    chances = [
        chance_of_up(story.chapter(index).reference, at, grid=GRID, volatility=SIGMA)
        for index in range(0, 40, 2)
        for at in range(0, 200, 10)
    ]
    assert fmean(chances) == pytest.approx(0.6, abs=0.04)
    assert stdev(chances) > 0.04


def test_recordings_take_turns_with_their_mirrors() -> None:
    story = told(window("0.59"), window("0.30", winner="DOWN"))
    chapters = [story.chapter(index) for index in range(6)]
    assert [chapter.decides for chapter in chapters] == [1, -1, -1, 1, 1, -1]
    assert chapters[1].reference == tuple(-value for value in chapters[0].reference)
    assert chapters[4].reference != chapters[0].reference


def test_a_recorded_reference_is_played_as_it_was() -> None:
    recorded = tuple((float(at_s), at_s * 1e-6) for at_s in range(0, 901, 5))
    story = told(window("0.50", reference=recorded))
    assert story.reference_origin == "recorded"
    assert story.chapter(0).reference == pytest.approx([at * 3.75e-6 for at in range(241)])


def test_points_that_begin_late_and_end_early_hold_at_both_ends() -> None:
    story = told(window("0.50", binance=((10.0, 0.001), (880.0, 0.002))))
    chapter = story.chapter(0)
    assert story.reference_origin == "binance"
    assert chapter.reference == chapter.binance
    assert (chapter.reference[0], chapter.reference[-1]) == (0.001, 0.002)
    assert chapter.reference[120] == pytest.approx(0.001 + 0.001 * (450 - 10) / 870)


def test_only_a_single_recorded_level_is_deepened() -> None:
    story = told(window("0.50"))
    frame = next(story.frames(0, ()))
    assert len(frame.bids) == len(frame.asks) == 8
    assert (frame.bids[0], frame.asks[0]) == ((Decimal("0.50"), Decimal(7)), (Decimal("0.52"), Decimal(9)))
    mirrored = next(story.frames(1, ()))
    assert (mirrored.bids[0], mirrored.asks[0]) == (
        (Decimal("0.48"), Decimal(9)),
        (Decimal("0.50"), Decimal(7)),
    )


def test_several_recorded_levels_stay_as_they_are() -> None:
    levels = ((Decimal("0.50"), Decimal(7)), (Decimal("0.48"), Decimal(3)))
    books = (RecordedBook(0.0, levels, ()),)
    frame = next(told(RecordedWindow("test", 0, 900, books, "UP")).frames(0, ()))
    assert (frame.bids, frame.asks) == (levels, ())
