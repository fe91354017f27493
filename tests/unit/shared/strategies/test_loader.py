"""Strategies are found by themselves; a broken one is refused by name and the rest run (S1)."""

import importlib
import sys
import textwrap
from pathlib import Path

import pytest

import shared.strategies
from shared.strategies.loader import load

GOOD = """
from decimal import Decimal
from shared.strategies.base import StrategyDeclaration

class Good:
    declaration = StrategyDeclaration("{id}", "1", "it wins", Decimal(0), Decimal(1), parameters={{"edge": "{edge}"}})
    def evaluate(self, view):
        return None

STRATEGY = Good()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch, request):
    """A folder of strategies of its own; ``folder(name=source, …)`` writes the modules and returns the package."""
    name = f"strategies_of_{request.node.name.partition('[')[0]}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)

    def write(**modules):
        for module, source in modules.items():
            (tmp_path / name / f"{module}.py").write_text(source)
        for loaded in [each for each in sys.modules if each.partition(".")[0] == name]:
            del sys.modules[loaded]
        importlib.invalidate_caches()
        return importlib.import_module(name)

    yield write
    for loaded in [each for each in sys.modules if each.partition(".")[0] == name]:
        del sys.modules[loaded]


def test_every_strategy_of_the_project_runs():
    loaded = load()
    assert set(loaded.strategies) == {"always-trade-canary", "oracle-average"}
    assert loaded.refused == {}


def test_a_module_dropped_into_the_folder_is_found(folder):
    loaded = load(folder=folder(mine=GOOD.format(id="mine", edge=1)))
    assert list(loaded.strategies) == ["mine"]
    assert len(loaded.strategies["mine"].code_hash) == 64


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("this is no python", "SyntaxError"),
        ("import nowhere_to_be_found", "ModuleNotFoundError"),
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("x = 1", "it has no STRATEGY"),
        ("STRATEGY = object()", "no declaration"),
        (GOOD.format(id="", edge=1), "ValueError"),
        (
            GOOD.format(id="x", edge=1).replace("Decimal(0), Decimal(1)", "Decimal(1), Decimal(1)"),
            "fractions of the window",
        ),
        (GOOD.format(id="x", edge=1).replace("def evaluate", "def guess"), "no evaluate"),
    ],
)
def test_a_broken_one_is_refused_by_name_and_the_rest_run(folder, source, reason):
    loaded = load(folder=folder(broken=source, good=GOOD.format(id="good", edge=1)))
    assert list(loaded.strategies) == ["good"]
    assert list(loaded.refused) == ["broken"]
    assert reason in loaded.refused["broken"]


def test_the_second_strategy_of_one_id_is_refused(folder):
    loaded = load(folder=folder(a=GOOD.format(id="same", edge=1), b=GOOD.format(id="same", edge=2)))
    assert loaded.strategies["same"].module.endswith(".a")
    assert "taken by" in loaded.refused["b"]


def test_only_the_wanted_ones_run_and_a_misspelt_one_is_refused():
    loaded = load(["always-trade-canary", "cannary"])
    assert list(loaded.strategies) == ["always-trade-canary"]
    assert "always-trade-canary, oracle-average" in loaded.refused["cannary"]


def test_the_frame_of_the_folder_is_no_strategy(folder):
    assert load(folder=folder(base="x = 1", loader="x = 1", _draft="x = 1")).refused == {}
    assert shared.strategies.__doc__ is not None


def test_an_instance_is_named_by_account_code_and_parameters(folder):
    def instance(source, account="main"):
        return load(folder=folder(mine=source)).strategies["mine"].instance_id(account)

    source = GOOD.format(id="mine", edge=1)
    first = instance(source)
    assert first == instance(source)
    assert (
        len(
            {
                first,
                instance(source, "other"),
                instance(source + "\n# changed"),
                instance(GOOD.format(id="mine", edge=2)),
            }
        )
        == 4
    )


def test_the_example_of_the_page_runs(folder):
    page = (Path(__file__).parents[4] / "docs" / "strategies.md").read_text()
    example = textwrap.dedent(page.partition("```python\n")[2].partition("```")[0].rpartition("\n")[0])
    loaded = load(folder=folder(cheap_up=example))
    assert list(loaded.strategies) == ["cheap-up"], loaded.refused


def test_the_page_names_every_strategy_there_is():
    page = (Path(__file__).parents[4] / "docs" / "strategies.md").read_text()
    for strategy_id, loaded in load().strategies.items():
        assert f"| `{strategy_id}` | `{loaded.module.rpartition('.')[2]}.py` |" in page
