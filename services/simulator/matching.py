"""The matching core: one mirrored book, price-time priority, fees and rounding. PURE, integers only.

Money and shares are micro-units (6 decimals), prices micro-dollars per share. A market has one book, kept in terms
of its UP token: buying DOWN at q is selling UP at 1 - q. Its liquidity is the recorded ladder, which the next frame
replaces, and the resting orders of simulated users; at one price the ladder came first.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_UP, Decimal
from typing import Final, Literal

MICRO: Final = 1_000_000
FEE_STEP: Final = Decimal("0.00001")
"""Fees have five decimals; a smaller one is nothing."""

_DUST: Final = 10_000  # the rest of a budget below a hundredth of a share buys nothing more

Side = Literal["BUY", "SELL"]
FeeRounding = Literal["half_even", "up", "down"]

_ROUNDING: Final[Mapping[FeeRounding, str]] = {
    "half_even": ROUND_HALF_EVEN,
    "up": ROUND_UP,
    "down": ROUND_DOWN,
}


@dataclass(frozen=True, slots=True)
class Taker:
    """What wants to be matched now, in terms of its own token."""

    is_up: bool
    side: Side
    limit: int
    shares: int = 0  # the target of every order but a FOK/FAK BUY
    budget: int = 0  # the target of a FOK/FAK BUY: collateral


@dataclass(frozen=True, slots=True)
class Fill:
    """One maker met; price in terms of the taker's token, cash = the floor of price times shares."""

    price: int
    shares: int
    cash: int
    resting: str | None  # id of a user's resting order; None is the recorded ladder


@dataclass(slots=True)
class Resting:
    """A user's order in the book, in terms of the UP token."""

    order_id: str
    side: Side
    price: int
    shares: int


@dataclass(slots=True)
class MirroredBook:
    """Both tokens' book in one; ``bids`` and ``asks`` are the recorded ladder, price to shares."""

    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)
    resting: dict[str, Resting] = field(default_factory=dict)  # in order of arrival

    def replace(self, bids: Mapping[int, int], asks: Mapping[int, int]) -> list[tuple[Resting, int]]:
        """Take a new recorded frame; return the resting orders its makers trade with, and how many shares.

        Recorded makers that cross a user's order trade at the user's price and are gone from the frame.
        """
        self.bids, self.asks = dict(bids), dict(asks)
        met: list[tuple[Resting, int]] = []
        for order in tuple(self.resting.values()):
            shares = _eat_crossing(self.asks if order.side == "BUY" else self.bids, order)
            if shares:
                met.append((order, shares))
                self.reduce(order.order_id, shares)
        return met

    def rest(self, order_id: str, *, is_up: bool, side: Side, price: int, shares: int) -> None:
        """Put a user's order into the book."""
        up_side, up_price = to_up(side, price, is_up=is_up)
        self.resting[order_id] = Resting(order_id, up_side, up_price, shares)

    def reduce(self, order_id: str, shares: int) -> None:
        """Take shares from a resting order; at zero it is gone."""
        order = self.resting[order_id]
        order.shares -= shares
        if order.shares <= 0:
            del self.resting[order_id]

    def levels(self, *, is_up: bool) -> tuple[dict[int, int], dict[int, int]]:
        """Return bids and asks of a token, price to all shares there."""
        bids, asks = dict(self.bids), dict(self.asks)
        for order in self.resting.values():
            book = bids if order.side == "BUY" else asks
            book[order.price] = book.get(order.price, 0) + order.shares
        if is_up:
            return bids, asks
        return _mirror(asks), _mirror(bids)

    def best(self, *, is_up: bool) -> tuple[int | None, int | None]:
        """Return best bid and best ask of a token, None for an empty side."""
        bids, asks = self.levels(is_up=is_up)
        return max(bids, default=None), min(asks, default=None)

    def crosses(self, *, is_up: bool, side: Side, price: int) -> bool:
        """Return whether an order would trade at once."""
        bid, ask = self.best(is_up=is_up)
        if side == "BUY":
            return ask is not None and ask <= price
        return bid is not None and bid >= price

    def plan(self, taker: Taker, *, short_micro: int) -> tuple[list[Fill], bool]:
        """Return the fills a taker would get, best price first, and whether they satisfy it whole.

        ``short_micro``: a BUY that spends a budget gets that many micro-shares less than the exact quotient, as
        the venue's captured answers show (1.2 at 0.55 gave 2.181817 for 1.199999).
        """
        fills: list[Fill] = []
        shares_left, budget_left = taker.shares, taker.budget
        for price, available, resting in self._makers(taker):
            take = min(available, shares_left) if not taker.budget else available
            if taker.budget:
                affordable = budget_left * MICRO // price
                if fills and affordable < _DUST:
                    return fills, True
                if affordable <= available:
                    take = affordable - short_micro
                    if take > 0:
                        fills.append(Fill(price, take, cash_of(price, take), resting))
                    return fills, True
            cash = cash_of(price, take)
            fills.append(Fill(price, take, cash, resting))
            shares_left -= take
            budget_left -= cash
            if not taker.budget and shares_left == 0:
                return fills, True
        return fills, False

    def take(self, taker: Taker, fills: Iterable[Fill]) -> None:
        """Remove what the fills of a plan consumed."""
        for fill in fills:
            if fill.resting is not None:
                self.reduce(fill.resting, fill.shares)
                continue
            up_side, up_price = to_up(taker.side, fill.price, is_up=taker.is_up)
            book = self.asks if up_side == "BUY" else self.bids
            book[up_price] -= fill.shares
            if book[up_price] <= 0:
                del book[up_price]

    def _makers(self, taker: Taker) -> Iterator[tuple[int, int, str | None]]:
        """Yield (price in the taker's token, shares, resting order or None) the taker may meet, best first."""
        up_side, up_limit = to_up(taker.side, taker.limit, is_up=taker.is_up)
        recorded = self.asks if up_side == "BUY" else self.bids
        makers = [(price, -1, shares, None) for price, shares in recorded.items()]
        opposite: Side = "SELL" if up_side == "BUY" else "BUY"
        everyone: list[tuple[int, int, int, str | None]] = [
            *makers,
            *(
                (order.price, place, order.shares, order.order_id)
                for place, order in enumerate(self.resting.values())
                if order.side == opposite
            ),
        ]
        sign = 1 if up_side == "BUY" else -1
        for price, _place, shares, resting in sorted(everyone, key=lambda maker: (sign * maker[0], maker[1])):
            if sign * price > sign * up_limit:
                return
            yield (price if taker.is_up else MICRO - price), shares, resting


