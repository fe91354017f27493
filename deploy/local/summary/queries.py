"""What the demo asks the Book: how far it is, and everything its summary compares."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text

from shared.db.engine import Tx
from shared.domain.modes import Mode


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the demo is, of the windows that opened after ``since``."""

    traded: int
    """Windows that closed with at least one position bought in them."""
    settled: int
    """Those of them that are resolved and have no open position left."""
    open_positions: int
    unfinished: int
    """Orders that may be live, fills not final and redemptions under way: what the end still waits for."""
    waiting_for: str


@dataclass(frozen=True, slots=True)
class BookOrder:
    """One order; ``shares`` is what it traded."""

    order_id: str
    account: str
    state: str
    shares: Decimal


@dataclass(frozen=True, slots=True)
class BookFill:
    """One fill that was not reversed; ``usdc`` is without the fee."""

    account: str
    order_id: str
    trade_id: str
    token_id: str
    side: str
    shares: Decimal
    usdc: Decimal
    fee: Decimal
    state: str


@dataclass(frozen=True, slots=True)
class BookAccount:
    """One account's money, USDC, and the shares it must still hold, by token."""

    account: str
    deposited: Decimal
    cash: Decimal
    reserved: Decimal
    positions: Decimal
    receivable: Decimal
    gross_pnl: Decimal
    fees: Decimal
    tokens: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class BookSide:
    """Everything the Book says of a run."""

    accounts: tuple[BookAccount, ...]
    orders: tuple[BookOrder, ...]
    fills: tuple[BookFill, ...]
    windows_traded: int
    signals: Mapping[str, int]
    refusals: Mapping[str, int]
    positions: Mapping[str, int]
    signal_to_sent_ms: tuple[Decimal, Decimal] | None
    """Median and 99th percentile, from a signal's commit to its order's send; None before the first order."""
    breakers_open: tuple[str, ...]


_PROGRESS = """
WITH done AS (
  SELECT w.window_id, w.state, bool_or(p.state NOT IN ('CLOSED', 'VOID')) AS open
    FROM windows w JOIN positions p USING (window_id)
   WHERE p.mode = :mode AND w.opens_at >= :since AND w.closes_at <= clock_timestamp() AND p.bought_shares > 0
   GROUP BY w.window_id, w.state),
left_over AS (
  SELECT 'position ' || state AS what, count(*) AS times FROM positions
   WHERE mode = :mode AND state NOT IN ('CLOSED', 'VOID') GROUP BY 1
  UNION ALL SELECT 'order ' || state, count(*) FROM orders
   WHERE mode = :mode AND state IN ('SUBMITTING', 'LIVE', 'DELAYED', 'CANCELLING', 'UNKNOWN') GROUP BY 1
  UNION ALL SELECT 'fill ' || state, count(*) FROM fills
   WHERE mode = :mode AND state IN ('MATCHED', 'MINED', 'RETRYING') GROUP BY 1
  UNION ALL SELECT 'redemption ' || state, count(*) FROM redemptions
   WHERE mode = :mode AND state IN ('CLAIMED', 'SUBMITTED', 'UNKNOWN') GROUP BY 1)
SELECT (SELECT count(*) FROM done) AS traded,
       (SELECT count(*) FROM done WHERE state = 'RESOLVED' AND NOT open) AS settled,
       (SELECT coalesce(sum(times), 0) FROM left_over WHERE starts_with(what, 'position'))::integer AS open_positions,
       (SELECT coalesce(sum(times), 0) FROM left_over WHERE NOT starts_with(what, 'position'))::integer AS unfinished,
       (SELECT coalesce(string_agg(times || ' ' || what, ', ' ORDER BY what), '') FROM left_over) AS waiting_for
"""


_REFUSALS = "SELECT refusal, count(*) FROM signals WHERE mode = :mode AND refusal IS NOT NULL GROUP BY 1"
_MONEY = """
SELECT account_id AS account, coalesce(-sum(balance) FILTER (WHERE bucket = 'EXTERNAL'), 0) AS deposited,
       coalesce(sum(balance) FILTER (WHERE bucket = 'CASH'), 0) AS cash,
       coalesce(sum(balance) FILTER (WHERE bucket = 'RESERVED'), 0) AS reserved,
       coalesce(sum(balance) FILTER (WHERE bucket = 'POSITIONS'), 0) AS positions,
       coalesce(sum(balance) FILTER (WHERE bucket = 'RECEIVABLE'), 0) AS receivable,
       coalesce(-sum(balance) FILTER (WHERE bucket = 'PNL'), 0) AS gross_pnl,
       coalesce(sum(balance) FILTER (WHERE bucket = 'FEES'), 0) AS fees
  FROM ledger_balances WHERE mode = :mode GROUP BY account_id ORDER BY account_id
"""


