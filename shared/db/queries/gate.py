"""The gate's facts, in one statement: what execution reads before it decides on an entry (E10).

It is read on the lock session: no pool is waited for (B4), and its plan, which costs eight times what running it does,
is made once a session.
"""

import json
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import psycopg
from sqlalchemy import text

from shared.db.engine import Tx
from shared.db.lock import LockSession
from shared.db.queries import lifecycle
from shared.db.queries.rows import milliseconds, read_book, read_fee, read_risk
from shared.db.queries.windows import to_window
from shared.domain.breaker import BreakerState, KillSwitch
from shared.domain.controls import ControlInvalid, Controls, parse_controls
from shared.domain.facts import (
    BalanceFacts,
    BookFacts,
    CounterFacts,
    DeadmanFacts,
    GuardFacts,
    HistoryFacts,
    LossFacts,
    MarketFacts,
)
from shared.domain.ids import (
    AccountId,
    InstanceId,
    Instrument,
    SignalId,
    StrategyId,
    TokenId,
    WindowId,
)
from shared.domain.modes import Mode
from shared.domain.readings import GateRead
from shared.domain.signals import Signal, SignalState
from shared.domain.windows import Side


async def new_signals(tx: Tx) -> list[SignalId]:
    """Return the signals nobody has decided yet, oldest first."""
    statement = text("SELECT signal_id FROM signals WHERE state = 'NEW' ORDER BY created_at LIMIT 100")
    return [SignalId(row.signal_id) for row in await tx.execute(statement)]


_FACTS = """
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
       (SELECT jsonb_object_agg(service, at::text) FROM (SELECT service, max(at) AS at FROM heartbeats WHERE healthy
          GROUP BY service) h) AS heartbeats,
       (SELECT max(claimed_at) FROM orders WHERE account_id = s.account_id AND mode = s.mode AND purpose = 'ENTRY'
          AND instrument = s.instrument) AS last_entry_at,
       (SELECT max(opened_at) FROM positions WHERE account_id = s.account_id AND mode = s.mode
          AND instrument = s.instrument AND side <> s.side) AS last_opposite_at,
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
       AND at >= date_trunc('day', clock_timestamp() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC') d ON true
  LEFT JOIN LATERAL (
    SELECT sum(balance) FILTER (WHERE bucket = 'CASH') AS cash,
           sum(balance) FILTER (WHERE bucket IN ('CASH', 'RESERVED', 'POSITIONS', 'RECEIVABLE')) AS equity
      FROM ledger_balances x WHERE x.account_id = s.account_id AND x.mode = s.mode) l ON true
 WHERE s.signal_id = $1
"""
_GATE_READ = f"SELECT row_to_json(facts)::text FROM ({_FACTS}) facts"  # noqa: S608 - no text of anybody's in it
_TIMES = (
    "now", "made_at", "expires_at", "created_at", "opens_at", "closes_at", "reconciled_at", "m_read_at", "source_at",
    "received_at", "book_feed_at", "primary_at", "last_entry_at", "last_opposite_at", "last_trade_at", "deadman_at",
    "venue_read_at",
)  # fmt: skip
_AMOUNTS = (
    "price", "amount_usdc", "confidence", "tick", "min_size", "fee_rate", "strike", "m_tick", "m_min_size", "m_fee_rate",
    "venue_offset_ms", "exposure_usdc", "instrument_usdc", "held_usdc", "session_realized", "strategy_stop", "unrealized",
    "day_realized", "cash", "equity", "venue_usdc",
)  # fmt: skip


