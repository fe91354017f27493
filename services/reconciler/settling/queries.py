"""Statements of settlement: windows that are over, our own ticks around their boundaries, and the checks afterwards."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text

from services.reconciler.decide.resolving import READINGS_AROUND, SOURCE_OF_RULE, DueWindow
from shared.db.engine import Tx
from shared.db.queries.documents import Details, dump
from shared.domain.ids import AccountId, ConditionId, Instrument, PositionId, WindowId
from shared.domain.modes import Mode
from shared.domain.settlement import Direction, Reading
from shared.domain.windows import SettlementRule, Side, WindowState

Account = tuple[AccountId, Mode]

_DUE = text("""
SELECT *, clock_timestamp() AS now FROM windows
 WHERE state <> 'RESOLVED' AND closes_at + interval '1 second' <= clock_timestamp() AND condition_id IS NOT NULL
   AND up_token IS NOT NULL AND down_token IS NOT NULL
 ORDER BY EXISTS (SELECT FROM positions p WHERE p.window_id = windows.window_id) DESC, closes_at DESC LIMIT 50""")


async def due_windows(tx: Tx) -> list[DueWindow]:
    """Return the windows that ended a second ago or more and have no result yet, held ones first."""
    return [
        DueWindow(
            window_id=WindowId(row.window_id),
            condition_id=ConditionId(row.condition_id),
            instrument=Instrument(row.instrument),
            state=WindowState(row.state),
            rule=SettlementRule(row.rule),
            opens_at=row.opens_at,
            closes_at=row.closes_at,
            venue_strike=row.strike if row.strike_source == "venue" else None,
            now=row.now,
        )
        for row in await tx.execute(_DUE)
    ]


_READINGS = text("""
SELECT source_timestamp AS at, price FROM price_ticks
 WHERE symbol = :symbol AND source = :source AND source_timestamp BETWEEN :low AND :high
   AND timestamp BETWEEN :low - interval '1 minute' AND :high + interval '10 minutes' ORDER BY 1, id""")


async def readings(tx: Tx, window: DueWindow, boundary: datetime) -> list[Reading]:
    """Return the recorded prices of the market's own feed around one of its boundaries, in the source's time order."""
    parameters = {
        "symbol": window.instrument,
        "source": SOURCE_OF_RULE[window.rule],
        "low": boundary - READINGS_AROUND,
        "high": boundary + READINGS_AROUND,
    }
    return [Reading(row.at, row.price) for row in await tx.execute(_READINGS, parameters)]


_INSERT_CHECKS = text("""
INSERT INTO settlement_checks (window_id, account_id, mode, our_direction, venue_direction, book_pnl_usdc, agrees, details)
SELECT window_id, account_id, mode, :ours, :theirs, sum(-booked_pnl - booked_fees), :agrees, CAST(:details AS jsonb)
  FROM positions WHERE window_id = :window AND state <> 'VOID' GROUP BY window_id, account_id, mode
ON CONFLICT DO NOTHING RETURNING account_id, mode""")


async def insert_checks(
    tx: Tx, window: WindowId, *, ours: Direction, winner: Side | None, agrees: bool, details: Details
) -> list[Account]:
    """Keep, for each account that was in the window, how it went by us and by the venue; returns the accounts."""
    parameters = {
        "window": window,
        "ours": ours,
        "theirs": winner,
        "agrees": agrees,
        "details": dump(details),
    }
    rows = await tx.execute(_INSERT_CHECKS, parameters)
    return [(AccountId(row.account_id), Mode(row.mode)) for row in rows]


@dataclass(frozen=True, slots=True)
class FinishedCheck:
    """A window all of whose positions are closed: profit by the Book, and what trades and payouts moved, USDC."""

    window_id: WindowId
    account: Account
    book_pnl_usdc: Decimal
    balance_delta_usdc: Decimal


_FINISH = text("""
WITH pending AS (
  SELECT c.window_id, c.account_id, c.mode FROM settlement_checks c
   WHERE c.balance_delta_usdc IS NULL AND NOT EXISTS (SELECT FROM positions p WHERE p.window_id = c.window_id
         AND p.account_id = c.account_id AND p.mode = c.mode AND p.state NOT IN ('CLOSED', 'VOID'))),
moved AS (
  SELECT d.*,
    (SELECT coalesce(sum(-booked_pnl - booked_fees), 0) FROM positions p
      WHERE p.window_id = d.window_id AND p.account_id = d.account_id AND p.mode = d.mode) AS pnl,
    (SELECT coalesce(sum(CASE f.side WHEN 'SELL' THEN f.usdc ELSE -f.usdc END - f.fee_usdc), 0)
       FROM fills f JOIN orders o USING (order_id)
      WHERE o.window_id = d.window_id AND o.account_id = d.account_id AND o.mode = d.mode AND f.state <> 'FAILED')
    + (SELECT coalesce(sum(r.paid_usdc), 0) FROM redemptions r
        WHERE r.window_id = d.window_id AND r.account_id = d.account_id AND r.mode = d.mode AND r.state = 'PAID') AS delta
    FROM pending d)
UPDATE settlement_checks c SET book_pnl_usdc = m.pnl, balance_delta_usdc = m.delta, agrees = c.agrees AND m.pnl = m.delta,
       at = clock_timestamp()
  FROM moved m WHERE c.window_id = m.window_id AND c.account_id = m.account_id AND c.mode = m.mode
RETURNING c.window_id, c.account_id, c.mode, c.book_pnl_usdc, c.balance_delta_usdc""")


async def finish_checks(tx: Tx) -> list[FinishedCheck]:
    """Compare, once a window's positions are all closed, profit with what its trades and its payout moved (X3)."""
    return [
        FinishedCheck(
            WindowId(row.window_id),
            (AccountId(row.account_id), Mode(row.mode)),
            row.book_pnl_usdc,
            row.balance_delta_usdc,
        )
        for row in await tx.execute(_FINISH)
    ]


@dataclass(frozen=True, slots=True)
class UnpaidPosition:
    """A winning position whose cash has not been seen for half an hour."""

    position_id: PositionId
    account: Account
    window_id: WindowId
    receivable_usdc: Decimal


_UNPAID = text("""
SELECT p.position_id, p.account_id, p.mode, p.window_id, p.booked_receivable FROM positions p JOIN windows w USING (window_id)
 WHERE p.state IN ('SETTLEMENT', 'REDEEMING') AND p.booked_receivable > 0
   AND coalesce(w.resolved_at, w.changed_at) < clock_timestamp() - interval '30 minutes'
   AND NOT EXISTS (SELECT FROM alerts a WHERE a.dedup_key = 'payout_unpaid:' || p.position_id)""")


async def unpaid(tx: Tx) -> list[UnpaidPosition]:
    """Return the payouts half an hour late of which nobody has been told (E21)."""
    return [
        UnpaidPosition(
            PositionId(row.position_id),
            (AccountId(row.account_id), Mode(row.mode)),
            WindowId(row.window_id),
            row.booked_receivable,
        )
        for row in await tx.execute(_UNPAID)
    ]
