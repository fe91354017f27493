"""Who must hear what happens at the fake venue: the streams. PURE."""

from typing import Literal, Protocol

from services.simulator.orders import Market, Order, Trade

OrderEventKind = Literal["PLACEMENT", "UPDATE", "CANCELLATION"]


class Sink(Protocol):
    """Who must hear what happens: the streams."""

    def listed(self, market: Market) -> None:
        """Hear that a market is listed."""
        ...

    def book_changed(self, market: Market, bids: dict[int, int], asks: dict[int, int]) -> None:
        """Hear that the UP book changed; bids and asks are as they were before."""
        ...

    def traded(self, trade: Trade) -> None:
        """Hear that a trade ate from the book."""
        ...

    def tick_changed(self, market: Market, old: int) -> None:
        """Hear that the tick became finer."""
        ...

    def resolved(self, market: Market) -> None:
        """Hear that the market is resolved."""
        ...

    def order_changed(self, order: Order, kind: OrderEventKind, status: str) -> None:
        """Hear that an order was placed, filled in part or whole, or cancelled."""
        ...

    def trade_changed(self, trade: Trade) -> None:
        """Hear that a trade has a new status."""
        ...
