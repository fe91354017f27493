"""The shape of the house; every rule is also shown a sample it must refuse."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture import rules

REPOSITORY = Path(__file__).parents[2]
SERVICES_ALIKE = ("feed_collector", "signal_engine", "execution", "risk_monitor", "reconciler")
SERVICE_FILES = ("__init__", "__main__", "config", "metrics", "decide", "actions", "loops")


def sources(*folders: str) -> Iterator[tuple[str, str]]:
    """Yield path from the root and text of every Python file below these folders."""
    for folder in folders:
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            if "node_modules" not in path.parts:
                yield str(path.relative_to(REPOSITORY)), path.read_text()


def is_money(path: str) -> bool:
    return path.startswith(("shared/domain/", "shared/strategies/")) or path.endswith("/decide.py")


def keeps_no_book(path: str) -> bool:
    """The fake world has a book of its own, the models are judged against it, and queries make values of rows."""
    return not path.startswith(
        ("services/simulator/", "services/backtesting/", "shared/domain/", "shared/db/queries/")
    )


def violations(rule, files, *, with_path=False) -> list[str]:
    return [
        f"{path}: {what}" for path, text in files for what in (rule(path, text) if with_path else rule(text))
    ]


OF_A_WHOLE_FOLDER = {
    "tests/unit/shared/domain/test_transitions.py": "every transition table, cell by cell",
    "tests/unit/shared/domain/test_states_page.py": "the page drawn from every transition table",
    "tests/unit/shared/domain/test_values.py": "what all values have in common",
    "tests/unit/shared/strategies/test_strategies.py": "what every strategy must keep to",
}
LOOKS_AGAIN = {
    "tests/processes.py": "the one place that waits for another process's effect, by looking again",
}
EVERYWHERE = ("shared", "services", "deploy", "tests", "alembic")


def test_files_are_about_one_noun():
    assert violations(rules.long_file, sources(*EVERYWHERE)) == []


def test_functions_fit_on_a_screen():
    assert violations(rules.long_functions, sources(*EVERYWHERE)) == []


def test_names_say_something():
    assert violations(rules.banned_names, sources("shared", "services", "deploy"), with_path=True) == []


def test_money_is_never_a_float():
    files = [(path, text) for path, text in sources("shared", "services") if is_money(path)]
    assert violations(rules.floats, files) == []


def test_no_module_keeps_a_copy_of_the_book():
    files = [(path, text) for path, text in sources("shared", "services") if keeps_no_book(path)]
    assert violations(rules.kept_books, files) == []


def test_metrics_have_a_home_a_prefix_a_unit_and_a_meaning():
    assert violations(rules.metrics, sources("shared", "services"), with_path=True) == []


def test_every_match_on_an_outcome_knows_unknown():
    assert violations(rules.outcomes_without_unknown, sources("shared", "services")) == []


def test_transactions_are_opened_in_actions_only():
    assert violations(rules.transactions_outside_actions, sources("services"), with_path=True) == []


def test_tests_wait_for_effects():
    files = [(path, text) for path, text in sources("tests") if path not in LOOKS_AGAIN]
    assert violations(rules.sleeps, files) == []


def test_alembic_is_no_package():
    assert list((REPOSITORY / "alembic").rglob("__init__.py")) == []


@pytest.mark.parametrize("service", SERVICES_ALIKE)
def test_after_the_second_service_you_know_the_seventh(service):
    folder = REPOSITORY / "services" / service
    if not (folder / "__main__.py").exists():
        return  # not built yet
    parts = {path.stem for path in folder.iterdir()}  # a part that grew is a folder of that name
    assert [name for name in SERVICE_FILES if name not in parts] == []
    card = (folder / "__init__.py").read_text()
    assert card.startswith(f'"""{service}: ')
    assert [word for word in ("Decides", "Never") if word not in card] == []


def test_unit_tests_mirror_the_code():
    strangers = []
    for path in sorted((REPOSITORY / "tests/unit").rglob("test_*.py")):
        if str(path.relative_to(REPOSITORY)) in OF_A_WHOLE_FOLDER:
            continue
        home = REPOSITORY / path.parent.relative_to(REPOSITORY / "tests/unit")
        name = path.stem.removeprefix("test_")
        modules = {part.stem.strip("_") for part in home.glob("*")}
        if not any(name == module or name.startswith(f"{module}_") for module in modules):
            strangers.append(str(path.relative_to(REPOSITORY)))
    assert strangers == []


BAD = {
    "long file": (rules.long_file, "x = 1\n" * 401),
    "long function": (rules.long_functions, "def f():\n" + "    x = 1\n" * 60),
    "long method": (rules.long_functions, "class C:\n    async def f(self):\n" + "        x = 1\n" * 60),
    "float": (rules.floats, "cost = float(price)"),
    "kept dict": (rules.kept_books, "class C:\n    def __init__(self):\n        self._orders = {}"),
    "kept list": (
        rules.kept_books,
        "class C:\n    def __init__(self):\n        self.open_positions: list[int] = []",
    ),
    "kept by call": (
        rules.kept_books,
        "class C:\n    def f(self, rows):\n        self._entries_by_id = dict(rows)",
    ),
    "no unknown": (
        rules.outcomes_without_unknown,
        "match o:\n    case Success():\n        pass\n    case KnownFailure():\n        pass",
    ),
    "hidden rest": (
        rules.outcomes_without_unknown,
        "match o:\n    case outcomes.Success(v):\n        pass\n    case _:\n        pass",
    ),
    "sleep": (rules.sleeps, "import asyncio\nasync def test():\n    await asyncio.sleep(1)"),
}


@pytest.mark.parametrize("sample", BAD)
def test_a_bad_sample_is_refused(sample):
    rule, text = BAD[sample]
    assert list(rule(text))


BAD_WITH_PATH = {
    "utils": (rules.banned_names, "shared/runtime/utils.py", ""),
    "helper folder": (rules.banned_names, "shared/db_helpers/x.py", ""),
    "manager": (rules.banned_names, "shared/x.py", "class OrderManager: ..."),
    "metric elsewhere": (
        rules.metrics,
        "services/execution/loops.py",
        'Gauge("execution_age_seconds", "How old.")',
    ),
    "foreign prefix": (
        rules.metrics,
        "services/execution/metrics.py",
        'Gauge("orders_age_seconds", "How old.")',
    ),
    "no unit": (rules.metrics, "services/execution/metrics.py", 'Gauge("execution_age", "How old.")'),
    "no total": (rules.metrics, "services/execution/metrics.py", 'Counter("execution_submits", "Sent.")'),
    "no meaning": (rules.metrics, "shared/observability/metrics.py", 'Gauge("onebook_age_seconds")'),
    "begin": (
        rules.transactions_outside_actions,
        "services/execution/loops.py",
        "async with db.begin() as tx: ...",
    ),
}


@pytest.mark.parametrize("sample", BAD_WITH_PATH)
def test_a_bad_sample_with_its_path_is_refused(sample):
    rule, path, text = BAD_WITH_PATH[sample]
    if "async with" in text:
        text = f"async def f():\n    {text}"
    assert list(rule(path, text))


def test_good_samples_pass():
    assert (
        list(rules.kept_books("class C:\n    def __init__(self):\n        self._orders_waiting_s = 3")) == []
    )
    assert list(rules.metrics("services/execution/x.py", "Counter(words)")) == []
    assert list(rules.outcomes_without_unknown("match shape:\n    case Circle():\n        pass")) == []
