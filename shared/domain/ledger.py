"""The capital ledger: one entry moves one amount from one bucket to another, so the sum is zero by construction (R9).

A position's booking is a function of its facts: whatever order the facts came in, the ledger carries the same for it,
and each new fact posts only the difference.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from shared.domain.money import MICRO, ZERO, down


class Bucket(StrEnum):
    """Where money is. PNL below zero is profit, EXTERNAL below zero a deposit: what came to CASH left them."""

    RESERVED = "RESERVED"
    """Set aside for orders that may still match."""
    POSITIONS = "POSITIONS"
    """Cost of the shares held, without fees."""
    RECEIVABLE = "RECEIVABLE"
    """Payouts decided and not yet seen as cash."""
    PNL = "PNL"
    CASH = "CASH"
    FEES = "FEES"
    EXTERNAL = "EXTERNAL"
    """The world: deposits, withdrawals, rebates, corrections."""


PAYING_ORDER = tuple(Bucket)
"""Sources pay sinks in this order, so the same change always writes the same entries."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement.

    Raises:
        ValueError: not a positive amount, or from a bucket to itself.
    """

    source: Bucket
    sink: Bucket
    amount: Decimal

    def __post_init__(self) -> None:
        """Refuse what would not be a movement."""
        if self.amount <= 0 or self.source is self.sink:
            raise ValueError(f"an entry moves a positive amount between two buckets: {self}")


@dataclass(frozen=True, slots=True)
class OrderEffect:
    """What one order of a position has moved so far, and what it keeps set aside."""

    is_buy: bool
    possibly_live: bool
    reserved_usdc: Decimal
    shares: Decimal
    usdc: Decimal
    fee_usdc: Decimal


@dataclass(frozen=True, slots=True)
class Buckets:
    """What the ledger carries for one position; CASH is what is missing to zero."""

    reserved: Decimal = ZERO
    positions: Decimal = ZERO
    receivable: Decimal = ZERO
    pnl: Decimal = ZERO
    fees: Decimal = ZERO

    @property
    def cash(self) -> Decimal:
        return -(self.reserved + self.positions + self.receivable + self.pnl + self.fees)

    def by_bucket(self) -> dict[Bucket, Decimal]:
        """Return the amounts by bucket, CASH among them; their sum is zero."""
        return {
            Bucket.RESERVED: self.reserved,
            Bucket.POSITIONS: self.positions,
            Bucket.RECEIVABLE: self.receivable,
            Bucket.PNL: self.pnl,
            Bucket.CASH: self.cash,
            Bucket.FEES: self.fees,
        }


def targets(
    effects: Iterable[OrderEffect],
    *,
    payout: Decimal | None = None,
    paid_usdc: Decimal = ZERO,
    paid_shares: Decimal = ZERO,
) -> Buckets:
    """Return what the ledger must carry for a position.

    ``payout`` is USDC per share once the position is settled, None before; ``paid_usdc`` the cash that was proved for
    ``paid_shares`` of it so far. Unresolved, the shares left carry their part of the cost, rounded half up to a
    millionth. Resolved, they are worth the payout, floored to a millionth as the venue pays: a receivable until the
    cash is seen. Cash that was seen stays, whatever is said of its shares later.
    """
    effects = tuple(effects)
    buys = [effect for effect in effects if effect.is_buy]
    bought, cost = sum((each.shares for each in buys), ZERO), sum((each.usdc for each in buys), ZERO)
    sold = sum((each.shares for each in effects if not each.is_buy), ZERO)
    proceeds = sum((each.usdc for each in effects if not each.is_buy), ZERO)
    owed = max(bought - sold - paid_shares, ZERO)
    reserved = sum(
        (max(each.reserved_usdc - each.usdc - each.fee_usdc, ZERO) for each in buys if each.possibly_live),
        ZERO,
    )
    fees = sum((each.fee_usdc for each in effects), ZERO)
    receivable = ZERO if payout is None else down(owed * payout)
    open_cost = ZERO
    if payout is None and bought > 0:
        open_cost = (cost * owed / bought).quantize(MICRO, ROUND_HALF_UP)
    profit = proceeds + paid_usdc + open_cost + receivable - cost
    return Buckets(reserved, open_cost, receivable, -profit, fees)


def net(deltas: Mapping[Bucket, Decimal]) -> tuple[Entry, ...]:
    """Return the entries that change the buckets by exactly these amounts.

    Raises:
        ValueError: the deltas do not add up to zero, so money would appear or vanish.
    """
    if sum(deltas.values(), ZERO) != 0:
        raise ValueError(f"deltas do not add up to zero: {deltas}")
    left = dict(deltas)
    entries: list[Entry] = []
    for source in PAYING_ORDER:
        for sink in PAYING_ORDER:
            amount = min(-left.get(source, ZERO), left.get(sink, ZERO))
            if amount > 0:
                entries.append(Entry(source, sink, amount))
                left[source] += amount
                left[sink] -= amount
    return tuple(entries)


def rebook(before: Buckets, after: Buckets) -> tuple[Entry, ...]:
    """Return the entries that take a position's booking from one state to another."""
    old, new = before.by_bucket(), after.by_bucket()
    return net({bucket: new[bucket] - old[bucket] for bucket in new})


def balances(entries: Iterable[Entry]) -> dict[Bucket, Decimal]:
    """Return the fold of the entries: what each bucket holds."""
    total = dict.fromkeys(Bucket, ZERO)
    for entry in entries:
        total[entry.source] -= entry.amount
        total[entry.sink] += entry.amount
    return total
