"""Crash points: one registry, and the code passes exactly what it names."""

import re
from collections import Counter
from pathlib import Path

import pytest

from shared.runtime import faultpoints
from shared.runtime.faultpoints import FULL_NAMES, POINTS, arm, fault_point

REPOSITORY = Path(__file__).parents[4]
CALL = re.compile(r'fault_point\(\s*"([^"]*)"\s*(,?)')


def calls() -> list[tuple[str, bool]]:
    """Every call in the code: its name, and whether it says whose act it is."""
    found = []
    for folder in ("shared", "services"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            if path.name != "faultpoints.py":
                found += [(name, bool(comma)) for name, comma in CALL.findall(path.read_text())]
    return found


def test_every_registered_point_is_passed_at_exactly_one_place_and_no_other_is() -> None:
    assert Counter(name for name, _ in calls()) == Counter(dict.fromkeys(POINTS, 1))


def test_a_point_several_acts_share_is_told_whose_it_is() -> None:
    assert {name for name, has_act in calls() if has_act} == {name for name, acts in POINTS.items() if acts}


def test_no_call_hides_its_name_in_a_variable() -> None:
    for folder in ("shared", "services"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            text = path.read_text()
            if path.name != "faultpoints.py":
                assert len(CALL.findall(text)) == len(re.findall(r"(?<!def )fault_point\(", text)), path


def test_full_names_are_unique() -> None:
    assert len(set(FULL_NAMES)) == len(FULL_NAMES) >= 25


@pytest.fixture
def heard():
    names: list[str] = []
    arm(names.append)
    yield names
    arm(None)


def test_a_hook_hears_the_full_name(heard: list[str]) -> None:
    fault_point("claim.committed")
    fault_point("post.sent", "entry")
    assert heard == ["claim.committed", "entry.post.sent"]


def test_disarmed_nothing_happens(heard: list[str]) -> None:
    arm(None)
    fault_point("claim.committed")
    assert heard == []
    assert faultpoints._hook is None
