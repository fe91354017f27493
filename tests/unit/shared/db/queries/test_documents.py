"""What is kept as JSON keeps every digit, and whatever a venue sends can be kept."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from shared.db.queries.documents import dump
from shared.domain.modes import Mode


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (Decimal("0.10000000000000000000000001"), "0.10000000000000000000000001"),
        (Decimal("1.50"), "1.50"),
        (2**200, 2**200),
        (datetime(2026, 1, 2, 3, 4, 5, 678901, UTC), "2026-01-02T03:04:05.678901Z"),
        (timedelta(seconds=1, microseconds=1), "PT1.000001S"),
        (-timedelta(milliseconds=250), "-PT0.25S"),
        (Mode.PAPER, "PAPER"),
        ((1, None, True), [1, None, True]),
        (frozenset({"a"}), ["a"]),
        ({"deep": [{"amount": Decimal("0.1")}]}, {"deep": [{"amount": "0.1"}]}),
        (ValueError("no"), "no"),
    ],
)
def test_values_are_kept_exactly(value, kept):
    assert json.loads(dump({"value": value})) == {"value": kept}


@pytest.mark.parametrize("odd", ["\0", "\ud800", "a\udc00\0b", "\U0001f600\0"])
def test_what_postgres_does_not_keep_is_marked(odd):
    marked = "".join("\ufffd" if each == "\0" or "\ud800" <= each <= "\udfff" else each for each in odd)
    found = json.loads(dump({odd: [odd, (odd,)], "inner": {"value": odd}, "amount": Decimal("1.0")}))
    assert found == {marked: [marked, [marked]], "inner": {"value": marked}, "amount": "1.0"}


def test_text_that_only_looks_like_nul_stays_as_it_is():
    assert json.loads(dump({"value": r"\u0000"})) == {"value": r"\u0000"}
