"""All services together, with a standby of each, fit into a server that nobody has tuned (B4)."""

import re
from pathlib import Path

import pytest

from shared.db.engine import POOL_MAX

SERVICES = Path(__file__).parents[4] / "services"
STOCK_SERVER = 100 - 3
"""Postgres's own max_connections, less those it keeps for superusers."""
OPENS = {
    r"await Database\.connect\(": POOL_MAX,
    r"\bListener\(": 1,
    r"\bLockCandidate,": 1,  # handed on by a partial
    r"CaptureSession\.try_open|raw_connection\(\)": 1,
}
"""What opens connections for as long as a service runs, and how many at most."""
RUNNING = ("feed_collector", "signal_engine", "execution", "risk_monitor", "reconciler", "dashboard")


def connections(service: str) -> int:
    texts = [path.read_text() for path in (SERVICES / service).rglob("*.py")]
    return sum(
        most * len(re.findall(pattern, re.sub(r"^(from|import) .*$", "", text, flags=re.MULTILINE)))
        for pattern, most in OPENS.items()
        for text in texts
    )


@pytest.mark.parametrize("service", RUNNING)
def test_a_service_has_one_pool_of_the_common_size(service):
    text = "".join(path.read_text() for path in (SERVICES / service).rglob("*.py"))
    assert len(re.findall(r"await Database\.connect\(", text)) == 1
    assert "pool_max=" not in text
    assert connections(service) >= POOL_MAX


def test_a_standby_of_each_fits_beside_them():
    needed = {service: 2 * connections(service) for service in RUNNING}
    assert sum(needed.values()) <= STOCK_SERVER, needed
