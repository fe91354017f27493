from collections import Counter
from decimal import Decimal
from itertools import islice, pairwise
from math import log
from statistics import fmean, median, stdev

import pytest

from services.simulator import calibration
from services.simulator.calibration import SPREAD_CENTS
from services.simulator.generator import GeneratedStory
from services.simulator.prices import Grid, chance_of_up
from services.simulator.story import Frame

GRID = Grid(steps=900, step_s=1.0, points=60)
SIGMA = 1e-4


@pytest.fixture(scope="module")
def story() -> GeneratedStory:
    return GeneratedStory(duration_s=900, grid=GRID, volatility=SIGMA, seed="1:btc", least_gap_s=0.05)


@pytest.fixture(scope="module")
def frames(story: GeneratedStory) -> list[Frame]:
    return [frame for index in range(3) for frame in story.frames(index, story.chapter(index).reference)]


def test_volatility_is_the_told_one_and_differs_from_window_to_window(story: GeneratedStory) -> None:
    found = []
    for index in range(40):
        path = story.chapter(index).reference
        found.append(stdev(later - value for value, later in pairwise(path)))
    assert median(found) == pytest.approx(SIGMA, rel=0.15)
    assert stdev(map(log, found)) == pytest.approx(calibration.VOLATILITY_SPREAD, rel=0.35)


def test_books_are_quoted_as_often_as_recorded(frames: list[Frame]) -> None:
    gaps = [(later.at_share - frame.at_share) * 900 for frame, later in pairwise(frames)]
    moves = [frame.bids[:1] and frame.bids[0][0] for frame in frames]
    moved = sum(later != price for price, later in pairwise(moves))
    assert fmean(gap for gap in gaps if gap > 0) == pytest.approx(calibration.FRAME_GAP_S, rel=0.05)
    # A requote may land on the price that stood: the recorded share is an upper bound of the bids' moves.
    assert calibration.BEST_MOVES_SHARE / 3 < moved / len(frames) < calibration.BEST_MOVES_SHARE


def test_spreads_and_sizes_are_the_recorded_ones(frames: list[Frame]) -> None:
    both = [frame for frame in frames if frame.bids and frame.asks]
    cents = Counter(int((frame.asks[0][0] - frame.bids[0][0]) * 100) for frame in both)
    assert cents[1] / len(both) == pytest.approx(SPREAD_CENTS[0][1], abs=0.05)
    best = [float(frame.bids[0][1]) for frame in both]
    assert median(best) == pytest.approx(calibration.BEST_SIZE_MEDIAN, rel=0.15)
    assert all(len(frame.bids) <= calibration.LADDER_LEVELS for frame in frames)


def test_makers_know_the_price_but_hold_an_opinion(story: GeneratedStory) -> None:
    strays = []
    for index in range(10):
        path = story.chapter(index).reference
        volatility = stdev(later - value for value, later in pairwise(path))
        for frame in islice(story.frames(index, path), 0, None, 40):
            if not frame.bids or not frame.asks:
                continue
            middle = (float(frame.bids[0][0]) + float(frame.asks[0][0])) / 2
            fair = chance_of_up(path, int(frame.at_share * 900), grid=GRID, volatility=volatility)
            strays.append(middle - fair)
    assert fmean(strays) == pytest.approx(0, abs=0.02)
    assert 0.01 < stdev(strays) < 0.08


def test_opinions_wander_while_the_price_stands_still(story: GeneratedStory) -> None:
    still = tuple(0.0 for _ in range(GRID.steps + 1))
    middles = [
        float(frame.bids[0][0] + frame.asks[0][0]) / 2
        for frame in story.frames(0, still)
        if frame.at_share < 0.9 and frame.bids and frame.asks
    ]
    # A z-score of 0.15 around one half is six cents.
    assert 0.03 < stdev(middles) < 0.09


def test_at_the_edge_only_the_winner_has_bids(story: GeneratedStory) -> None:
    sure = tuple(0.05 for _ in range(GRID.steps + 1))
    last = list(islice(story.frames(0, sure), 1, 200))[-1]
    assert last.asks == ()
    assert last.bids[0][0] == Decimal("0.99")
    lost = list(islice(story.frames(0, tuple(-value for value in sure)), 1, 200))[-1]
    assert lost.bids == ()
    assert lost.asks[0][0] == Decimal("0.01")