def to_up(side: Side, price: int, *, is_up: bool) -> tuple[Side, int]:
    """Return side and price in terms of the UP token."""
    if is_up:
        return side, price
    return ("SELL" if side == "BUY" else "BUY"), MICRO - price


def cash_of(price: int, shares: int) -> int:
    """Return the collateral that changes hands, rounded down to the micro-dollar as the contract divides."""
    return price * shares // MICRO


def taker_fee(price: int, shares: int, *, rate: Decimal, exponent: int, rounding: FeeRounding) -> int:
    """Return the taker's fee in micro-USDC: C · rate · (p(1-p))^e, five decimals, below 0.00001 nothing."""
    p = Decimal(price) / MICRO
    exact = Decimal(shares) / MICRO * rate * (p * (1 - p)) ** exponent
    if exact < FEE_STEP:
        return 0
    return int(exact.quantize(FEE_STEP, rounding=_ROUNDING[rounding]) * MICRO)


def changed_levels(before: Mapping[int, int], after: Mapping[int, int]) -> list[tuple[int, int]]:
    """Return (price, new shares) of every level that differs, 0 where it is gone."""
    changed = [(price, shares) for price, shares in after.items() if before.get(price) != shares]
    changed.extend((price, 0) for price in before if price not in after)
    return changed


def to_micro(levels: Sequence[tuple[Decimal, Decimal]]) -> dict[int, int]:
    """Return (price, size) pairs as micro-dollars to micro-shares, rounded down; empty levels left out."""
    found: dict[int, int] = {}
    for price, size in levels:
        shares = int(size * MICRO)
        if shares > 0:
            micro = int(price * MICRO)
            found[micro] = found.get(micro, 0) + shares
    return found


def _eat_crossing(recorded: dict[int, int], order: Resting) -> int:
    """Take from the recorded levels what crosses a resting order; return the shares."""
    sign = 1 if order.side == "BUY" else -1
    taken = 0
    for price in sorted(recorded, key=lambda level: sign * level):
        if sign * price > sign * order.price or taken == order.shares:
            break
        shares = min(recorded[price], order.shares - taken)
        taken += shares
        recorded[price] -= shares
        if recorded[price] == 0:
            del recorded[price]
    return taken


def _mirror(levels: Mapping[int, int]) -> dict[int, int]:
    return {MICRO - price: shares for price, shares in levels.items()}
