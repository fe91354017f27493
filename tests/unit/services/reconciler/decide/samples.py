"""The two sides of a comparison, agreeing by default: override what the test is about."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from services.reconciler.decide.sides import BookFill, BookOrder, BookSide, VenueOrder, VenueSide
from shared.domain.orders import OrderEvent, OrderSide, OrderState, OrderType
from shared.domain.trades import FillState, VenueTrade

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TOKEN = "1"
ORDER = "0x" + "a" * 64
GHOST = "0x" + "b" * 64
WINDOW = "btc-updown-15m-1"


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def order(**changes: Any) -> BookOrder:
    fields: dict[str, Any] = {
        "order_id": ORDER,
        "window_id": WINDOW,
        "condition_id": "0xc",
        "token_id": TOKEN,
        "side": OrderSide.BUY,
        "order_type": OrderType.FAK,
        "state": OrderState.UNKNOWN,
        "of_current_epoch": True,
        "claimed_at": ago(60),
        "window_over": False,
        "explained": False,
        "reported_shares": Decimal(0),
        "reported_usdc": Decimal(0),
        "traded_shares": Decimal(0),
    }
    return BookOrder(**(fields | changes))


def fill(**changes: Any) -> BookFill:
    fields: dict[str, Any] = {
        "order_id": ORDER,
        "trade_id": "t1",
        "token_id": TOKEN,
        "window_id": WINDOW,
        "side": OrderSide.BUY,
        "shares": Decimal(4),
        "usdc": Decimal(2),
        "fee_usdc": Decimal("0.07"),
        "state": FillState.CONFIRMED,
        "matched_at": ago(60),
        "resolved": False,
    }
    return BookFill(**(fields | changes))


def trade(**changes: Any) -> VenueTrade:
    fields: dict[str, Any] = {
        "order_id": ORDER,
        "trade_id": "t1",
        "token_id": TOKEN,
        "side": OrderSide.BUY,
        "shares": Decimal(4),
        "price": Decimal("0.5"),
        "usdc": Decimal(2),
        "fee_usdc": Decimal("0.07"),
        "state": FillState.CONFIRMED,
        "matched_at": ago(60),
    }
    return VenueTrade(**(fields | changes))


def reading(event: OrderEvent = OrderEvent.MATCHED, **changes: Any) -> VenueOrder:
    fields: dict[str, Any] = {
        "order_id": ORDER,
        "event": event,
        "status": event.value,
        "matched_shares": Decimal(4) if event is OrderEvent.MATCHED else Decimal(0),
    }
    return VenueOrder(**(fields | changes))


def book(**changes: Any) -> BookSide:
    fields: dict[str, Any] = {
        "now": NOW,
        "orders": (),
        "fills": (),
        "cash_usdc": Decimal(100),
        "reserved_usdc": Decimal(0),
        "receivable_usdc": Decimal(0),
        "expired_shares": Decimal(0),
        "unbooked_fills": 0,
        "newest_fill": "",
    }
    fields |= changes
    return BookSide(**(fields | {"orders": tuple(fields["orders"]), "fills": tuple(fields["fills"])}))


def venue(**changes: Any) -> VenueSide:
    fields: dict[str, Any] = {
        "asked_at": NOW,
        "found": {},
        "resting": (),
        "trades": (),
        "windows": frozenset({WINDOW}),
        "over": frozenset(),
        "collateral": Decimal(100),
        "tokens": {},
    }
    return VenueSide(**(fields | changes))
