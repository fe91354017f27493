"""Statements only the comparison needs: epochs, what to ask, the Book's side, runs and discrepancies, standing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from services.reconciler.decide.differences import Difference, Kind
from services.reconciler.decide.sides import BookFill, BookOrder, BookSide
from shared.db.engine import Tx
from shared.db.queries import status
from shared.db.queries.documents import dump
from shared.domain.ids import (
    AccountId,
    ConditionId,
    Epoch,
    OrderId,
    TokenId,
    TradeId,
    WindowId,
)
from shared.domain.modes import Mode
from shared.domain.orders import OrderSide, OrderState, OrderType
from shared.domain.trades import FillState
from shared.domain.windows import FeeSchedule

Account = tuple[AccountId, Mode]


async def unreconciled_epoch(tx: Tx) -> Epoch | None:
    """Return the newest epoch if nobody has compared since it began; older ones claim nothing any more."""
    statement = text("SELECT epoch, reconciled_at FROM executor_epochs ORDER BY epoch DESC LIMIT 1")
    row = (await tx.execute(statement)).one_or_none()
    return Epoch(row.epoch) if row is not None and row.reconciled_at is None else None


async def gates(tx: Tx) -> list[Account]:
    """Return every account and mode that may trade."""
    statement = text(
        "SELECT account_id, mode FROM trading_gate WHERE mode <> 'BACKTEST' ORDER BY account_id, mode"
    )
    return [(AccountId(row.account_id), Mode(row.mode)) for row in await tx.execute(statement)]


_LIVE = text("""
SELECT account_id,
       EXISTS (SELECT FROM positions p WHERE p.account_id = a.account_id AND p.mode = 'LIVE' AND p.state NOT IN ('CLOSED', 'VOID'))
    OR EXISTS (SELECT FROM fills f WHERE f.account_id = a.account_id AND f.mode = 'LIVE' AND f.state IN ('MATCHED', 'MINED', 'RETRYING'))
    AS unfinished
  FROM accounts a WHERE EXISTS (SELECT FROM ledger_entries l WHERE l.account_id = a.account_id AND l.mode = 'LIVE') ORDER BY 1""")


async def live_accounts(tx: Tx) -> dict[AccountId, bool]:
    """Return the accounts that ever held money in LIVE, and whether anything of theirs is unfinished there."""
    return {AccountId(row.account_id): row.unfinished for row in await tx.execute(_LIVE)}


_NEEDED = """
  SELECT o.window_id FROM orders o JOIN windows w USING (window_id)
   WHERE o.account_id = :account AND o.mode = 'LIVE' AND w.state <> 'RESOLVED'
  UNION SELECT window_id FROM orders WHERE account_id = :account AND mode = 'LIVE'
     AND state IN ('SUBMITTING', 'LIVE', 'DELAYED', 'CANCELLING', 'UNKNOWN')
  UNION SELECT window_id FROM orders WHERE account_id = :account AND mode = 'LIVE' AND reported_shares > 0 AND NOT explained
  UNION SELECT o.window_id FROM fills f JOIN orders o USING (order_id)
   WHERE f.account_id = :account AND f.mode = 'LIVE' AND f.state IN ('MATCHED', 'MINED', 'RETRYING')"""


@dataclass(frozen=True, slots=True)
class MarketToRead:
    """A market whose trades and tokens the venue is asked for."""

    window_id: WindowId
    condition_id: ConditionId
    fee: FeeSchedule
    tokens: tuple[TokenId, ...]
    """Those of ours that are not resolved yet: others may have been redeemed."""
    prove_closed: bool
    """It is over with an Unknown in it: whether the venue itself calls it closed decides."""


_MARKETS = text(f"""
SELECT w.window_id, w.condition_id, w.fee_rate, w.fee_exponent, w.fee_taker_only,
       ARRAY(SELECT DISTINCT o.token_id FROM orders o WHERE o.window_id = w.window_id AND o.account_id = :account
                AND o.mode = 'LIVE' AND (w.state <> 'RESOLVED' OR o.state = 'UNKNOWN')) AS tokens,
       w.closes_at <= clock_timestamp() AND EXISTS (SELECT FROM orders o WHERE o.window_id = w.window_id
                AND o.account_id = :account AND o.mode = 'LIVE' AND o.state = 'UNKNOWN') AS prove_closed
  FROM windows w
 WHERE w.window_id IN ({_NEEDED}
  UNION SELECT window_id FROM windows WHERE :all_open AND state IN ('OPEN', 'CLOSED') AND condition_id IS NOT NULL
     AND fee_rate IS NOT NULL AND closes_at > now() - interval '1 hour')
 ORDER BY w.closes_at DESC LIMIT 100""")  # noqa: S608 made of this file's own constant


async def markets_to_read(tx: Tx, account: AccountId, *, all_open: bool) -> list[MarketToRead]:
    """Return the markets to ask about: with something unfinished of ours, and at the start every open one."""
    rows = await tx.execute(_MARKETS, {"account": account, "all_open": all_open})
    return [
        MarketToRead(
            WindowId(row.window_id),
            ConditionId(row.condition_id),
            FeeSchedule(row.fee_rate, row.fee_exponent, row.fee_taker_only),
            tuple(TokenId(token) for token in row.tokens),
            row.prove_closed,
        )
        for row in rows
    ]


_ORDERS = text(f"""
SELECT o.*, w.condition_id, w.closes_at <= clock_timestamp() AS window_over,
       o.epoch = (SELECT max(epoch) FROM executor_epochs) AS of_current_epoch
  FROM orders o JOIN windows w USING (window_id)
 WHERE o.account_id = :account AND o.mode = 'LIVE' AND o.window_id IN (SELECT unnest(CAST(:windows AS text[])) UNION {_NEEDED})
 ORDER BY o.claimed_at""")  # noqa: S608
_FILLS = text(f"""
SELECT f.*, o.window_id, w.state = 'RESOLVED' AS resolved FROM fills f JOIN orders o USING (order_id) JOIN windows w USING (window_id)
 WHERE o.account_id = :account AND o.mode = 'LIVE' AND o.window_id IN (SELECT unnest(CAST(:windows AS text[])) UNION {_NEEDED})
 ORDER BY f.matched_at""")  # noqa: S608
_MONEY = text("""
SELECT clock_timestamp() AS now,
  (SELECT coalesce(sum(balance) FILTER (WHERE bucket = 'CASH'), 0) FROM ledger_balances WHERE account_id = :account AND mode = 'LIVE') AS cash,
  (SELECT coalesce(sum(balance) FILTER (WHERE bucket = 'RESERVED'), 0) FROM ledger_balances WHERE account_id = :account AND mode = 'LIVE') AS reserved,
  (SELECT coalesce(sum(balance) FILTER (WHERE bucket = 'RECEIVABLE'), 0) FROM ledger_balances WHERE account_id = :account AND mode = 'LIVE') AS receivable,
  (SELECT coalesce(sum(greatest(p.bought_shares - p.sold_shares, 0)), 0) FROM positions p JOIN windows w USING (window_id)
    WHERE p.account_id = :account AND p.mode = 'LIVE' AND p.payout IS NULL AND p.bought_shares > p.sold_shares AND p.state <> 'VOID' AND w.closes_at <= clock_timestamp()) AS expired,
  (SELECT count(*) FROM fills WHERE account_id = :account AND mode = 'LIVE' AND state <> 'FAILED' AND recorded_at > greatest('-infinity',
      (SELECT max(at) FROM external_movements WHERE account_id = :account AND mode = 'LIVE' AND kind = 'FEE_ROUNDING'),
      (SELECT max(started_at) FROM reconciliation_runs WHERE account_id = :account AND mode = 'LIVE'
          AND compared @> '{"cash_exact": 1}'))) AS unbooked,
  (SELECT order_id || '/' || trade_id FROM fills WHERE account_id = :account AND mode = 'LIVE'
    ORDER BY recorded_at DESC, order_id, trade_id LIMIT 1) AS newest""")


async def book_side(tx: Tx, account: AccountId, windows: Collection[WindowId]) -> BookSide:
    """Return the Book's side of a comparison: everything unfinished, and all of ``windows``.

    One moment of it, later than the venue's: run it after the venue was asked, first in its transaction.
    """
    await tx.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
    who = {"account": account, "windows": list(windows)}
    orders = tuple(_book_order(row) for row in await tx.execute(_ORDERS, who))
    fills = tuple(_book_fill(row) for row in await tx.execute(_FILLS, who))
    money = (await tx.execute(_MONEY, {"account": account})).one()
    return BookSide(
        now=money.now,
        orders=orders,
        fills=fills,
        cash_usdc=money.cash,
        reserved_usdc=money.reserved,
        receivable_usdc=money.receivable,
        expired_shares=money.expired,
        unbooked_fills=money.unbooked,
        newest_fill=money.newest or "",
    )


def _book_order(row: Any) -> BookOrder:
    return BookOrder(
        order_id=OrderId(row.order_id),
        window_id=WindowId(row.window_id),
        condition_id=ConditionId(row.condition_id),
        token_id=TokenId(row.token_id),
        side=OrderSide(row.side),
        order_type=OrderType(row.order_type),
        state=OrderState(row.state),
        of_current_epoch=row.of_current_epoch,
        claimed_at=row.claimed_at,
        window_over=row.window_over,
        explained=row.explained,
        reported_shares=row.reported_shares,
        reported_usdc=row.reported_usdc + row.reported_fee_usdc,
        traded_shares=row.traded_shares,
    )


def _book_fill(row: Any) -> BookFill:
    return BookFill(
        order_id=OrderId(row.order_id),
        trade_id=TradeId(row.trade_id),
        token_id=TokenId(row.token_id),
        window_id=WindowId(row.window_id),
        side=OrderSide(row.side),
        shares=row.shares,
        usdc=row.usdc,
        fee_usdc=row.fee_usdc,
        state=FillState(row.state),
        matched_at=row.matched_at,
        resolved=row.resolved,
    )


async def written_orders(tx: Tx, orders: Collection[OrderId]) -> frozenset[OrderId]:
    """Return which of these orders the Book has, whatever window they are in."""
    rows = await tx.execute(
        text("SELECT order_id FROM orders WHERE order_id = ANY(:orders)"), {"orders": list(orders)}
    )
    return frozenset(OrderId(row.order_id) for row in rows)


_MOVED_SINCE = text("""
SELECT coalesce((SELECT max(finished_at) FROM reconciliation_runs WHERE account_id = :account AND mode = 'LIVE'
                    AND mismatches = 0 AND error IS NULL), (SELECT created_at FROM accounts WHERE account_id = :account)) AS since,
       ARRAY(SELECT reference FROM external_movements WHERE account_id = :account AND mode = 'LIVE') AS booked""")


async def moved_since(tx: Tx, account: AccountId) -> tuple[datetime, frozenset[str]]:
    """Return since when movements outside trading may be unbooked, and the references of the booked ones."""
    row = (await tx.execute(_MOVED_SINCE, {"account": account})).one()
    return row.since, frozenset(row.booked)


async def insert_run(
    tx: Tx,
    account: Account,
    *,
    epoch: Epoch | None,
    started_at: datetime,
    compared: Mapping[str, int],
    mismatches: int,
    error: str | None,
) -> int:
    """Keep one comparison; with an epoch it is the one at its start. Returns its id."""
    statement = text(
        "INSERT INTO reconciliation_runs (account_id, mode, kind, epoch, started_at, finished_at, compared, mismatches, error)"
        " VALUES (:account, :mode, :kind, :epoch, :started_at, clock_timestamp(), CAST(:compared AS jsonb), :mismatches,"
        " :error) RETURNING run_id"
    )
    parameters = {
        "account": account[0],
        "mode": account[1],
        "kind": "CONTINUOUS" if epoch is None else "STARTUP",
        "epoch": epoch,
        "started_at": started_at,
        "compared": dump(compared),
        "mismatches": mismatches,
        "error": error,
    }
    run_id: int = await tx.scalar(statement, parameters)
    return run_id


async def list_uncompared(tx: Tx, accounts: Collection[AccountId], *, within: timedelta) -> list[AccountId]:
    """Return those of these accounts that nobody has compared whole in LIVE lately."""
    statement = text("""
        SELECT account_id FROM unnest(CAST(:accounts AS text[])) AS account_id WHERE NOT EXISTS (
          SELECT FROM reconciliation_runs r WHERE r.account_id = account_id.account_id AND r.mode = 'LIVE' AND r.error IS NULL
             AND r.finished_at > clock_timestamp() - CAST(:within AS interval)) ORDER BY 1""")
    rows = await tx.execute(statement, {"accounts": list(accounts), "within": within})
    return [AccountId(row.account_id) for row in rows]


@dataclass(frozen=True, slots=True)
class KeptDifference:
    """A difference as the Book keeps it."""

    discrepancy_id: int
    age: timedelta
    is_new: bool


_KEEP = text("""
INSERT INTO discrepancies AS d (account_id, mode, kind, subject, book, venue)
VALUES (:account, :mode, :kind, :subject, CAST(:book AS jsonb), CAST(:venue AS jsonb))
ON CONFLICT (account_id, mode, kind, subject) WHERE resolved_at IS NULL
DO UPDATE SET last_seen_at = clock_timestamp(), book = excluded.book, venue = excluded.venue
RETURNING discrepancy_id, clock_timestamp() - first_seen_at AS age, xmax = 0 AS is_new""")


async def keep_difference(tx: Tx, account: Account, difference: Difference) -> KeptDifference:
    """Open a discrepancy, or say that an open one was seen again."""
    parameters = {
        "account": account[0],
        "mode": account[1],
        "kind": difference.kind,
        "subject": difference.subject,
        "book": dump(difference.book),
        "venue": dump(difference.venue),
    }
    row = (await tx.execute(_KEEP, parameters)).one()
    return KeptDifference(row.discrepancy_id, row.age, row.is_new)


_RESOLVE = text("""
UPDATE discrepancies SET resolved_at = clock_timestamp(), resolution = 'they agree again'
 WHERE account_id = :account AND mode = :mode AND resolved_at IS NULL AND kind = ANY(:kinds)
   AND NOT kind || ' ' || subject = ANY(:seen)
   AND (kind NOT IN ('ORDER_UNWRITTEN', 'TRADE_UNWRITTEN') OR EXISTS (SELECT FROM orders WHERE order_id = subject))
