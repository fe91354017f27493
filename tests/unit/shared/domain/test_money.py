"""Money: exact, finite, six decimals, rounded only where it says so."""

from decimal import Decimal

import pytest

from shared.domain.money import down, from_micro, is_on_grid, parse, to_micro, up


def test_text_and_integers_are_read_exactly():
    assert parse("0.1") + parse("0.2") == Decimal("0.3")
    assert parse(5) == 5


@pytest.mark.parametrize("bad", [0.1, "ten", "", "NaN", "Infinity", "-Infinity"])
def test_what_is_no_exact_number_is_refused(bad):
    with pytest.raises(ValueError, match=r"number|float"):
        parse(bad)


def test_rounding_says_its_direction():
    assert (down(Decimal("1.23456789")), up(Decimal("1.23456711"))) == (
        Decimal("1.234567"),
        Decimal("1.234568"),
    )
    assert (down(Decimal("0.525"), Decimal("0.01")), up(Decimal("0.521"), Decimal("0.01"))) == (
        Decimal("0.52"),
        Decimal("0.53"),
    )
    assert down(Decimal(-1)) == up(Decimal(-1)) == -1


def test_base_units_lose_nothing():
    assert to_micro(Decimal("1.234567")) == 1234567
    assert from_micro(1234567) == Decimal("1.234567")
    with pytest.raises(ValueError, match="six decimals"):
        to_micro(Decimal("0.0000001"))


@pytest.mark.parametrize(
    ("price", "tick", "on_grid"),
    [
        ("0.5", "0.01", True),
        ("0.505", "0.01", False),
        ("0.01", "0.01", True),
        ("0.99", "0.01", True),
        ("1", "0.01", False),
        ("0", "0.01", False),
    ],
)
def test_a_price_lies_on_the_ticks_within_a_tick_of_both_ends(price, tick, on_grid):
    assert is_on_grid(Decimal(price), Decimal(tick)) is on_grid
