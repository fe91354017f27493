"""Finds the strategies of the folder; one that is broken is refused by name and the rest run (S1)."""

import hashlib
import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType

import shared.strategies
from shared.domain.ids import AccountId, InstanceId, StrategyId, digest
from shared.strategies.base import Strategy, StrategyDeclaration

FRAME = frozenset({"base", "loader"})
"""Modules of the folder that are not strategies."""


@dataclass(frozen=True, slots=True)
class LoadedStrategy:
    """A strategy and the hash of the very code that will run."""

    strategy: Strategy
    module: str
    code_hash: str

    @property
    def declaration(self) -> StrategyDeclaration:
        return self.strategy.declaration

    @property
    def strategy_id(self) -> StrategyId:
        return self.declaration.strategy_id

    def instance_id(self, account: AccountId) -> InstanceId:
        """Return the name of this code with these parameters in this account: every signal carries it (B17)."""
        parameters = "".join(f"{key}={value};" for key, value in sorted(self.declaration.parameters.items()))
        named = digest("instance", account, self.strategy_id, self.code_hash, parameters)
        return InstanceId("ins-" + named[:24])


@dataclass(frozen=True, slots=True)
class Loaded:
    """What runs, by id, and why the rest does not, by module or wanted id."""

    strategies: Mapping[StrategyId, LoadedStrategy]
    refused: Mapping[str, str]


def load(wanted: Iterable[str] | None = None, *, folder: ModuleType = shared.strategies) -> Loaded:
    """Return the strategies of the folder, or only those whose id is wanted; a wanted one not found is refused."""
    found: dict[StrategyId, LoadedStrategy] = {}
    refused: dict[str, str] = {}
    for info in sorted(pkgutil.iter_modules(folder.__path__), key=lambda each: each.name):
        if info.name in FRAME or info.name.startswith("_"):
            continue
        loaded = _load_one(f"{folder.__name__}.{info.name}")
        if isinstance(loaded, str):
            refused[info.name] = loaded
        elif loaded.strategy_id in found:
            refused[info.name] = (
                f"the id {loaded.strategy_id!r} is taken by {found[loaded.strategy_id].module}"
            )
        else:
            found[loaded.strategy_id] = loaded
    if wanted is None:
        return Loaded(found, refused)
    names = {StrategyId(name) for name in wanted}
    for name in sorted(names - found.keys()):
        refused.setdefault(name, f"there is no strategy of this id; there are {', '.join(sorted(found))}")
    return Loaded({name: each for name, each in found.items() if name in names}, refused)


def _load_one(name: str) -> LoadedStrategy | str:
    """Return the strategy of one module, or why it cannot run."""
    try:
        module = importlib.import_module(name)
        source = inspect.getsource(module)
    except Exception as error:  # noqa: BLE001 - whatever a stranger's module raises, the others must run
        return f"it cannot be imported: {type(error).__name__}: {error}"
    strategy = getattr(module, "STRATEGY", None)
    if strategy is None:
        return "it has no STRATEGY"
    if not isinstance(getattr(strategy, "declaration", None), StrategyDeclaration):
        return "its STRATEGY has no declaration of the type StrategyDeclaration"
    if not callable(getattr(strategy, "evaluate", None)):
        return "its STRATEGY has no evaluate(view)"
    return LoadedStrategy(strategy, name, hashlib.sha256(source.encode()).hexdigest())
