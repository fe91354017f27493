"""Prices, shares and USDC: Decimal with six places at most, rounded here and nowhere else, never in our favour."""

from decimal import ROUND_DOWN, ROUND_UP, Decimal, InvalidOperation
from typing import NewType

Price = NewType("Price", Decimal)
"""USDC per share, between 0 and 1."""
Shares = NewType("Shares", Decimal)
"""Outcome tokens; the venue counts millionths."""
Usdc = NewType("Usdc", Decimal)
"""Dollars of the venue's collateral; the venue counts millionths."""

MICRO = Decimal("0.000001")
ZERO = Decimal(0)
ONE = Decimal(1)


def parse(text: str | int | Decimal) -> Decimal:
    """Return a finite Decimal.

    Raises:
        ValueError: the text is not a finite number; floats are refused because they have already lost the cents.
    """
    if isinstance(text, float):
        message = "money arrives as text or integer, never as a binary float"
        raise ValueError(message)  # noqa: TRY004 - every bad amount is one kind of error
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        message = f"not a number: {text!r}"
        raise ValueError(message) from error
    if not value.is_finite():
        message = f"not a finite number: {text!r}"
        raise ValueError(message)
    return value


def down(value: Decimal, step: Decimal = MICRO) -> Decimal:
    """Return ``value`` floored to a multiple of ``step``: what we receive."""
    return (value / step).to_integral_value(rounding=ROUND_DOWN) * step


def up(value: Decimal, step: Decimal = MICRO) -> Decimal:
    """Return ``value`` raised to a multiple of ``step``: what we pay."""
    return (value / step).to_integral_value(rounding=ROUND_UP) * step


def to_micro(value: Decimal) -> int:
    """Return base units (millionths).

    Raises:
        ValueError: the value has more than six decimals, so a unit would be lost.
    """
    micro = value * 1_000_000
    if micro != micro.to_integral_value():
        message = f"{value} has more than six decimals"
        raise ValueError(message)
    return int(micro)


def from_micro(units: int) -> Decimal:
    """Return whole units from the venue's base units (millionths)."""
    return Decimal(units) * MICRO


def is_on_grid(price: Decimal, tick: Decimal) -> bool:
    """Return whether a price is a multiple of the tick within [tick, 1 - tick], as the venue requires."""
    return tick <= price <= ONE - tick and price % tick == 0
