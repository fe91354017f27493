"""A guard: one piece of code that keeps a promise, how it looks when it is gone, and the test that must then fail."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FUNCTION = "sql:"
"""A place that begins so is the newest definition of that SQL function, whichever migration holds it."""


@dataclass(frozen=True, slots=True)
class Guard:
    """``text`` stands once in ``place``; with ``without`` instead, ``test`` must fail."""

    name: str
    row: str
    """The requirement it serves."""
    place: str
    text: str
    without: str
    test: str
    """``tests/….py::name``; of a parametrized test any case will do."""


class GuardMoved(LookupError):
    """The text of a guard is not where the list says, or stands there more than once: mend the list."""


def sql_files(root: Path) -> Iterator[Path]:
    """Yield the files of the Book's schema and functions in the order in which migrations run them."""
    folder = root / "alembic" / "sql"
    yield from sorted((folder / "schema").glob("*.sql"))
    yield from sorted((folder / "functions").glob("*.sql"))
    yield from sorted(folder.glob("[0-9]*/up.sql"))


def find(guard: Guard, root: Path) -> tuple[Path, int]:
    """Return the file a guard stands in and where; raises GuardMoved."""
    if guard.place.startswith(FUNCTION):
        path, start, end = _function(guard.place.removeprefix(FUNCTION), root)
    else:
        path = root / guard.place
        if not path.exists():
            raise GuardMoved(f"{guard.name}: there is no {guard.place}")
        start, end = 0, len(path.read_text())
    body = path.read_text()[start:end]
    if body.count(guard.text) != 1:
        raise GuardMoved(f"{guard.name}: its text stands {body.count(guard.text)} times in {guard.place}")
    return path, start + body.index(guard.text)


def _function(name: str, root: Path) -> tuple[Path, int, int]:
    """Return the file, begin and end of the newest definition of an SQL function or view."""
    begins = re.compile(rf"^CREATE (?:OR REPLACE )?(?:FUNCTION|VIEW) {re.escape(name)}\b", re.MULTILINE)
    for path in reversed(list(sql_files(root))):
        text = path.read_text()
        found = list(begins.finditer(text))
        if found:
            start = found[-1].start()
            following = re.compile(r"^CREATE |^-- Promise|^GRANT |^REVOKE ", re.MULTILINE).search(
                text, found[-1].end()
            )
            return path, start, following.start() if following else len(text)
    raise GuardMoved(f"no SQL function or view is called {name}")


def remove(guard: Guard, root: Path) -> None:
    """Take a guard out of the tree under ``root``; raises GuardMoved."""
    path, at = find(guard, root)
    text = path.read_text()
    path.write_text(text[:at] + guard.without + text[at + len(guard.text) :])
