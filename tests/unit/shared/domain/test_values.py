"""The small values: books, modes, windows."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from shared.domain.books import Book, Level
from shared.domain.modes import Mode, effective
from shared.domain.windows import SettlementRule, Side, Window, WindowState

AT = datetime(2026, 10, 5, 23, 0, tzinfo=UTC)


@pytest.mark.parametrize("control", Mode)
@pytest.mark.parametrize("ceiling", Mode)
def test_a_control_can_only_lower_the_mode(ceiling, control):
    order = [Mode.BACKTEST, Mode.PAPER, Mode.DRY_RUN, Mode.LIVE]
    assert effective(ceiling, control) is order[min(order.index(ceiling), order.index(control))]


def test_a_book_with_an_empty_side_has_no_middle():
    level = Level(Decimal("0.5"), Decimal(1))
    full = Book("1", (level,), (Level(Decimal("0.54"), Decimal(1)),), AT, AT)
    assert (full.best_bid, full.best_ask, full.mid) == (Decimal("0.5"), Decimal("0.54"), Decimal("0.52"))
    empty = Book("1", (), (level,), AT, AT)
    assert (empty.best_bid, empty.best_ask, empty.mid) == (None, Decimal("0.5"), None)
    assert Book("1", (level,), (), AT, AT).mid is None


def test_a_window_measures_itself_in_its_own_length():
    window = Window(
        window_id="w",
        instrument="BTC",
        series="s",
        interval_s=60,
        opens_at=AT,
        closes_at=AT + timedelta(seconds=60),
        state=WindowState.OPEN,
        rule=SettlementRule.CHAINLINK_TWAP,
        lookback_s=4,
        up_token="1",
        down_token="2",
    )
    assert window.fraction_elapsed(AT + timedelta(seconds=56)) == Decimal(14) / 15
    assert window.fraction_elapsed(AT - timedelta(seconds=6)) == Decimal("-0.1")
    assert window.seconds_left(AT + timedelta(milliseconds=59500)) == Decimal("0.5")
    assert (window.token(Side.UP), window.token(Side.DOWN)) == ("1", "2")
    assert (Side.UP.opposite, Side.DOWN.opposite) == (Side.DOWN, Side.UP)
