"""The Data API may be late, hides dust and proves nothing; what differs for two minutes is told."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from services.risk_monitor.auditing.decide import gaps, lasting

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
D = Decimal


def test_a_difference_is_told_once_no_lateness_explains_it():
    first = gaps({"1": D(4)}, {}, before={}, now=NOW)
    assert lasting(first, NOW) == []
    soon = gaps({"1": D(4)}, {"1": D(3)}, before=first, now=NOW + timedelta(seconds=119))
    assert lasting(soon, NOW + timedelta(seconds=119)) == []
    (gap,) = lasting(gaps({"1": D(4)}, {}, before=soon, now=NOW), NOW + timedelta(seconds=120))
    assert (gap.token_id, gap.book, gap.data_api, gap.since) == ("1", 4, 0, NOW)


def test_a_difference_that_went_begins_anew():
    first = gaps({"1": D(4)}, {}, before={}, now=NOW)
    assert gaps({"1": D(4)}, {"1": D(4)}, before=first, now=NOW) == {}
    again = gaps({"1": D(4)}, {}, before={}, now=NOW + timedelta(minutes=3))
    assert lasting(again, NOW + timedelta(minutes=3)) == []


def test_dust_and_tokens_the_book_does_not_know_are_no_difference():
    assert gaps({"1": D("4.009")}, {"1": D(4), "old": D(7)}, before={}, now=NOW) == {}
