"""Which code this is: compared with the floor the Book records (B7)."""

VERSION = "0.1.0"
"""The same as in pyproject.toml; a test compares."""
