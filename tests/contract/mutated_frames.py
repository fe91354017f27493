"""Real frames, broken in every way we could think of: no parser may raise anything but a refusal.

``ONEBOOK_RECORDINGS=… python -m tests.contract.mutated_frames`` breaks 100,000 (COUNT=) by one SEED= and prints what
became of them; OUT=file.json writes the numbers. It ends with status 1 when something else was raised.
"""

import json
import os
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.venue.refusals import Refusal
from tests.contract.recorded_frames import EARS, Frame, recorded_frames

COUNT = 100_000
EACH_MAX = 60
"""Frames of one recording and ear that are broken; the Binance days alone hold 75,000."""
_RAW = "\x00raw:"
"""A string that is written without its quotes: what no JSON library would write."""
NASTY: Sequence[Any] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    10**30,
    -(10**30),
    "",
    " ",
    "0",
    "-0",
    "1",
    "NaN",
    "Infinity",
    "1e5",
    "1e999999999",
    "-1e999999999",
    "0.00000000000000000000000000000000000000001",
    "\uff19",
    "0x10",
    "1_000",
    "\u202e\ud800\x00",
    "word",
    "x" * 10_000,
    [],
    {},
    [[]],
    [None],
    {"": {}},
    _RAW + "NaN",
    _RAW + "-Infinity",
    _RAW + "1e999999999",
    _RAW + "1e-999999999",
    _RAW + "1e9999",
    _RAW + "9" * 4_000,
    _RAW + "9" * 5_000,
    _RAW + "-0.0",
    _RAW + "[" * 300 + "]" * 300,
    _RAW + "[" * 50_000,
    _RAW + "{}x",
    _RAW + '"\\ud800"',
    _RAW + '"\\u0000"',
    _RAW + "01",
    _RAW + "+1",
    _RAW + "",
)


@dataclass(slots=True)
class Tally:
    """What became of the broken frames."""

    seed: int
    broken: int = 0
    read: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    by_ear: Counter[str] = field(default_factory=Counter)
    untyped: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "mutations": self.broken,
            "read": self.read,
            "refused": dict(self.refused.most_common()),
            "by_ear": dict(self.by_ear.most_common()),
            "untyped": len(self.untyped),
        }


def chosen(frames: Iterable[Frame]) -> list[Frame]:
    """Return at most EACH_MAX frames of each recording and ear, spread over it."""
    groups: dict[tuple[str, str], list[Frame]] = {}
    for frame in frames:
        groups.setdefault((frame.origin, frame.ear), []).append(frame)
    return [frame for group in groups.values() for frame in group[:: -(-len(group) // EACH_MAX)]]


def mutate(frames: Sequence[Frame], *, count: int, seed: int) -> Tally:
    """Break ``count`` frames and give each to its ear; what is raised besides a refusal is kept in the tally."""
    chance, tally = random.Random(seed), Tally(seed)
    ears = sorted({frame.ear for frame in frames})
    by_ear = {ear: [frame for frame in frames if frame.ear == ear] for ear in ears}
    for serial in range(count):
        ear = ears[serial % len(ears)]
        text = broken(chance.choice(by_ear[ear]).text, chance)
        tally.broken += 1
        tally.by_ear[ear] += 1
        try:
            EARS[ear](text)
            tally.read += 1
        except Refusal as refusal:
            tally.refused[refusal.kind] += 1
        except Exception as error:  # noqa: BLE001 what must not happen is what is looked for
            tally.untyped.append(f"{ear} #{serial}: {type(error).__name__}: {error!s:.200}: {text[:400]!r}")
    return tally


def broken(text: str, chance: random.Random) -> str:
    """Return the frame with one to three things wrong."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        text = _cut_or_scrambled(text, chance) if chance.random() < 0.15 else _restructured(text, chance)
    return text


def _cut_or_scrambled(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text) + 1)
    match chance.randrange(4):
        case 0:
            return text[:at]
        case 1:
            return text[:at] + chance.choice('{}[]",:\\0-.e\u2028\ud800é') + text[at:]
        case 2:
            return text[:at] + text[at + chance.randrange(1, 20) :]
        case _:
            return text + text


def _restructured(text: str, chance: random.Random) -> str:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    places = list(_places(found))
    if not places:
        return _written(chance.choice(NASTY))
    holder, key = chance.choice(places)
    match chance.randrange(6):
        case 0:
            del holder[key]
        case 1 | 2 | 3:
            holder[key] = chance.choice(NASTY)
        case 4:
            other, name = chance.choice(places)
            if other is not holder[key]:
                holder[key] = json.loads(json.dumps(other[name]))
        case _:
            holder[key] = _retyped(holder[key], chance)
    return _written(found)


def _retyped(value: Any, chance: random.Random) -> Any:
    if isinstance(value, str):
        return chance.choice(
            (value.upper(), value[::-1], f"-{value}", f"{value}0", [value], _RAW + (value or "0"))
        )
    if isinstance(value, int | float):
        return chance.choice((str(value)[:4_000], -value, value * 1_000_000, [value], _RAW + f"{value}.5"))
    if isinstance(value, list):
        return chance.choice(
            (value * 3, value[::-1], value[:1], {str(at): each for at, each in enumerate(value)})
        )
    return [value]


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every (container, key) below a node."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in list(items):
        yield node, key
        yield from _places(value)


def _written(found: Any) -> str:
    """Return JSON text, raw pieces without their quotes."""
    text = json.dumps(found)
    marker = json.dumps(_RAW)[1:-1]
    while (begin := text.find(f'"{marker}')) >= 0:
        end = begin + 1
        while text[end] != '"':
            end += 2 if text[end] == "\\" else 1
        text = text[:begin] + json.loads(text[begin : end + 1]).removeprefix(_RAW) + text[end + 1 :]
    return text


def main() -> int:
    folder = os.environ.get("ONEBOOK_RECORDINGS")
    if not folder:
        print("set ONEBOOK_RECORDINGS to the folder of the recorded sets: real frames are what is broken")
        return 2
    seed, count = int(os.environ.get("SEED") or 1), int(os.environ.get("COUNT") or COUNT)
    tally = mutate(chosen(recorded_frames(Path(folder))), count=count, seed=seed)
    print(json.dumps(tally.as_json(), indent=1))
    for line in tally.untyped[:20]:
        print(line.encode("ascii", "backslashreplace").decode())
    if os.environ.get("OUT"):
        Path(os.environ["OUT"]).write_text(json.dumps(tally.as_json(), indent=1) + "\n")
    return 1 if tally.untyped else 0


if __name__ == "__main__":
    sys.exit(main())
