"""The house rules as functions of a file's text, so that each can be shown a bad sample."""

import ast
import re
from collections.abc import Iterator

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
BANNED_WORDS = frozenset({"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"})
BOOK_WORDS = re.compile(r"(^|_)(orders|positions|entries|fills|balances)(_|$)")
COLLECTIONS = frozenset(
    {"dict", "list", "set", "deque", "defaultdict", "OrderedDict", "Counter", "frozenset", "tuple"}
)
METRIC_TYPES = frozenset({"Counter", "Gauge", "Histogram", "Summary"})
METRIC_UNITS = (
    "seconds",
    "bytes",
    "ratio",
    "usdc",
    "shares",
    "connections",
    "orders",
    "positions",
    "windows",
    "signals",
    "ticks",
)
METRIC_STATES = ("up", "connected", "leading", "open", "epoch", "info")
"""What is yes or no, or a bare number, has no unit; each word here says so in itself."""


def long_file(text: str) -> Iterator[str]:
    """A file is about one noun."""
    lines = text.count("\n")
    if lines > FILE_LINES_MAX:
        yield f"{lines} lines, at most {FILE_LINES_MAX}"


def long_functions(text: str) -> Iterator[str]:
    """A function fits on a screen."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{node.name}() has {lines} lines, at most {FUNCTION_LINES_MAX}"


def banned_names(path: str, text: str) -> Iterator[str]:
    """What has no name has no place yet."""
    for part in path.removesuffix(".py").split("/"):
        if BANNED_WORDS & set(part.lower().split("_")):
            yield f"the name {part} says nothing"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            words = re.findall(r"[A-Z][a-z]+", node.name)
            if words and words[-1].lower() in BANNED_WORDS:
                yield f"class {node.name} says nothing"


def floats(text: str) -> Iterator[str]:
    """Money is Decimal: where it is decided, no number becomes a float."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float":
            yield f"line {node.lineno}: float()"


def kept_books(text: str) -> Iterator[str]:
    """The Book is in Postgres alone: no object keeps a collection of its rows (P1, AC2.1)."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.AnnAssign):
            targets, value, annotation = [node.target], node.value, node.annotation
        elif isinstance(node, ast.Assign):
            targets, value, annotation = node.targets, node.value, None
        else:
            continue
        for target in targets:
            if _is_own_attribute(target) and (_is_collection(value) or _is_collection(annotation)):
                yield f"line {node.lineno}: self.{target.attr} keeps rows of the Book"  # type: ignore[attr-defined]


def _is_own_attribute(target: ast.expr) -> bool:
    return (
        isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
        and BOOK_WORDS.search(target.attr) is not None
    )


def _is_collection(node: ast.expr | None) -> bool:
    if isinstance(node, ast.Dict | ast.List | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp):
        return True
    if isinstance(node, ast.Subscript | ast.Call):
        inner = node.value if isinstance(node, ast.Subscript) else node.func
        return isinstance(inner, ast.Name) and inner.id in COLLECTIONS
    return isinstance(node, ast.Name) and node.id in COLLECTIONS


def metrics(path: str, text: str) -> Iterator[str]:
    """Metrics are declared in one file, named after the service, with a unit and a meaning."""
    for node in ast.walk(ast.parse(text)):
        if not (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in METRIC_TYPES
        ):
            continue
        texts = [
            part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str)
        ]
        if node.func.id == "Counter" and not texts:
            continue  # collections.Counter
        name = texts[0] if texts else ""
        parts = path.split("/")
        prefix = f"{parts[1]}_" if parts[0] == "services" else "onebook_"
        if parts[-1] != "metrics.py":
            yield f"line {node.lineno}: {name} is declared outside metrics.py"
        if not name.startswith(prefix):
            yield f"line {node.lineno}: {name} does not begin with {prefix}"
        if node.func.id == "Counter" and not name.endswith("_total"):
            yield f"line {node.lineno}: {name} counts, so it ends in _total"
        if node.func.id != "Counter" and name.rpartition("_")[2] not in METRIC_UNITS + METRIC_STATES:
            yield f"line {node.lineno}: {name} has no unit"
        if len(texts) < 2:
            yield f"line {node.lineno}: {name} does not say what it means"


def outcomes_without_unknown(text: str) -> Iterator[str]:
    """Whoever tells outcomes apart says what happens when we cannot tell (P4, AC5.3)."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Match):
            continue
        named = {
            part.cls.id if isinstance(part.cls, ast.Name) else getattr(part.cls, "attr", "")
            for case in node.cases
            for part in ast.walk(case.pattern)
            if isinstance(part, ast.MatchClass)
        }
        if named & {"KnownFailure", "Success"} and "Unknown" not in named:
            yield f"line {node.lineno}: match on an outcome without an Unknown arm"


def transactions_outside_actions(path: str, text: str) -> Iterator[str]:
    """One function of ``actions`` is one transaction; nobody else opens one."""
    if path.endswith("/actions.py"):
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "begin":
            yield f"line {node.lineno}: begin() belongs in actions.py"


def sleeps(text: str) -> Iterator[str]:
    """A test waits for the effect, never for time to pass."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "sleep":
            yield f"line {node.lineno}: sleep()"
