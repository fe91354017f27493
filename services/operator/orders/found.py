"""PURE: an order found at the venue, as the Book would have written it; and what an Unknown still lacks (X2, D3)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from services.operator.orders.queries import TradedWindow, UnknownOrder
from shared.domain.fees import taker_fee
from shared.domain.money import ZERO, up
from shared.domain.orders import OrderEvent, OrderSide, OrderType
from shared.domain.trades import FillState, VenueTrade
from shared.venue.accounts import OrderReading

CLOSED_WITHIN = timedelta(minutes=2)
"""About how long after its end the venue reports a market closed."""
PROOFS: Mapping[str, str] = {
    "venue_closed": "the venue itself reports the market closed",
    "order_unknown": "after that it does not know the order",
    "no_trade": "no trade of the market names it",
    "balance_equal": "the token balance equals the Book",
}
"""All four together prove that an order was never placed; nothing less does (D3)."""


@dataclass(frozen=True, slots=True)
class Adoptable:
    """What ``adopt_order`` is told of an order."""

    event: OrderEvent
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NotYet:
    """The order cannot be adopted as things stand, and why."""

    why: str


def adoptable(
    reading: OrderReading, trades: Sequence[VenueTrade], window: TradedWindow
) -> Adoptable | NotYet:
    """Return how the Book would have written an order; what it may still cost is set aside with the taker's fee."""
    traded = sum((trade.shares for trade in trades), ZERO)
    event = reading.event
    if event is OrderEvent.REFUSED:
        return NotYet(f"the venue calls it {reading.status_text}: it never was an order")
    if traded < reading.matched_shares:
        return NotYet(
            f"the venue lists trades of {traded:f} of its {reading.matched_shares:f} shares: try again"
        )
    buys = reading.side is OrderSide.BUY
    cost = up(reading.price * reading.shares)
    paid = sum((trade.usdc + trade.fee_usdc for trade in trades if trade.state is not FillState.FAILED), ZERO)
    fee = taker_fee(reading.shares, reading.price, window.fee)
    rests = event in {OrderEvent.RESTS, OrderEvent.DELAYED, OrderEvent.EXPIRED}
    return Adoptable(
        event,
        {
            "order_id": reading.order_id,
            "window_id": window.window_id,
            "token_id": reading.token_id,
            "side": reading.side,
            "order_type": reading.order_type or (OrderType.GTC if rests else OrderType.FAK),
            "limit_price": reading.price,
            "maker_amount": cost if buys else reading.shares,
            "taker_amount": reading.shares if buys else cost,
            "reserved_usdc": max(cost + fee, paid) if buys else Decimal(0),
            "timestamp_ms": 0 if reading.created_at is None else int(reading.created_at.timestamp()) * 1000,
        },
    )


def lines(order: UnknownOrder) -> Iterator[str]:
    """Yield what is known of an Unknown, what each piece proves, and what is missing for how long."""
    yield (
        f"{order.order_id}  {order.account_id} {order.mode} {order.purpose} in {order.window_id}, claimed"
        f" {_clock(order.claimed_at)}, {order.reason or 'no reason kept'}; holds {order.reserved_usdc} USDC"
    )
    for each in order.evidence:
        yield f"  {_clock(each.at)}  {each.kind} from {each.source} proves {each.proves}  {_told(each.details)}"
    yield "  It ends as placed as soon as the venue shows the order or a trade of it; as never placed only when:"
    shown = proofs_shown(order)
    for name, meaning in PROOFS.items():
        if shown.get(name):
            yield f"    yes      {meaning}"
        else:
            yield f"    missing  {meaning}{_when(order, name)}"


def proofs_shown(order: UnknownOrder) -> Mapping[str, bool]:
    """Return what the newest look at the venue showed of the four proofs."""
    for each in reversed(order.evidence):
        if "venue_closed" in each.details:
            return {name: each.details.get(name) is True for name in PROOFS}
    return {}


def _when(order: UnknownOrder, name: str) -> str:
    if name == "venue_closed":
        if order.now < order.closes_at:
            return f": not before the window ends at {_clock(order.closes_at)}, and about two minutes after"
        late = order.now > order.closes_at + CLOSED_WITHIN
        return (
            ": it should by now, see the reconciler's log" if late else ": within about two minutes from now"
        )
    return ": looked at again every few seconds by the reconciler"


def _told(details: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in details.items() if value not in (None, "", [], {}))


def _clock(at: datetime) -> str:
    return at.strftime("%H:%M:%S UTC")