RETURNING discrepancy_id""")


async def resolve_others(
    tx: Tx, account: Account, seen: Sequence[Difference], kinds: Collection[Kind]
) -> int:
    """Close the discrepancies of these kinds that are no more; returns how many.

    What we never wrote stays until a person has adopted it: that it is out of sight proves nothing.
    """
    parameters = {
        "account": account[0],
        "mode": account[1],
        "kinds": list(kinds),
        "seen": [f"{each.kind} {each.subject}" for each in seen],
    }
    return len((await tx.execute(_RESOLVE, parameters)).all())


@dataclass(frozen=True, slots=True)
class Standing:
    """What /health says besides this process: the breakers, the primary feed, the executor, what differs."""

    open_breakers: tuple[str, ...]
    primary_feed_age_s: Decimal | None
    epoch: int | None
    holder: str | None
    epoch_reconciled: bool | None
    open_discrepancies: int


_STANDING = text("""
SELECT ARRAY(SELECT account_id || '/' || mode || ' ' || breaker_reason FROM trading_gate
              WHERE breaker = 'OPEN' AND mode <> 'BACKTEST' ORDER BY 1) AS open_breakers,
       (SELECT count(*) FROM discrepancies WHERE resolved_at IS NULL) AS discrepancies,
       e.epoch, e.instance, e.reconciled_at IS NOT NULL AS reconciled
  FROM (SELECT 1) one LEFT JOIN LATERAL (SELECT * FROM executor_epochs ORDER BY epoch DESC LIMIT 1) e ON true""")


async def standing(tx: Tx) -> Standing:
    """Return how the deployment stands."""
    row = (await tx.execute(_STANDING)).one()
    return Standing(
        open_breakers=tuple(row.open_breakers),
        primary_feed_age_s=await status.primary_feed_age_s(tx),
        epoch=row.epoch,
        holder=row.instance,
        epoch_reconciled=row.reconciled if row.epoch is not None else None,
        open_discrepancies=row.discrepancies,
    )
