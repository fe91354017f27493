"""The venue's rounding: how dollars, shares and a price become the two integers of an order (E11, D22).

Source: the venue's own client (ROUNDING_CONFIG of its 2026 SDK, 0.14) and orders it accepted. The price is floored or
raised to the tick, the input amount is cut to two decimals, the other side is computed from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from shared.domain.orders import OrderSide
from shared.domain.windows import FeeSchedule

SIZE_STEP = Decimal("0.01")
"""Sizes and the dollars of a market order have two decimals."""
MARKETABLE_MIN_USDC = Decimal(1)
"""Any order that takes must be worth this much."""

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
"""Decimals of the computed amount by tick; a tick that is not here is a market we do not trade."""


@dataclass(frozen=True, slots=True)
class EntryProposal:
    """The order an entry would send: bounded price, dollars, and what must be set aside for it."""

    limit_price: Decimal
    """The worst price, on the tick, never above the signal's price plus the slippage (E11)."""
    amount_usdc: Decimal
    """Dollars before the fee, two decimals."""
    fee_max_usdc: Decimal
    maker_micro: int
    """Base units of USDC given."""
    taker_micro: int
    """Base units of shares asked for at the limit price."""

    @property
    def reservation_usdc(self) -> Decimal:
        """USDC set aside: what the order can cost at most, fee included."""
        return self.amount_usdc + self.fee_max_usdc


def market_amounts(side: OrderSide, amount: Decimal, price: Decimal, tick: Decimal) -> tuple[int, int]:
    """Return (maker, taker) base units of a FAK or FOK order; ``amount`` is USDC for a BUY, shares for a SELL.

    Raises:
        ValueError: a tick the venue does not use, or a price off [tick, 1 - tick] after flooring.
    """
    raise NotImplementedError


def limit_amounts(side: OrderSide, shares: Decimal, price: Decimal, tick: Decimal) -> tuple[int, int]:
    """Return (maker, taker) base units of a GTC or GTD order of ``shares``.

    Raises:
        ValueError: a tick the venue does not use, or a price that is not on its grid.
    """
    raise NotImplementedError


def bounded_entry_price(signal_price: Decimal, max_slippage: Decimal, tick: Decimal) -> Decimal | None:
    """Return the worst price an entry may pay: on the grid, never beyond signal price plus slippage; None if none is."""
    raise NotImplementedError


def exit_price(
    best_bid: Decimal, slippage: Decimal, *, attempt: int, tick: Decimal, emergency: bool
) -> Decimal:
    """Return the worst price an exit accepts: best bid less the slippage, a step lower each attempt; EMERGENCY: a tick."""
    raise NotImplementedError


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
    """Return the order to send for a signal, or None where no lawful order fits under the cap."""
    raise NotImplementedError


def sellable_shares(mined: Decimal, selling: Decimal) -> Decimal:
    """Return the shares an exit may offer: mined less those possibly being sold, floored to the lot (E19)."""
    raise NotImplementedError
