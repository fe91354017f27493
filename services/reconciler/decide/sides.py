"""The two sides of a comparison: what the Book says of a LIVE account, and what the venue said just before."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from shared.domain.ids import ConditionId, OrderId, TokenId, TradeId, WindowId
from shared.domain.money import ZERO
from shared.domain.orders import OrderEvent, OrderSide, OrderState, OrderType
from shared.domain.trades import SETTLED_ON_CHAIN, FillState, VenueTrade


@dataclass(frozen=True, slots=True)
class BookOrder:
    """One of our orders, as far as a comparison needs it."""

    order_id: OrderId
    window_id: WindowId
    condition_id: ConditionId
    token_id: TokenId
    side: OrderSide
    order_type: OrderType
    state: OrderState
    of_current_epoch: bool
    claimed_at: datetime
    window_over: bool
    explained: bool
    reported_shares: Decimal
    reported_usdc: Decimal
    """With its fee: what the answer to the POST says has moved."""
    traded_shares: Decimal


@dataclass(frozen=True, slots=True)
class BookFill:
    """One fill we have recorded."""

    order_id: OrderId
    trade_id: TradeId
    token_id: TokenId
    window_id: WindowId
    side: OrderSide
    shares: Decimal
    usdc: Decimal
    fee_usdc: Decimal
    state: FillState
    matched_at: datetime
    resolved: bool
    """Its window is resolved: its tokens may have been redeemed."""

    @property
    def net_usdc(self) -> Decimal:
        """Return the cash it moves, fee included, without sign."""
        return self.usdc + self.fee_usdc if self.side is OrderSide.BUY else self.usdc - self.fee_usdc


@dataclass(frozen=True, slots=True)
class BookSide:
    """What the Book says of one account in LIVE."""

    now: datetime
    orders: tuple[BookOrder, ...]
    fills: tuple[BookFill, ...]
    cash_usdc: Decimal
    reserved_usdc: Decimal
    receivable_usdc: Decimal
    expired_shares: Decimal
    """Shares of windows that are over and not settled here yet: the venue may have paid them, one dollar each."""
    unbooked_fills: int
    """Fills since the cash last agreed exactly, or residues were booked: each may carry one."""
    newest_fill: str


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """One order as the venue has it."""

    order_id: OrderId
    event: OrderEvent
    status: str
    matched_shares: Decimal


@dataclass(frozen=True, slots=True)
class VenueSide:
    """What the venue said of one account, all of it asked before the Book was read again."""

    asked_at: datetime
    found: Mapping[OrderId, VenueOrder | None]
    """Every order asked for; None where the venue knows none, which proves nothing by itself (D3)."""
    resting: tuple[VenueOrder, ...]
    trades: tuple[VenueTrade, ...]
    windows: frozenset[WindowId]
    """Whose trades were read."""
    over: frozenset[WindowId]
    """Whose market the venue itself reports closed."""
    collateral: Decimal
    tokens: Mapping[TokenId, Decimal]


@dataclass(frozen=True, slots=True)
class TokenRange:
    """Between which balances a token may stand while its trades settle.

    A purchase arrives at the latest when it is mined, a sale leaves between its match and then.
    """

    low: Decimal
    high: Decimal


def token_range(book: BookSide, token: TokenId) -> TokenRange:
    """Return what the fills, and the answers no trade explains yet, allow a token's balance to be."""
    fills = [fill for fill in book.fills if fill.token_id == token and fill.state is not FillState.FAILED]
    bought = [fill for fill in fills if fill.side is OrderSide.BUY]
    sold = [fill for fill in fills if fill.side is OrderSide.SELL]
    pending = [order for order in book.orders if order.token_id == token and not order.explained]
    return TokenRange(
        low=_shares(bought, mined=True) - _shares(sold, mined=False) - _claimed(pending, OrderSide.SELL),
        high=_shares(bought, mined=False) - _shares(sold, mined=True) + _claimed(pending, OrderSide.BUY),
    )


def _shares(fills: Iterable[BookFill], *, mined: bool) -> Decimal:
    return sum((fill.shares for fill in fills if not mined or fill.state in SETTLED_ON_CHAIN), ZERO)


def _claimed(orders: Iterable[BookOrder], side: OrderSide) -> Decimal:
    """Return the shares answers claimed and no trade has shown yet."""
    ours = [order for order in orders if order.side is side]
    return sum((max(order.reported_shares - order.traded_shares, ZERO) for order in ours), ZERO)
