"""What contract tests ask for by name."""

from typing import Any

import pytest

from shared.venue import writes


@pytest.fixture
def impatient(monkeypatch):
    """Let our client give up a lost answer after a fifth of a second; the taker's hold here is 5 ms."""
    original = writes.HttpWrites.__init__

    def quick(self: writes.HttpWrites, base_url: str, clock: Any) -> None:
        original(self, base_url, clock, answer_s=0.2)

    monkeypatch.setattr(writes.HttpWrites, "__init__", quick)
