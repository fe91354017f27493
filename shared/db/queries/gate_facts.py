"""The columns of the gate's read, and one row of them with the types it has."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from shared.domain.breaker import BreakerState, KillSwitch
from shared.domain.modes import Mode
from shared.domain.signals import SignalState
from shared.domain.windows import SettlementRule, Side, WindowState

FACTS = """
SELECT clock_timestamp() AS now, s.signal_id, s.account_id, s.mode, s.strategy_id, s.instance_id, s.window_id, s.instrument,
       s.side, s.token_id, s.price, s.amount_usdc, s.confidence, s.made_at, s.expires_at, s.risk, s.evidence, s.created_at,
       s.state AS signal_state,
       w.series, w.interval_s, w.opens_at, w.closes_at, w.state AS window_state, w.rule, w.lookback_s, w.condition_id,
       w.up_token, w.down_token, w.tick, w.min_size, w.fee_rate, w.fee_exponent, w.fee_taker_only, w.neg_risk, w.version,
       w.accepting, w.strike,
       g.breaker, g.kill_switch, g.halted, g.mode_ceiling, g.session_id,
       e.epoch, e.reconciled_at,
       m.read_at AS m_read_at, m.accepting AS m_accepting, m.tick AS m_tick, m.min_size AS m_min_size, m.fee_rate AS m_fee_rate,
       m.fee_exponent AS m_fee_exponent, m.fee_taker_only AS m_fee_taker_only, m.version AS m_version,
       m.up_token AS m_up_token, m.down_token AS m_down_token,
       b.bids, b.asks, b.source_at, b.received_at, b.continuous,
       (SELECT max(last_received_at) FROM feed_status WHERE feed = 'polymarket') AS book_feed_at,
       (SELECT last_received_at FROM feed_status WHERE feed = 'binance_spot' AND symbol = s.instrument) AS primary_at,
       (SELECT offset_ms FROM venue_clock WHERE source = 'clob') AS venue_offset_ms,
       (SELECT jsonb_object_agg(key, value) FROM runtime_controls WHERE account_id = s.account_id) AS controls,
       (SELECT jsonb_object_agg(service, at) FROM (SELECT service, max(at) AS at FROM heartbeats WHERE healthy
          GROUP BY service) h) AS heartbeats,
       (SELECT max(claimed_at) FROM orders WHERE account_id = s.account_id AND mode = s.mode AND purpose = 'ENTRY'
          AND instrument = s.instrument) AS last_entry_at,
       (SELECT max(opened_at) FROM positions WHERE account_id = s.account_id AND mode = s.mode
          AND instrument = s.instrument AND side = CASE s.side WHEN 'UP' THEN 'DOWN' ELSE 'UP' END) AS last_opposite_at,
       (SELECT max(recorded_at) FROM fills WHERE account_id = s.account_id AND mode = s.mode) AS last_trade_at,
       EXISTS (SELECT FROM window_entries x WHERE x.account_id = s.account_id AND x.mode = s.mode
          AND x.window_id = s.window_id AND x.strategy_id = s.strategy_id AND x.released_at IS NULL) AS entered,
       EXISTS (SELECT FROM orders x WHERE x.account_id = s.account_id AND x.mode = s.mode AND x.window_id = s.window_id
          AND x.state = 'UNKNOWN') AS window_blocked,
       (SELECT count(*) FROM entry_slots x WHERE x.account_id = s.account_id AND x.mode = s.mode
          AND x.window_id = s.window_id AND x.instrument = s.instrument) AS window_orders,
       EXISTS (SELECT FROM active_positions x WHERE x.account_id = s.account_id AND x.mode = s.mode
          AND x.window_id = s.window_id) AS position_exists,
       EXISTS (SELECT FROM orders x WHERE x.account_id = s.account_id AND x.mode = s.mode
          AND x.state IN ('LIVE', 'CANCELLING')) AS resting,
       (SELECT beaten_at FROM venue_heartbeats h WHERE h.account_id = s.account_id AND h.armed) AS deadman_at,
       c.open_count, c.exposure_usdc, coalesce(i.exposure_usdc, 0) AS instrument_usdc,
       (SELECT coalesce(sum(booked_reserved + booked_positions), 0) FROM positions x WHERE x.account_id = s.account_id
          AND x.mode = s.mode AND x.window_id = s.window_id) AS held_usdc,
       coalesce(z.realized_usdc, 0) AS session_realized,
       (SELECT max(t.limit_usdc) FROM strategy_stops t LEFT JOIN sessions y USING (session_id)
         WHERE t.account_id = s.account_id AND t.mode = s.mode AND t.strategy_id = s.strategy_id
           AND (t.day = (clock_timestamp() AT TIME ZONE 'UTC')::date OR (y.closed_at IS NULL
             AND (y.opened_by <> 'day' OR y.day = (clock_timestamp() AT TIME ZONE 'UTC')::date)))) AS strategy_stop,
       coalesce(u.unrealized, 0) AS unrealized, coalesce(d.realized, 0) AS day_realized, l.cash, l.equity,
       v.balance AS venue_usdc, v.read_at AS venue_read_at
  FROM signals s
  JOIN windows w USING (window_id)
  JOIN trading_gate g ON g.account_id = s.account_id AND g.mode = s.mode
  LEFT JOIN LATERAL (SELECT epoch, reconciled_at FROM executor_epochs ORDER BY epoch DESC LIMIT 1) e ON true
  LEFT JOIN market_facts m ON m.window_id = s.window_id
  LEFT JOIN books_now b ON b.token_id = s.token_id
  LEFT JOIN position_counters c ON c.account_id = s.account_id AND c.mode = s.mode
  LEFT JOIN instrument_exposure i ON i.account_id = s.account_id AND i.mode = s.mode AND i.instrument = s.instrument
  LEFT JOIN sessions z ON z.account_id = s.account_id AND z.mode = s.mode AND z.closed_at IS NULL
  LEFT JOIN venue_balances v ON v.account_id = s.account_id AND v.mode = s.mode AND v.asset = 'USDC'
  LEFT JOIN LATERAL (
    SELECT sum(coalesce((q.bids->0->>0)::numeric, 0) * (p.bought_shares - p.sold_shares) - p.booked_positions) AS unrealized
      FROM positions p LEFT JOIN books_now q ON q.token_id = p.token_id
     WHERE p.account_id = s.account_id AND p.mode = s.mode AND p.state NOT IN ('CLOSED', 'VOID', 'SETTLEMENT', 'REDEEMING')) u ON true
  LEFT JOIN LATERAL (
    SELECT sum(CASE WHEN from_bucket IN ('PNL', 'FEES') THEN amount ELSE 0 END)
         - sum(CASE WHEN to_bucket IN ('PNL', 'FEES') THEN amount ELSE 0 END) AS realized
      FROM ledger_entries x WHERE x.account_id = s.account_id AND x.mode = s.mode
       AND (from_bucket IN ('PNL', 'FEES') OR to_bucket IN ('PNL', 'FEES'))
       AND at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC') d ON true
  LEFT JOIN LATERAL (
    SELECT sum(balance) FILTER (WHERE bucket = 'CASH') AS cash,
           sum(balance) FILTER (WHERE bucket IN ('CASH', 'RESERVED', 'POSITIONS', 'RECEIVABLE')) AS equity
      FROM ledger_balances x WHERE x.account_id = s.account_id AND x.mode = s.mode) l ON true
 WHERE s.signal_id = $1
"""
GATE_READ = f"SELECT row_to_json(facts)::text FROM ({FACTS}) facts"  # noqa: S608 - no text of anybody's in it


class FactsRow(msgspec.Struct, frozen=True, gc=False):
    """One row of FACTS; an amount has every digit it is stored with."""

    now: datetime
    signal_id: str
    account_id: str
    mode: Mode
    strategy_id: str
    instance_id: str
    window_id: str
    instrument: str
    side: Side
    token_id: str
    price: Decimal
    amount_usdc: Decimal
    confidence: Decimal
    made_at: datetime
    expires_at: datetime
    risk: dict[str, Any]
    evidence: dict[str, Any]
    created_at: datetime
    signal_state: SignalState
    series: str
    interval_s: int
    opens_at: datetime
    closes_at: datetime
    window_state: WindowState
    rule: SettlementRule
    lookback_s: int
    condition_id: str | None
    up_token: str | None
    down_token: str | None
    tick: Decimal | None
    min_size: Decimal | None
    fee_rate: Decimal | None
    fee_exponent: int | None
    fee_taker_only: bool | None
    neg_risk: bool
    version: str | None
    accepting: bool | None
    strike: Decimal | None
    breaker: BreakerState
    kill_switch: KillSwitch
    halted: bool
    mode_ceiling: Mode
    session_id: int | None
    epoch: int | None
    reconciled_at: datetime | None
    m_read_at: datetime | None
    m_accepting: bool | None
    m_tick: Decimal | None
    m_min_size: Decimal | None
    m_fee_rate: Decimal | None
    m_fee_exponent: int | None
    m_fee_taker_only: bool | None
    m_version: str | None
    m_up_token: str | None
    m_down_token: str | None
    bids: list[tuple[Decimal, Decimal]] | None
    asks: list[tuple[Decimal, Decimal]] | None
    source_at: datetime | None
    received_at: datetime | None
    continuous: bool | None
    book_feed_at: datetime | None
    primary_at: datetime | None
    venue_offset_ms: Decimal | None
    controls: dict[str, str] | None
    heartbeats: dict[str, datetime] | None
    last_entry_at: datetime | None
    last_opposite_at: datetime | None
    last_trade_at: datetime | None
    entered: bool
    window_blocked: bool
    window_orders: int
    position_exists: bool
    resting: bool
    deadman_at: datetime | None
    open_count: int | None
    exposure_usdc: Decimal | None
    instrument_usdc: Decimal
    held_usdc: Decimal
    session_realized: Decimal
    strategy_stop: Decimal | None
    unrealized: Decimal
    day_realized: Decimal
    cash: Decimal | None
    equity: Decimal | None
    venue_usdc: Decimal | None
    venue_read_at: datetime | None


read_facts = msgspec.json.Decoder(FactsRow, float_hook=Decimal).decode
"""Return the row of a GATE_READ's answer; raises msgspec.ValidationError when it is none."""
