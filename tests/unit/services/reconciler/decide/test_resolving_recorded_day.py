"""Every market of a recorded day, settled by our own rule over our own ticks, against the venue's word (C10, D9)."""

import bisect
import csv
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from services.reconciler.decide.resolving import READINGS_AROUND, own_direction
from shared.domain.settlement import Direction, Reading, rule_of
from shared.domain.windows import SettlementRule
from tests.recordings import recorded_sets

UNPROVED = (
    "that our own direction is the venue's on a whole real day, so a wrong settlement could go unnoticed"
)
LENGTH = timedelta(minutes=5)
WEI = Decimal(10) ** 18


class RecordedDay:
    """The oracle's ticks of 2026-06-08 as received, and 292 five-minute markets with the venue's result."""

    def __init__(self, folder: Path) -> None:
        table = pq.read_table(folder / "chainlink_btcusd_1s.parquet")
        told = zip(table["feed_ts_ms"].to_pylist(), table["full_accuracy_value"].to_pylist(), strict=True)
        self.readings = [
            Reading(datetime.fromtimestamp(at / 1000, UTC), Decimal(value) / WEI)
            for at, value in sorted(set(told))
        ]
        self._at = [reading.at for reading in self.readings]
        with (folder / "windows.csv").open() as file:
            self.markets = list(csv.DictReader(file))

    def around(self, boundary: datetime) -> list[Reading]:
        """What the reconciler reads of a boundary."""
        first = bisect.bisect_left(self._at, boundary - READINGS_AROUND)
        return self.readings[first : bisect.bisect_right(self._at, boundary + READINGS_AROUND)]

    def exact(self, boundary: datetime) -> Decimal | None:
        return next((reading.price for reading in self.around(boundary) if reading.at == boundary), None)


@pytest.fixture(scope="module")
def day():
    return RecordedDay(recorded_sets(UNPROVED) / "chainlink_btc_settlement_20260608")


def test_every_decidable_outcome_of_the_day_comes_out_right_and_no_other_wrong(day):
    """Decidable: the report of the closing second was captured, and the strike is known or captured."""
    found: Counter[tuple[bool, str]] = Counter()
    for market in day.markets:
        opens_at = datetime.fromtimestamp(int(market["window_epoch"]), UTC)
        closes_at = opens_at + LENGTH
        rule = rule_of(interval_s=300, closes_at=closes_at, twap_enabled=None)
        assert rule is SettlementRule.CHAINLINK_SPOT, "before the seventh of August"
        ours = own_direction(
            rule,
            opens_at=opens_at,
            closes_at=closes_at,
            opening=day.around(opens_at),
            closing=day.around(closes_at),
            strike=Decimal(market["strike_e18"]) / WEI if market["strike_e18"] else None,
        )
        start = day.exact(opens_at) is not None or bool(market["strike_e18"])
        decidable = start and day.exact(closes_at) is not None
        verdict = (
            "undecided"
            if ours is Direction.UNDECIDED
            else str(ours.value.lower() == market["winner"].lower())
        )
        found[decidable, verdict] += 1
    assert found[True, "True"] == 280
    assert found[True, "False"] == found[False, "False"] == 0
    assert found[True, "undecided"] == 0


def test_the_strike_is_the_report_of_the_opening_second(day):
    compared = [
        (day.exact(datetime.fromtimestamp(int(market["window_epoch"]), UTC)), market["strike_e18"])
        for market in day.markets
    ]
    both = [(exact, Decimal(strike) / WEI) for exact, strike in compared if exact is not None and strike]
    assert len(both) >= 279
    assert all(exact == strike for exact, strike in both)
