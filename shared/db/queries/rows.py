"""Columns that several statements read, as domain values."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from shared.domain.books import Book, Level
from shared.domain.ids import TokenId
from shared.domain.signals import RiskParameters
from shared.domain.windows import FeeSchedule


def milliseconds(value: Decimal) -> timedelta:
    """Return a span from milliseconds, to the microsecond."""
    return timedelta(microseconds=int(value * 1000))


def read_book(row: Any) -> Book | None:
    """Return the token's book of a row that has its columns, None when no book is stored."""
    if row.bids is None:
        return None
    return Book(
        TokenId(row.token_id),
        read_levels(row.bids),
        read_levels(row.asks),
        row.source_at,
        row.received_at,
        row.continuous,
    )


def read_levels(stored: list[list[str]]) -> tuple[Level, ...]:
    """Return levels from ``[[price, shares], …]``, texts as the Book keeps them."""
    return tuple(Level(Decimal(str(price)), Decimal(str(size))) for price, size in stored)


def read_risk(stored: Mapping[str, Any]) -> RiskParameters:
    """Return a strategy's risk parameters from their JSON; an absent one has its default, null switches it off.

    Raises ValueError for a parameter nobody knows, or that is no number.
    """
    try:
        found = {name: None if value is None else Decimal(str(value)) for name, value in stored.items()}
        if not all(value is None or value.is_finite() for value in found.values()):
            raise ValueError(f"risk parameters are numbers: {dict(stored)}")
        return RiskParameters(**found)  # type: ignore[arg-type]
    except (TypeError, ArithmeticError) as error:
        raise ValueError(f"risk parameters {dict(stored)}: {error}") from error


def read_fee(rate: Decimal | None, exponent: int | None, *, taker_only: bool | None) -> FeeSchedule | None:
    """Return the market's fee, None when it was not read."""
    if rate is None or exponent is None:
        return None
    return FeeSchedule(rate, exponent, bool(taker_only))
