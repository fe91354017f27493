"""``make bench``: ratios against floors measured in the same run.

``ONLY=latency,capture`` runs some, ``OUT=file.json`` writes all figures as one flat object. A benchmark is a module with
``measure(place) -> Findings``; its name here may stand for several modules.
"""

import json
import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from tests.benchmarks.figures import Findings
from tests.benchmarks.ground import Ground

BENCHMARKS: dict[str, tuple[str, ...]] = {
    "latency": ("signal_to_socket", "takeover", "kill_switch"),
    "signal_to_socket": ("signal_to_socket",),
    "takeover": ("takeover",),
    "kill_switch": ("kill_switch",),
    "capture": ("capture",),
}
"""What ONLY may name, and the modules of this folder it stands for."""


def chosen(only: str) -> list[str]:
    """Return the modules to run, each once, in the order of the list; raises SystemExit for a name that is none."""
    names = [name.strip() for name in only.split(",") if name.strip()] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}")
    return list(dict.fromkeys(module for name in names for module in BENCHMARKS[name]))


def main() -> int:
    found: dict[str, Findings] = {}
    with (
        tempfile.TemporaryDirectory(prefix="onebook-bench-") as folder,
        Ground.prepare(Path(folder)) as ground,
    ):
        for name in chosen(os.environ.get("ONLY", "")):
            print(f"→ {name}", flush=True)
            found[name] = import_module(f"tests.benchmarks.{name}").measure(ground)
            print(found[name].text, flush=True)
            for fault in found[name].faults:
                print(f"  FAULT: {fault}", flush=True)
    out = os.environ.get("OUT")
    if out:
        figures = {key: value for each in found.values() for key, value in each.figures.items()}
        Path(out).write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if any(each.faults for each in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
