"""When a measured clock is off (C13)."""

from decimal import Decimal

import pytest

from shared.domain.clocks import MeasuredClock


@pytest.mark.parametrize(
    ("offset", "error", "off"), [(1000, 0, False), (1001, 0, True), (-1001, 0, True), (1200, 300, False)]
)
def test_a_clock_is_off_beyond_a_second_whatever_the_error_of_measuring(offset, error, off):
    assert MeasuredClock("clob", Decimal(offset), Decimal(error)).is_off is off