async def gate_read(session: LockSession, signal: SignalId) -> GateRead | None:
    """Return the facts of one signal's gate as of now.

    None when there is no such signal, or when the Book could not be read within a second: nothing is decided then (P3).
    Raises LockLost.
    """
    try:
        found = await session.ask(_GATE_READ, signal)
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable):
        return None
    if found is None:
        return None
    row = _row(found)
    book = read_book(row)
    return GateRead(
        now=row.now,
        created_at=row.created_at,
        signal=_signal(row),
        signal_state=SignalState(row.signal_state),
        window=to_window(row, state=row.window_state),
        guard=GuardFacts(
            leader=row.epoch == session.epoch,
            reconciled=row.reconciled_at is not None,
            breaker=BreakerState(row.breaker),
            kill_switch=KillSwitch(row.kill_switch),
            halted=row.halted,
        ),
        mode_control=Mode(row.mode_ceiling),
        controls=_controls(frozenset((row.controls or {}).items())),
        venue_offset=None if row.venue_offset_ms is None else milliseconds(row.venue_offset_ms),
        primary_feed_at=row.primary_at,
        book=book,
        book_facts=None
        if book is None
        else BookFacts(
            continuous=book.continuous,
            received_at=max(book.received_at, row.book_feed_at or book.received_at),
            best_ask=book.best_ask,
        ),
        market=_market(row),
        history=HistoryFacts(row.last_entry_at, row.last_opposite_at, row.last_trade_at),
        counters=_counters(row),
        losses=_losses(row),
        cash_usdc=row.cash,
        venue_balance=None if row.venue_usdc is None else BalanceFacts(row.venue_usdc, row.venue_read_at),
        deadman=DeadmanFacts(resting=row.resting, beaten_at=row.deadman_at),
        heartbeats={
            name: datetime.fromisoformat(at)  # Postgres writes +00; Python reads it
            for name, at in (row.heartbeats or {}).items()
        },
    )


async def warm_up(session: LockSession) -> str | None:
    """Have a session plan its gate and its claims before the first of them; nothing of it stays in the Book.

    Returns what went wrong, None when nothing did. Raises LockLost.
    """
    await gate_read(session, SignalId(""))
    try:
        await session.prepare(lifecycle.CLAIM_ENTRY)
        problem: str | None = (await session.call("SELECT warm_claims() AS problem", None))["problem"]
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable) as late:
        return str(late)
    return problem


def _row(facts: str) -> SimpleNamespace:
    """Return the facts by column name, times and amounts as such: an amount has every digit it is stored with."""
    found = json.loads(facts, parse_float=Decimal)
    for name in _TIMES:
        if found[name] is not None:
            found[name] = datetime.fromisoformat(found[name])
    for name in _AMOUNTS:
        if found[name] is not None:
            found[name] = Decimal(found[name])
    return SimpleNamespace(**found)


@lru_cache(maxsize=64)
def _controls(rows: frozenset[tuple[str, str]]) -> Controls | None:
    """Return what rows mean: read for every signal, worked out once for the same texts."""
    try:
        return parse_controls(dict(rows))
    except ControlInvalid:
        return None  # what cannot be read closes the gate (P3)


def _signal(row: Any) -> Signal:
    return Signal(
        signal_id=SignalId(row.signal_id),
        account_id=AccountId(row.account_id),
        mode=Mode(row.mode),
        strategy_id=StrategyId(row.strategy_id),
        instance_id=InstanceId(row.instance_id),
        window_id=WindowId(row.window_id),
        instrument=Instrument(row.instrument),
        side=Side(row.side),
        token_id=TokenId(row.token_id),
        price=row.price,
        amount_usdc=row.amount_usdc,
        confidence=row.confidence,
        made_at=row.made_at,
        expires_at=row.expires_at,
        risk=read_risk(row.risk),
        evidence=row.evidence,
    )


def _market(row: Any) -> MarketFacts | None:
    fee = read_fee(row.m_fee_rate, row.m_fee_exponent, taker_only=row.m_fee_taker_only)
    if row.m_read_at is None or fee is None:
        return None
    return MarketFacts(
        read_at=row.m_read_at,
        accepting=row.m_accepting,
        tick=row.m_tick,
        min_size=row.m_min_size,
        fee=fee,
        version=row.m_version,
        up_token=TokenId(row.m_up_token),
        down_token=TokenId(row.m_down_token),
    )


def _counters(row: Any) -> CounterFacts | None:
    if row.open_count is None or row.cash is None:
        return None
    return CounterFacts(
        entered=row.entered,
        window_blocked=row.window_blocked,
        window_orders=row.window_orders,
        position_exists=row.position_exists,
        open_positions=row.open_count,
        exposure_usdc=row.exposure_usdc,
        instrument_usdc=row.instrument_usdc,
        deployed_usdc=row.exposure_usdc,
        held_usdc=row.held_usdc,
        free_capital_usdc=row.cash,
    )


def _losses(row: Any) -> LossFacts | None:
    if row.equity is None:
        return None
    return LossFacts(
        session_pnl_usdc=row.session_realized + row.unrealized,
        daily_pnl_usdc=row.day_realized + row.unrealized,
        day_start_usdc=row.equity - row.day_realized,
        strategy_stop_usdc=row.strategy_stop,
    )
