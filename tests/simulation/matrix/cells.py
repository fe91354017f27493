"""The cells: every crash point times every answer of the venue, what strikes there, and which cells cannot happen."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from shared.runtime.faultpoints import FULL_NAMES
from tests.simulation.matrix.answers import ANSWERS
from tests.simulation.matrix.strikes import ACTS
from tests.simulation.matrix.void import void_reason

_WEIGHTS = (40, 20, 25, 15)
"""Of kill, stop, cut, postgres: a server of one's own costs a second more."""
_LATER_SHARE, _LATER_MS_MAX = 0.5, 8.0
_SECOND_ALWAYS = ("reconcile.asked", "reconcile.compared", "settle.read", "settle.recorded")
_SECOND_AFTER_EXECUTION = ("epoch.lock_won", "epoch.taken", "epoch.reconciled")
_OF_RECONCILER = ("reconcile.", "settle.", "epoch.reconciled")


@dataclass(frozen=True, slots=True)
class Blow:
    """One strike of a cell: where and how."""

    point: str
    act: str
    delay_ms: float = 0.0
    """A connection that is lost a little later is lost in the middle of the next statement."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One run: the answer the venue plays, and the blows that fall, the second after the first."""

    answer: str
    blows: tuple[Blow, ...]
    seed: int

    @property
    def point(self) -> str:
        return self.blows[0].point

    @property
    def name(self) -> str:
        second = "".join(f"+{blow.point}" for blow in self.blows[1:])
        return f"{self.point}/{self.answer}{second}"

    @property
    def own_server(self) -> bool:
        return any(blow.act == "postgres" for blow in self.blows)


def is_of_reconciler(point: str) -> bool:
    return point.startswith(_OF_RECONCILER)


def cell(name: str, seed: int) -> Cell:
    """Return the cell of a name ``point/answer`` or ``point/answer+point``; the seed draws the acts.

    Raises ValueError for a point or an answer nobody knows.
    """
    point, _, rest = name.partition("/")
    answer, *seconds = rest.split("+")
    points = (point, *seconds)
    if not set(points) <= set(FULL_NAMES) or answer not in ANSWERS:
        raise ValueError(
            f"no such cell: {name}; points {', '.join(FULL_NAMES)}; answers {', '.join(ANSWERS)}"
        )
    chance = random.Random(f"{seed}:{name}")
    return Cell(answer, tuple(_blow(each, chance) for each in points), seed)


def _blow(point: str, chance: random.Random) -> Blow:
    act = chance.choices(ACTS, _WEIGHTS)[0]
    later = act in {"cut", "postgres"} and chance.random() < _LATER_SHARE
    return Blow(point, act, round(chance.uniform(0.3, _LATER_MS_MAX), 1) if later else 0.0)


def table(seed: int) -> Iterator[tuple[Cell, str | None]]:
    """Yield every cell with the reason why it cannot happen, if it cannot."""
    for point in FULL_NAMES:
        for answer in ANSWERS:
            yield cell(f"{point}/{answer}", seed), void_reason(point, answer)


def pairs(seed: int, count: int) -> list[Cell]:
    """Return cells with a second blow during the recovery from the first, drawn by seed without repeats."""
    chance = random.Random(f"{seed}:pairs")
    possible = [each for each, void in table(seed) if void is None]
    drawn: dict[str, Cell] = {}
    while len(drawn) < count:
        first = chance.choice(possible)
        second = chance.choice(_after(first.point))
        name = f"{first.point}/{first.answer}+{second}"
        drawn.setdefault(name, cell(name, seed))
    return list(drawn.values())


def _after(point: str) -> list[str]:
    """Return the points the recovery from a blow is sure to pass."""
    found = [*_SECOND_ALWAYS, *(() if is_of_reconciler(point) else _SECOND_AFTER_EXECUTION * 2)]
    # A repair waits for executors that are held away, and the window may be settled before it.
    over = "redeem." in point or point in {"settle.recorded", "reconcile.repaired"}
    return [each for each in found if each != point and not (over and each.startswith("settle."))]


def covering(seed: int, count: int) -> list[Cell]:
    """Return ``count`` cells in which each point and each answer occurs; those that wait a minute come first."""
    chance = random.Random(f"{seed}:covering")
    possible = [each for each, void in table(seed) if void is None and not _waits_twice(each)]
    chance.shuffle(possible)
    chosen: list[Cell] = []
    points, answers = set(FULL_NAMES), set(ANSWERS)
    while points or answers:
        best = max(possible, key=lambda each: (each.point in points) + (each.answer in answers))
        chosen.append(best)
        possible.remove(best)
        points.discard(best.point)
        answers.discard(best.answer)
    chosen += possible[: max(0, count - len(chosen))]
    return sorted(chosen, key=lambda each: "redeem." not in each.point)


def _waits_twice(each: Cell) -> bool:
    """A redemption that is lost twice is asked for a third time after two minutes: for the whole table alone."""
    return "redeem." in each.point and ANSWERS[each.answer].kind == "write"
