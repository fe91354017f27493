"""The overview: what trades now, each part one statement, all from one snapshot of the Book."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text

from services.dashboard.api.capture.queries import read_capture, read_feeds
from services.dashboard.api.schemas import (
    AccountScreen,
    AlertScreen,
    BookTop,
    EventScreen,
    ExecutorScreen,
    OrderScreen,
    Overview,
    PnlPoint,
    PositionScreen,
    ServiceScreen,
    WindowScreen,
)
from shared.db.engine import Tx

POSITIONS_SHOWN = 14
ORDERS_SHOWN = 14
EVENTS_SHOWN = 30
POINTS_SHOWN = 400

_ACCOUNTS = """
SELECT g.account_id AS account, g.mode, breaker, breaker_reason, kill_switch, mode_ceiling, halted, b.*, c.open_count, u.*, p.*,
       b.gross_pnl - b.fees AS net_pnl,
       ARRAY(SELECT DISTINCT strategy_id FROM strategy_instances i WHERE i.account_id = g.account_id AND enabled ORDER BY 1) AS strategies
  FROM trading_gate g JOIN position_counters c USING (account_id, mode)
 CROSS JOIN LATERAL (
  SELECT coalesce(-sum(balance) FILTER (WHERE bucket = 'EXTERNAL'), 0) AS deposited,
         coalesce(sum(balance) FILTER (WHERE bucket = 'CASH'), 0) AS cash,
         coalesce(sum(balance) FILTER (WHERE bucket = 'RESERVED'), 0) AS reserved,
         coalesce(sum(balance) FILTER (WHERE bucket = 'POSITIONS'), 0) AS positions,
         coalesce(sum(balance) FILTER (WHERE bucket = 'RECEIVABLE'), 0) AS receivable,
         coalesce(-sum(balance) FILTER (WHERE bucket = 'PNL'), 0) AS gross_pnl,
         coalesce(sum(balance) FILTER (WHERE bucket = 'FEES'), 0) AS fees
    FROM ledger_balances l WHERE l.account_id = g.account_id AND l.mode = g.mode) b
 CROSS JOIN LATERAL (
  SELECT coalesce(sum(round((q.bought_shares - q.sold_shares) * coalesce((k.bids->0->>0)::numeric, 0), 6) - q.booked_positions), 0) AS unrealised_pnl
    FROM positions q LEFT JOIN books_now k USING (token_id) WHERE q.account_id = g.account_id AND q.mode = g.mode
     AND q.state NOT IN ('CLOSED', 'VOID', 'SETTLEMENT', 'REDEEMING', 'OPENING')) u
 CROSS JOIN LATERAL (
  SELECT coalesce(sum(won), 0) AS wins, coalesce(sum(closed - won), 0) AS losses FROM (
    SELECT d.wins AS won, d.trades AS closed FROM daily_performance d
     WHERE d.account_id = g.account_id AND d.mode = g.mode AND d.day < (now() AT TIME ZONE 'UTC')::date - 1
     UNION ALL SELECT count(*) FILTER (WHERE -q.booked_pnl - q.booked_fees > 0), count(*) FROM positions q
     WHERE q.account_id = g.account_id AND q.mode = g.mode AND q.state = 'CLOSED'
       AND q.closed_at >= (date_trunc('day', now() AT TIME ZONE 'UTC') - interval '1 day') AT TIME ZONE 'UTC') days) p
 WHERE breaker = 'OPEN' OR EXISTS (SELECT FROM ledger_entries e WHERE e.account_id = g.account_id AND e.mode = g.mode)
 ORDER BY g.account_id, g.mode
"""
_WINDOWS = """
SELECT w.window_id, instrument, w.state, opens_at, closes_at, strike, our_direction, tainted,
       CASE WHEN payout_up = 1 THEN 'UP' WHEN payout_down = 1 THEN 'DOWN' WHEN payout_up IS NOT NULL THEN 'SPLIT' END AS winner,
       (u.bids->0->>0)::numeric AS up_bid, (u.asks->0->>0)::numeric AS up_ask,
       round(extract(epoch FROM clock_timestamp() - u.received_at)::numeric, 3) AS up_age_s, coalesce(u.continuous, false) AS up_continuous,
       (d.bids->0->>0)::numeric AS down_bid, (d.asks->0->>0)::numeric AS down_ask,
       round(extract(epoch FROM clock_timestamp() - d.received_at)::numeric, 3) AS down_age_s, coalesce(d.continuous, false) AS down_continuous
  FROM ((SELECT * FROM windows WHERE state <> 'RESOLVED' ORDER BY opens_at LIMIT 8)
        UNION ALL (SELECT * FROM windows WHERE state = 'RESOLVED' ORDER BY closes_at DESC LIMIT 3)) w
  LEFT JOIN books_now u ON u.token_id = w.up_token LEFT JOIN books_now d ON d.token_id = w.down_token
 ORDER BY w.opens_at, w.window_id
