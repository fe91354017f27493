"""Orders whose story is not over: what the venue still has to explain."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, text

from shared.db.engine import Tx
from shared.db.queries.rows import read_fee, read_levels
from shared.domain.books import Book
from shared.domain.ids import AccountId, ConditionId, OrderId, PositionId, SignalId, TokenId, WindowId
from shared.domain.modes import Mode
from shared.domain.money import to_micro
from shared.domain.orders import OrderSide, OrderState, OrderType, Purpose
from shared.domain.prepared import OrderIntent, PreparedOrder
from shared.domain.readings import OpenStory
from shared.domain.windows import FeeSchedule

_COLUMNS = """
  o.*, b.body, w.condition_id, w.tick, w.neg_risk, w.version, w.fee_rate, w.fee_exponent, w.fee_taker_only,
  clock_timestamp() AS now
  FROM orders o JOIN windows w USING (window_id) LEFT JOIN order_bodies b USING (order_id)
"""

_OPEN_STORIES = text(
    "SELECT "  # noqa: S608 - made of this file's own text
    + _COLUMNS
    + """
 WHERE o.order_id IN (SELECT order_id FROM orders WHERE state IN ('LIVE', 'DELAYED', 'CANCELLING')
             UNION SELECT order_id FROM orders WHERE state = 'FILLED' AND NOT explained
             UNION SELECT order_id FROM fills WHERE state IN ('MATCHED', 'MINED', 'RETRYING'))
 ORDER BY o.claimed_at LIMIT 200
"""
)


async def open_stories(tx: Tx) -> list[OpenStory]:
    """Return the orders that are matched but not explained, resting, delayed, or with trades not yet final.

    Only execution may read it: it holds the signed bodies.
    """
    return [_story(row) for row in await tx.execute(_OPEN_STORIES)]


def _story(row: Row[Any]) -> OpenStory:
    fee = read_fee(row.fee_rate, row.fee_exponent, taker_only=row.fee_taker_only)
    assert fee is not None, "a window without its fee was never traded"
    return OpenStory(
        prepared=_prepared(row),
        state=OrderState(row.state),
        condition_id=ConditionId(row.condition_id),
        fee=fee,
        book=read_book_evidence(TokenId(row.token_id), row.book_evidence),
        claimed_at=row.claimed_at,
        answered_at=row.answered_at,
        explained=row.explained,
        now=row.now,
    )


def _prepared(row: Row[Any]) -> PreparedOrder:
    """Return the order as it was prepared; who signed it stands in its body, and nobody signs it again."""
    intent = OrderIntent(
        account_id=AccountId(row.account_id),
        mode=Mode(row.mode),
        purpose=Purpose(row.purpose),
        signal_id=None if row.signal_id is None else SignalId(row.signal_id),
        position_id=PositionId(row.position_id),
        window_id=WindowId(row.window_id),
        token_id=TokenId(row.token_id),
        side=OrderSide(row.side),
        order_type=OrderType(row.order_type),
        limit_price=row.limit_price,
        amount=row.maker_amount,
        tick=row.tick,
        neg_risk=row.neg_risk,
        version=row.version,
        salt=row.salt,
        timestamp_ms=row.timestamp_ms,
    )
    return PreparedOrder(
        intent=intent,
        order_id=OrderId(row.order_id),
        maker_amount=to_micro(row.maker_amount),
        taker_amount=to_micro(row.taker_amount),
        maker="",
        signer="",
        signature_type=0,
        domain_version="",
        exchange="",
        body=row.body or "",
    )


def book_evidence(book: Book) -> Mapping[str, Any]:
    """Return a book as it is stored with the order decided on it."""
    return {
        "bids": [[str(level.price), str(level.size)] for level in book.bids],
        "asks": [[str(level.price), str(level.size)] for level in book.asks],
        "source_at": book.source_at.isoformat(),
        "received_at": book.received_at.isoformat(),
    }


def read_book_evidence(token: TokenId, stored: Mapping[str, Any] | None) -> Book | None:
    """Return the book an order was decided on."""
    if not stored:
        return None
    return Book(
        token,
        read_levels(stored["bids"]),
        read_levels(stored["asks"]),
        datetime.fromisoformat(stored["source_at"]).astimezone(UTC),
        datetime.fromisoformat(stored["received_at"]).astimezone(UTC),
    )


async def fee_of(tx: Tx, order: OrderId) -> FeeSchedule | None:
    """Return the fee schedule of an order's market; None when there is no such order."""
    statement = text(
        "SELECT fee_rate, fee_exponent, fee_taker_only FROM orders JOIN windows USING (window_id) WHERE order_id = :order"
    )
    row = (await tx.execute(statement, {"order": order})).one_or_none()
    return None if row is None else read_fee(row.fee_rate, row.fee_exponent, taker_only=row.fee_taker_only)


async def held_tokens(tx: Tx, account: AccountId, mode: Mode) -> list[TokenId]:
    """Return the tokens of an account's positions that are not over: whose balances are worth reading."""
    statement = text(
        "SELECT DISTINCT token_id FROM positions WHERE account_id = :account AND mode = :mode"
        " AND state NOT IN ('CLOSED', 'VOID')"
    )
    rows = await tx.execute(statement, {"account": account, "mode": mode})
    return [TokenId(row.token_id) for row in rows]
