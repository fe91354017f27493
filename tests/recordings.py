"""The recorded sets, where there are any: real data is read, never committed."""

import os
from pathlib import Path

import pytest

VARIABLE = "ONEBOOK_RECORDINGS"


def recorded_sets(unproved: str) -> Path:
    """Return the folder of the recorded sets; without it skip, saying what a user then only hopes for."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"not proved here: {unproved}. Set {VARIABLE} to the folder of the recorded sets")
    return Path(folder)
