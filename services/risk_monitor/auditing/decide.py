"""PURE: where the Data API and the Book have differed for longer than it may be late."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from shared.domain.ids import TokenId
from shared.domain.money import ZERO

GRACE = timedelta(minutes=2)
"""The Data API is a minute late, and more under load."""
DUST = Decimal("0.01")
"""It hides less than a hundredth of a share."""


@dataclass(frozen=True, slots=True)
class Gap:
    """One token of which the two sides say different things."""

    token_id: TokenId
    book: Decimal
    data_api: Decimal
    since: datetime


def gaps(
    book: Mapping[TokenId, Decimal],
    data_api: Mapping[TokenId, Decimal],
    *,
    before: Mapping[TokenId, Gap],
    now: datetime,
) -> dict[TokenId, Gap]:
    """Return what differs now of the tokens the Book knows, each since when it has differed."""
    found = {}
    for token, held in book.items():
        shown = data_api.get(token, ZERO)
        if abs(held - shown) >= DUST:
            since = before[token].since if token in before else now
            found[token] = Gap(token, held, shown, since)
    return found


def lasting(found: Mapping[TokenId, Gap], now: datetime) -> list[Gap]:
    """Return the gaps no lateness explains any more."""
    return [gap for gap in found.values() if now - gap.since >= GRACE]
