"""Forty cells of the fault matrix in which every crash point and every answer of the venue occurs."""

import pytest

from shared.runtime.faultpoints import FULL_NAMES
from tests.simulation.matrix.answers import ANSWERS
from tests.simulation.matrix.cells import cell, covering, pairs, table
from tests.simulation.matrix.ground import ground
from tests.simulation.matrix.running import run_cells
from tests.simulation.matrix.strikes import ACTS

SEED = 1
CELLS = 40


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_forty_covering_cells_hold() -> None:
    cells = covering(SEED, CELLS)
    with ground(seed=SEED) as common:
        results = run_cells(common, cells, "cell", on_failure=lambda result: print(result.logs))
    assert {result.cell.name: result.problems for result in results if result.problems} == {}


def test_the_covering_cells_cover_every_point_answer_and_act() -> None:
    cells = covering(SEED, CELLS)
    assert len(cells) == len({each.name for each in cells}) == CELLS
    assert {each.point for each in cells} == set(FULL_NAMES)
    assert {each.answer for each in cells} == set(ANSWERS)
    assert {blow.act for each in cells for blow in each.blows} == set(ACTS)


def test_the_table_is_every_point_times_every_answer_and_void_cells_say_why() -> None:
    cells = list(table(SEED))
    assert len(cells) == len(FULL_NAMES) * len(ANSWERS)
    assert len(FULL_NAMES) >= 25
    assert len(ANSWERS) >= 15
    assert all(reason is None or len(reason) > 20 for _, reason in cells)
    for name in FULL_NAMES:
        assert any(each.point == name and reason is None for each, reason in cells), name


def test_a_seed_draws_the_same_cells_again() -> None:
    assert pairs(7, 50) == pairs(7, 50)
    assert pairs(7, 50) != pairs(8, 50)
    assert cell("claim.committed/refused", 3) == cell("claim.committed/refused", 3)


def test_pairs_strike_twice_and_never_at_the_same_point() -> None:
    drawn = pairs(SEED, 200)
    assert len({each.name for each in drawn}) == 200
    assert all(len({blow.point for blow in each.blows}) == 2 for each in drawn)


@pytest.mark.parametrize("name", ["nowhere/refused", "claim.committed/nothing", "claim.committed"])
def test_a_cell_nobody_knows_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no such cell"):
        cell(name, 1)