async def read_progress(tx: Tx, mode: Mode, *, since: datetime) -> Progress:
    """Return how far the demo is."""
    row = (await tx.execute(text(_PROGRESS), {"mode": mode, "since": since})).one()
    return Progress(row.traded, row.settled, row.open_positions, row.unfinished, row.waiting_for)


async def is_ready(tx: Tx, services: frozenset[str]) -> bool:
    """Return whether every service has beaten lately and fit, and the executor may claim."""
    alive = await tx.scalars(
        text("SELECT service FROM heartbeats WHERE healthy AND at > clock_timestamp() - interval '6 seconds'")
    )
    reconciled = await tx.scalar(
        text("SELECT reconciled_at IS NOT NULL FROM executor_epochs ORDER BY epoch DESC LIMIT 1")
    )
    return bool(reconciled) and services <= set(alive)


async def read_side(tx: Tx, mode: Mode) -> BookSide:
    """Return everything the Book says of this mode."""
    of_mode = {"mode": mode}
    orders = await tx.execute(
        text(
            "SELECT order_id, account_id, state, greatest(traded_shares, reported_shares - failed_shares) AS shares"
            " FROM orders WHERE mode = :mode ORDER BY claimed_at"
        ),
        of_mode,
    )
    fills = await tx.execute(
        text(
            "SELECT account_id, order_id, trade_id, token_id, side, shares, usdc, fee_usdc, state FROM fills"
            " WHERE mode = :mode AND state <> 'FAILED' ORDER BY matched_at"
        ),
        of_mode,
    )
    windows = await tx.scalar(
        text(
            "SELECT count(DISTINCT window_id) FROM positions"
            " WHERE mode = :mode AND state = 'CLOSED' AND bought_shares > 0"
        ),
        of_mode,
    )
    breakers = await tx.scalars(
        text(
            "SELECT account_id || ': ' || breaker_reason FROM trading_gate WHERE mode = :mode AND breaker = 'OPEN'"
        ),
        of_mode,
    )
    return BookSide(
        accounts=await _accounts(tx, mode),
        orders=tuple(BookOrder(row.order_id, row.account_id, row.state, row.shares) for row in orders),
        fills=tuple(BookFill(*row) for row in fills),
        windows_traded=windows,
        signals=await _counts(tx, "SELECT state, count(*) FROM signals WHERE mode = :mode GROUP BY 1", mode),
        refusals=await _counts(tx, _REFUSALS, mode),
        positions=await _counts(
            tx, "SELECT state, count(*) FROM positions WHERE mode = :mode GROUP BY 1", mode
        ),
        signal_to_sent_ms=await _latency(tx, mode),
        breakers_open=tuple(breakers),
    )


async def _accounts(tx: Tx, mode: Mode) -> tuple[BookAccount, ...]:
    money = await tx.execute(text(_MONEY), {"mode": mode})
    tokens = await tx.execute(
        text(
            "SELECT p.account_id, p.token_id, sum(bought_shares - sold_shares) AS shares FROM positions p"
            " WHERE p.mode = :mode AND NOT EXISTS (SELECT FROM redemptions r"
            "  WHERE (r.account_id, r.mode, r.window_id) = (p.account_id, p.mode, p.window_id) AND r.state = 'PAID')"
            " GROUP BY p.account_id, p.token_id HAVING sum(bought_shares - sold_shares) <> 0"
        ),
        {"mode": mode},
    )
    held: dict[str, dict[str, Decimal]] = {}
    for row in tokens:
        held.setdefault(row.account_id, {})[row.token_id] = row.shares
    return tuple(BookAccount(**row, tokens=held.get(row["account"], {})) for row in money.mappings())


async def _counts(tx: Tx, statement: str, mode: Mode) -> dict[str, int]:
    rows = await tx.execute(text(statement), {"mode": mode})
    return {row[0]: row[1] for row in rows}


async def _latency(tx: Tx, mode: Mode) -> tuple[Decimal, Decimal] | None:
    row = (
        await tx.execute(
            text(
                "SELECT round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric, 3) AS median,"
                " round(percentile_cont(0.99) WITHIN GROUP (ORDER BY ms)::numeric, 3) AS p99 FROM (SELECT"
                "  extract(epoch FROM o.sent_at - s.created_at) * 1000 AS ms"
                "  FROM orders o JOIN signals s USING (signal_id) WHERE o.mode = :mode AND o.sent_at IS NOT NULL) sent"
            ),
            {"mode": mode},
        )
    ).one()
    return None if row.median is None else (row.median, row.p99)
