"""``python -m tests.simulation.history SEED=n OPERATIONS=n``: a long run on a Book of its own, its summary and its verdict.

Ends with status 1 when a promise was broken; the history is then kept where the last line says.
"""

import os
import shutil
import sys
import tempfile
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from deploy.local import embedded
from tests.conftest import migrate
from tests.simulation.history.run import Outcome, late_ms, run

BUCKETS_MS = (1, 2, 5, 10, 20, 50, 100)


def main(arguments: Sequence[str]) -> int:
    """Run, print, and return the exit status."""
    words = dict(os.environ) | dict(word.split("=", 1) for word in arguments if "=" in word)
    seed, operations = int(words.get("SEED") or 1), int(words.get("OPERATIONS") or 20_000)
    folder = Path(tempfile.mkdtemp(prefix="onebook-history-"))
    server = embedded.start(folder / "postgres", durable=False)
    try:
        migrate(server.url)
        outcome = run(
            server.url, lambda role: _as(server.url, role), folder, seed=seed, operations=operations
        )
    finally:
        server.stop()
    show(outcome)
    if outcome.violations or os.environ.get("KEEP"):
        print(f"→ the history is {folder / 'history.jsonl'}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def show(outcome: Outcome) -> None:
    """Print what happened."""
    print(f"→ seed {outcome.seed}: {len(outcome.history)} operations, {len(outcome.rows.orders)} orders")
    for name, count in sorted((outcome.counts() + outcome.nemesis).items()):
        print(f"  {name:<24} {count}")
    for what in ("claim", "send"):
        late = late_ms(outcome.history, what)
        counts = Counter(bisect_left(BUCKETS_MS, each) for each in late if each > 0)
        bars = " ".join(f"≤{most}:{counts[place]}" for place, most in enumerate(BUCKETS_MS) if counts[place])
        print(
            f"  {what}s begun after one of {len(late)} switches was answered: {sum(counts.values())}"
            f" (ms {bars or 'none'}, most {max(late, default=0):.1f})"
        )
    for broken in outcome.violations:
        print(f"✗ {broken.rule}: {broken.what}")
    print(f"→ {len(outcome.violations)} promises broken")


def _as(url: str, role: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