"""
_POSITIONS = """
SELECT position_id, p.account_id AS account, p.mode, strategy_id AS strategy, p.window_id, w.opens_at AS window_opens_at, side, p.state, opened_at,
       bought_shares - sold_shares AS shares, bought_usdc AS cost,
       CASE WHEN bought_shares > 0 THEN round(bought_usdc / bought_shares, 6) END AS average_price, (b.bids->0->>0)::numeric AS mark,
       -booked_pnl - buy_fees_usdc - sell_fees_usdc AS net_pnl, exit_reason, payout
  FROM (SELECT * FROM positions WHERE state NOT IN ('CLOSED', 'VOID')
        UNION ALL (SELECT * FROM positions WHERE state IN ('CLOSED', 'VOID') ORDER BY opened_at DESC LIMIT :limit)) p
  JOIN windows w USING (window_id) LEFT JOIN books_now b ON b.token_id = p.token_id
 ORDER BY p.state IN ('CLOSED', 'VOID'), opened_at DESC LIMIT :limit
"""
_ORDERS = """
SELECT order_id, o.account_id AS account, o.mode, o.purpose, o.window_id, p.side AS outcome, o.side, o.state, o.reason, claimed_at, limit_price,
       greatest(traded_shares, reported_shares - failed_shares) AS shares, greatest(traded_usdc, reported_usdc - failed_usdc) AS usdc,
       greatest(traded_fee_usdc, reported_fee_usdc - failed_fee_usdc) AS fee,
       round(extract(epoch FROM sent_at - s.created_at)::numeric * 1000, 3) AS signal_to_sent_ms
  FROM orders o JOIN positions p USING (position_id) LEFT JOIN signals s ON s.signal_id = o.signal_id
 ORDER BY claimed_at DESC LIMIT :limit
"""
_EVENTS = """
SELECT event_id, at, account_id AS account, mode, kind, actor, window_id, details FROM audit_events ORDER BY event_id DESC LIMIT :limit
"""
_SERVICES = """
SELECT DISTINCT ON (service) service, instance, healthy, details, round(extract(epoch FROM clock_timestamp() - at)::numeric, 3) AS age_s
  FROM heartbeats ORDER BY service, at DESC
"""
_EXECUTOR = "SELECT epoch, instance, reconciled_at IS NOT NULL AS reconciled FROM executor_epochs ORDER BY epoch DESC LIMIT 1"
# Backwards from what the ledger says all closed positions came to: the older ones are not read for it.
_PNL = """
WITH newest AS (SELECT account_id, mode, closed_at, position_id, -booked_pnl - booked_fees AS net FROM positions
                 WHERE state = 'CLOSED' ORDER BY closed_at DESC, position_id DESC LIMIT :limit)
SELECT account_id AS account, mode, closed_at AS at, came_to - coalesce(sum(net) OVER (
         PARTITION BY account_id, mode ORDER BY closed_at DESC, position_id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS net_pnl
  FROM newest JOIN (
    SELECT account_id, mode, -sum(balance) - coalesce((SELECT sum(-booked_pnl - booked_fees) FROM positions p
              WHERE p.account_id = l.account_id AND p.mode = l.mode AND p.state NOT IN ('CLOSED', 'VOID')), 0) AS came_to
      FROM ledger_balances l WHERE bucket IN ('PNL', 'FEES') GROUP BY account_id, mode) booked USING (account_id, mode)
 ORDER BY closed_at, position_id
"""
_ALERTS = """
SELECT severity, kind, account_id AS account, raised_at, repeats FROM alerts WHERE closed_at IS NULL ORDER BY raised_at DESC LIMIT 10
"""
_SIGNALS = """
SELECT coalesce(refusal, state) AS what, count(*) AS times FROM signals WHERE created_at > now() - interval '1 day'
 GROUP BY 1 ORDER BY 1
"""


async def read_overview(tx: Tx) -> Overview:
    """Return the whole overview; run it in ``Database.retry_read``."""
    windows = await _rows(tx, _WINDOWS)
    executor = await _rows(tx, _EXECUTOR)
    signals = await _rows(tx, _SIGNALS)
    return Overview(
        read_at=await tx.scalar(text("SELECT clock_timestamp()")),
        accounts=[AccountScreen(**row) for row in await _rows(tx, _ACCOUNTS)],
        windows=[_window(row) for row in windows],
        feeds=await read_feeds(tx),
        capture=await read_capture(tx),
        positions=[PositionScreen(**row) for row in await _rows(tx, _POSITIONS, limit=POSITIONS_SHOWN)],
        orders=[OrderScreen(**row) for row in await _rows(tx, _ORDERS, limit=ORDERS_SHOWN)],
        events=[EventScreen(**row) for row in await _rows(tx, _EVENTS, limit=EVENTS_SHOWN)],
        services=[ServiceScreen(**row) for row in await _rows(tx, _SERVICES)],
        executor=ExecutorScreen(**executor[0]) if executor else None,
        pnl=[PnlPoint(**row) for row in await _rows(tx, _PNL, limit=POINTS_SHOWN)],
        alerts=[AlertScreen(**row) for row in await _rows(tx, _ALERTS)],
        signals={row["what"]: row["times"] for row in signals},
    )


def _window(row: Mapping[str, Any]) -> WindowScreen:
    plain = {name: value for name, value in row.items() if not name.startswith(("up_", "down_"))}
    return WindowScreen(**plain, up=_top(row, "up"), down=_top(row, "down"))


def _top(row: Mapping[str, Any], side: str) -> BookTop:
    return BookTop(row[f"{side}_bid"], row[f"{side}_ask"], row[f"{side}_age_s"], row[f"{side}_continuous"])


async def _rows(tx: Tx, statement: str, **parameters: int) -> list[dict[str, Any]]:
    result = await tx.execute(text(statement), parameters)
    return [dict(row) for row in result.mappings()]
