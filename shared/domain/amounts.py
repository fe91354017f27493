"""The venue's rounding: how dollars, shares and a price become the two integers of an order (E11, E19, D22).

Source: the venue's own client (rounding table and order building of SDK 0.14, 2026) and answers it was seen to give.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from shared.domain.fees import largest_fee
from shared.domain.money import ONE, ZERO, down, from_micro, is_on_grid, to_micro, up
from shared.domain.orders import OrderSide
from shared.domain.windows import FeeSchedule

SIZE_STEP = Decimal("0.01")
"""Sizes, and the dollars of a market order, have two decimals."""
MARKETABLE_MIN_USDC = Decimal(1)
"""Any order that takes must be worth this much at its limit."""
FINEST_TICK = Decimal("0.0001")
FILL_SHORTFALL = Decimal("0.0001")
"""Matches were seen to come out a micro-unit short of the quotient; more than any number of levels will lose."""
AMOUNT_DECIMALS: Mapping[Decimal, int] = MappingProxyType(
    {
        Decimal("0.1"): 3,
        Decimal("0.01"): 4,
        Decimal("0.005"): 5,
        Decimal("0.0025"): 6,
        Decimal("0.001"): 5,
        Decimal("0.0001"): 6,
    }
)
"""Decimals of the computed amount, by tick; a tick that is not here is a market we do not trade."""


@dataclass(frozen=True, slots=True)
class EntryProposal:
    """The order an entry would send: a bounded price, dollars, and what must be set aside for them."""

    limit_price: Decimal
    """The worst price, on the tick, never above the signal's price plus the slippage (E11)."""
    amount_usdc: Decimal
    """Dollars before the fee, two decimals."""
    fee_max_usdc: Decimal
    maker_micro: int
    """Base units of USDC given."""
    taker_micro: int
    """Base units of shares asked for, the price they imply being the limit or a hair above it, never a tick."""

    @property
    def reservation_usdc(self) -> Decimal:
        """What the order can cost at most, fee included."""
        return self.amount_usdc + self.fee_max_usdc


def market_amounts(side: OrderSide, amount: Decimal, price: Decimal, tick: Decimal) -> tuple[int, int]:
    """Return (maker, taker) base units of a FAK or FOK order; ``amount`` is USDC for a BUY, shares for a SELL.

    The shares of a BUY are rounded down: the venue reads the price off the two amounts and would pass over an ask that
    rests exactly at a price a hair too low.

    Raises:
        ValueError: a tick the venue does not use, or a price that is not on its grid.
    """
    decimals = _checked_decimals(price, tick)
    given = down(amount, SIZE_STEP)
    asked = given / price if side is OrderSide.BUY else given * price
    return to_micro(given), to_micro(_cut(asked, decimals))


def limit_amounts(side: OrderSide, shares: Decimal, price: Decimal, tick: Decimal) -> tuple[int, int]:
    """Return (maker, taker) base units of a GTC or GTD order of ``shares``.

    Raises:
        ValueError: a tick the venue does not use, or a price that is not on its grid.
    """
    decimals = _checked_decimals(price, tick)
    size = down(shares, SIZE_STEP)
    usdc = _cut(size * price, decimals)
    return (to_micro(usdc), to_micro(size)) if side is OrderSide.BUY else (to_micro(size), to_micro(usdc))


def bounded_entry_price(signal_price: Decimal, max_slippage: Decimal, tick: Decimal) -> Decimal | None:
    """Return the worst price an entry pays: on the grid, never beyond signal price plus slippage; None if none is."""
    price = min(down(signal_price + max_slippage, tick), ONE - tick)
    return price if is_on_grid(price, tick) else None


def exit_price(
    best_bid: Decimal, slippage: Decimal, *, attempt: int, tick: Decimal, emergency: bool
) -> Decimal:
    """Return the worst price an exit accepts (E19): EMERGENCY has no floor, so it is one tick.

    Attempt 0 accepts the slippage below the best bid and every further one as much again, a tick at least: a book that
    falls faster than we sell must not keep us in.
    """
    if emergency:
        return tick
    floor = down(best_bid - slippage - max(slippage, tick) * attempt, tick)
    return min(max(floor, tick), ONE - tick)


def sellable_shares(mined: Decimal, selling: Decimal) -> Decimal:
    """Return the shares an exit may offer: mined less those possibly being sold, floored to the lot (E19)."""
    return max(down(mined - selling, SIZE_STEP), ZERO)


def propose_entry(
    *,
    signal_price: Decimal,
    wanted_usdc: Decimal,
    cap_usdc: Decimal,
    max_slippage: Decimal,
    stop_loss: Decimal | None,
    exit_slippage: Decimal,
    tick: Decimal,
    fee: FeeSchedule,
) -> EntryProposal | None:
    """Return the order to send for a signal, or None where no lawful one fits under the cap.

    ``cap_usdc`` bounds cost and largest fee together. The wish is cut to the cap, and raised only as far as a stop
    needs in order to stay sellable (E19).
    """
    if tick not in AMOUNT_DECIMALS:
        return None
    price = bounded_entry_price(signal_price, max_slippage, tick)
    if price is None or wanted_usdc < MARKETABLE_MIN_USDC:
        return None
    least = MARKETABLE_MIN_USDC
    if stop_loss is not None:
        stop = exit_price(price * (ONE - stop_loss), exit_slippage, attempt=0, tick=tick, emergency=False)
        least = max(least, _least_with_exit(price, stop))
    amount = min(down(max(wanted_usdc, least), SIZE_STEP), _most_under(cap_usdc, fee))
    if amount < least:
        return None
    maker, taker = market_amounts(OrderSide.BUY, amount, price, tick)
    if taker == 0 or from_micro(maker) >= from_micro(taker) * (price + FINEST_TICK):
        return None  # rounding would let it pay a price above the limit, should the tick become finer
    return EntryProposal(price, amount, largest_fee(amount, fee), maker, taker)


def _least_with_exit(entry_price: Decimal, exit_limit: Decimal) -> Decimal:
    """Return the dollars that buy, at the worst price, shares worth the venue's minimum at the exit's limit."""
    lots = up(MARKETABLE_MIN_USDC / exit_limit, SIZE_STEP)
    return up((lots + FILL_SHORTFALL) * entry_price, SIZE_STEP)


def _most_under(cap_usdc: Decimal, fee: FeeSchedule) -> Decimal:
    """Return the most dollars, two decimals, that stay under the cap with their largest fee."""
    amount = max(down(cap_usdc / (ONE + fee.rate), SIZE_STEP), ZERO)
    return amount if amount + largest_fee(amount, fee) <= cap_usdc else max(amount - SIZE_STEP, ZERO)


def _checked_decimals(price: Decimal, tick: Decimal) -> int:
    """Return the decimals of the computed amount at this tick."""
    decimals = AMOUNT_DECIMALS.get(tick)
    if decimals is None:
        raise ValueError(f"the venue has no tick {tick}")
    if not is_on_grid(price, tick):
        raise ValueError(f"price {price} is not on the grid of tick {tick}")
    return decimals


def _cut(value: Decimal, decimals: int) -> Decimal:
    """Return an amount cut to ``decimals`` places.

    The venue's client first rounds up four places further, against what binary floats leave there. Exact quotients of
    these grids never lie so close below a step, so a plain cut gives the same integers.
    """
    return down(value, Decimal(1).scaleb(-decimals))
