"""The PAPER executor: an order's result is a function of the order and the stored book, nothing else (D5, E13).

It holds no state, no key and no connection: asked again after a restart it says the same, so PAPER has no Unknown.
DRY_RUN is this executor with the live one's ``prepare``: the exact signed payload is stored, only the POST is missing
(E12).
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from shared.domain.books import Book
from shared.domain.fees import taker_fee
from shared.domain.fills import BookWalk, walk
from shared.domain.ids import AccountId, TokenId, TradeId, digest
from shared.domain.money import ZERO, from_micro
from shared.domain.orders import OrderSide, OrderType
from shared.domain.outcomes import KnownFailure, Outcome, Success
from shared.domain.prepared import Accepted, OrderIntent, PreparedOrder
from shared.domain.trades import FillState, VenueTrade
from shared.venue.accounts import Balances
from shared.venue.executor import (
    NOT_SENT,
    RedemptionReading,
    RedemptionRequest,
    RedemptionStage,
    RedemptionTicket,
    TradedMarket,
)
from shared.venue.order_struct import build_order, prepared_order

KILLED = "killed"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ADDRESS_DIGITS = 40


def paper_address(account_id: AccountId) -> str:
    """Return the maker address of a paper account: nobody holds its key."""
    return "0x" + digest("paper", account_id)[:_ADDRESS_DIGITS]


class PaperTrading:
    """Fills against the stored book; ``preparing`` is the live executor's ``prepare`` in DRY_RUN."""

    def __init__(
        self, maker: str, *, preparing: Callable[[OrderIntent], PreparedOrder] | None = None
    ) -> None:
        self._maker = maker
        self._preparing = preparing

    def prepare(self, intent: OrderIntent) -> PreparedOrder:
        """Return the order hashed as a live one would be, unsigned; raises Refusal."""
        if self._preparing is not None:
            return self._preparing(intent)
        order = build_order(intent, maker=self._maker, signer=self._maker, signature_type=0)
        return prepared_order(intent, order, signature="", owner="")

    async def submit(
        self, prepared: PreparedOrder, *, before_send: Callable[[], bool], book: Book | None = None
    ) -> Outcome[Accepted]:
        """Return what the stored book gives: matched with totals, or killed with none; never Unknown."""
        if not before_send():
            return KnownFailure(NOT_SENT)
        if book is None or book.token_id != prepared.intent.token_id:
            return KnownFailure("NO_BOOK", {"token_id": prepared.intent.token_id})
        if prepared.intent.order_type not in {OrderType.FAK, OrderType.FOK}:
            return KnownFailure("PAPER_DOES_NOT_REST", {"order_type": prepared.intent.order_type.value})
        met = book_walk(prepared, book)
        if not met.fills:
            return Success(Accepted(KILLED, ZERO, ZERO))
        ids = tuple(_trade_id(prepared, level) for level in range(len(met.fills)))
        return Success(Accepted("matched", met.shares, met.usdc, trade_ids=ids))

    async def trades(
        self, prepared: PreparedOrder, *, market: TradedMarket, book: Book | None = None
    ) -> tuple[VenueTrade, ...]:
        """Return one CONFIRMED trade for each level met; their ids are functions of the order and the level."""
        if book is None or book.token_id != prepared.intent.token_id:
            return ()
        matched_at = _EPOCH + timedelta(milliseconds=prepared.intent.timestamp_ms)
        return tuple(
            VenueTrade(
                order_id=prepared.order_id,
                trade_id=_trade_id(prepared, level),
                token_id=prepared.intent.token_id,
                side=prepared.intent.side,
                shares=fill.shares,
                price=fill.price,
                usdc=fill.usdc,
                fee_usdc=taker_fee(fill.shares, fill.price, market.fee),
                state=FillState.CONFIRMED,
                matched_at=matched_at,
            )
            for level, fill in enumerate(book_walk(prepared, book).fills)
        )

    async def redeem(self, request: RedemptionRequest) -> Outcome[RedemptionTicket]:
        """Return a ticket at once: the payout is the Book's own arithmetic."""
        return Success(RedemptionTicket(f"paper-{request.redemption_id}"))

    async def redemption_state(self, ticket: RedemptionTicket) -> RedemptionReading:
        """Return CONFIRMED: paper is paid at once."""
        return RedemptionReading(RedemptionStage.CONFIRMED, ticket.transaction_hash, "")

    async def balances(self, tokens: Sequence[TokenId], *, refresh: bool = False) -> Balances | None:  # noqa: ARG002
        """Return None: in PAPER and DRY_RUN the Book's own cash is the reading."""
        return None


def book_walk(prepared: PreparedOrder, book: Book) -> BookWalk:
    """Return what the order meets in a book; FOK is all or nothing. Its ``depth_share`` is stored with the fill."""
    intent = prepared.intent
    levels = book.asks if intent.side is OrderSide.BUY else book.bids
    given = from_micro(prepared.maker_amount)
    met = walk(levels, intent.side, intent.limit_price, given)
    if intent.order_type is OrderType.FOK and _rest(prepared, met, given) > 0:
        return BookWalk((), met.depth_share)
    return met


def _rest(prepared: PreparedOrder, met: BookWalk, given: Decimal) -> Decimal:
    """Return the shares an order asked for and did not get; a BUY at better prices gets more than it asked for."""
    if prepared.intent.side is OrderSide.SELL:
        return given - met.shares
    return from_micro(prepared.taker_amount) - met.shares


def _trade_id(prepared: PreparedOrder, level: int) -> TradeId:
    return TradeId("paper-" + digest("trade", prepared.order_id, str(level))[:24])
