"""Everything the Book knows of one trade."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from shared.db.engine import Tx
from shared.domain.ids import OrderId


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened on the way: when, from which table, what, and its details."""

    at: datetime
    table: str
    what: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Leg:
    """One movement of money of the position, USDC."""

    at: datetime
    from_bucket: str
    to_bucket: str
    amount: Decimal
    kind: str
    provisional: bool


@dataclass(frozen=True, slots=True)
class Subject:
    """The trade an order belongs to: an entry, its exits, and the position they make."""

    order_id: OrderId
    account: str
    mode: str
    purpose: str
    state: str
    position_id: str
    signal_id: str
    strategy: str
    window_id: str
    instrument: str
    outcome: str
    token_id: str
    decided_from: datetime
    position_state: str
    bought_shares: Decimal
    bought_usdc: Decimal
    sold_shares: Decimal
    sold_usdc: Decimal
    fees_usdc: Decimal
    payout: Decimal | None
    paid_usdc: Decimal | None
    gross_pnl: Decimal
    """By the ledger; of an open position the part that is realised."""

    @property
    def net_pnl(self) -> Decimal:
        """Return the profit after fees, USDC."""
        return self.gross_pnl - self.fees_usdc


async def read_subject(tx: Tx, order: OrderId) -> Subject:
    """Return the trade of this order."""
    row = (
        await tx.execute(
            text(
                "SELECT o.order_id, o.account_id, o.mode, o.purpose, o.state, o.position_id, p.signal_id, p.strategy_id, o.window_id,"
                " o.instrument, p.side AS outcome, o.token_id, s.made_at, p.state AS position_state, bought_shares, bought_usdc,"
                " sold_shares, sold_usdc, buy_fees_usdc + sell_fees_usdc AS fees, payout, paid_usdc, -booked_pnl AS gross"
                " FROM orders o JOIN positions p USING (position_id) JOIN signals s ON s.signal_id = p.signal_id WHERE o.order_id = :order"
            ),
            {"order": order},
        )
    ).one()
    return Subject(OrderId(row.order_id), *row[1:])


async def read_ticks(tx: Tx, subject: Subject) -> list[Happening]:
    """Return the newest price of each feed that had been received when the signal was made."""
    rows = await tx.execute(
        text(
            "SELECT DISTINCT ON (source, token_id) timestamp AS at, source, price, source_timestamp, token_id FROM price_ticks"
            " WHERE timestamp BETWEEN :made_at - interval '1 minute' AND :made_at"
            " AND (upper(symbol) = upper(:instrument) OR token_id = :token) AND (token_id IS NULL OR token_id IN"
            "  (SELECT unnest(ARRAY[up_token, down_token]) FROM windows WHERE window_id = :window))"
            " ORDER BY source, token_id, timestamp DESC"
        ),
        {
            "made_at": subject.decided_from,
            "instrument": subject.instrument,
            "token": subject.token_id,
            "window": subject.window_id,
        },
    )
    return [
        Happening(
            row.at,
            "price_ticks",
            f"tick of {row.source}",
            {
                "price": str(row.price),
                "source_time": row.source_timestamp.isoformat(timespec="milliseconds")
                if row.source_timestamp
                else None,
                "token": None if row.token_id is None else _ours(row.token_id, subject),
            },
        )
        for row in rows
    ]


def _ours(token_id: str, subject: Subject) -> str:
    other = "DOWN" if subject.outcome == "UP" else "UP"
    return subject.outcome if token_id == subject.token_id else other


_CHAIN = """
SELECT w.opens_at AS at, 'windows' AS source, 'window opened' AS what, jsonb_build_object('strike', w.strike::text,
    'strike_source', w.strike_source, 'rule', w.rule, 'lookback_s', w.lookback_s, 'closes_at', w.closes_at) AS details
  FROM windows w WHERE w.window_id = :window
UNION ALL
SELECT s.made_at, 'signals', 'signal made', jsonb_build_object('strategy', s.strategy_id, 'instance', s.instance_id, 'side', s.side,
    'price', s.price::text, 'amount_usdc', s.amount_usdc::text, 'confidence', s.confidence::text, 'evidence', s.evidence)
  FROM signals s WHERE s.signal_id = :signal
UNION ALL
SELECT s.created_at, 'signals', 'signal committed', jsonb_build_object('expires_at', s.expires_at) FROM signals s WHERE s.signal_id = :signal
UNION ALL
SELECT o.sent_at, 'orders', lower(o.purpose) || ' sent', jsonb_build_object('order', left(o.order_id, 12), 'order_type', o.order_type,
    'limit_price', o.limit_price::text, 'maker_amount', o.maker_amount::text, 'taker_amount', o.taker_amount::text)
  FROM orders o WHERE o.position_id = :position AND o.sent_at IS NOT NULL
UNION ALL
SELECT o.answered_at, 'orders', lower(o.purpose) || ' answered', jsonb_build_object('order', left(o.order_id, 12),
    'reported_shares', o.reported_shares::text, 'reported_usdc', o.reported_usdc::text, 'reason', o.reason)
  FROM orders o WHERE o.position_id = :position AND o.answered_at IS NOT NULL
UNION ALL
SELECT e.at, 'order_evidence', 'evidence: ' || e.kind || ' proves ' || e.proves, jsonb_build_object('source', e.source,
    'order', left(e.order_id, 12)) FROM order_evidence e JOIN orders o USING (order_id) WHERE o.position_id = :position
UNION ALL
SELECT f.matched_at, 'fills', 'matched at the venue', jsonb_build_object('trade', f.trade_id, 'side', f.side, 'shares', f.shares::text,
    'price', f.price::text, 'usdc', f.usdc::text, 'fee_usdc', f.fee_usdc::text) FROM fills f WHERE f.position_id = :position
UNION ALL
SELECT h.at, 'fill_history', 'trade ' || lower(h.state), jsonb_build_object('trade', h.trade_id, 'source', h.source)
  FROM fill_history h JOIN orders o USING (order_id) WHERE o.position_id = :position
UNION ALL
SELECT a.at, 'audit_events', a.kind, a.details || jsonb_build_object('by', a.actor, 'event', a.event_id)
  FROM audit_events a WHERE a.account_id = :account AND a.mode IN (:mode, '*')
   AND (a.position_id = :position OR a.correlation_id = :signal OR a.order_id IN (SELECT order_id FROM orders WHERE position_id = :position)
        OR (a.window_id = :window AND starts_with(a.kind, 'redemption_')))
UNION ALL
SELECT w.closes_at, 'windows', 'window closed', coalesce((SELECT jsonb_build_object('oracle_at_close', c.oracle_price_at_close::text,
    'oracle_average_at_close', c.oracle_average_at_close::text, 'consensus', c.market_consensus_direction) FROM window_close_events c
    WHERE c.window_id = w.window_id), '{}') FROM windows w WHERE w.window_id = :window AND w.closes_at <= clock_timestamp()
UNION ALL
SELECT r.read_at, 'window_resolutions', 'venue resolved', jsonb_build_object('source', r.source, 'payout_up', r.payout_up::text)
  FROM window_resolutions r WHERE r.window_id = :window
UNION ALL
SELECT c.at, 'settlement_checks', CASE WHEN c.agrees THEN 'settlement agrees' ELSE 'settlement DIFFERS' END, jsonb_build_object('ours',
    c.our_direction, 'venue', c.venue_direction, 'book_pnl_usdc', c.book_pnl_usdc::text, 'balance_delta_usdc', c.balance_delta_usdc::text)
  FROM settlement_checks c WHERE c.window_id = :window AND c.account_id = :account AND c.mode = :mode
UNION ALL
SELECT r.claimed_at, 'redemptions', 'redemption ' || r.attempt || ' ' || lower(r.state), jsonb_build_object('expected_usdc',
    r.expected_usdc::text, 'paid_usdc', r.paid_usdc::text, 'ticket', r.ticket, 'finished_at', r.finished_at, 'reason', r.reason)
  FROM redemptions r WHERE r.window_id = :window AND r.account_id = :account AND r.mode = :mode
"""


async def read_chain(tx: Tx, subject: Subject) -> list[Happening]:
    """Return what every table says of the trade, in the order it happened."""
    rows = await tx.execute(
        text(_CHAIN),
        {
            "window": subject.window_id,
            "signal": subject.signal_id,
            "position": subject.position_id,
            "account": subject.account,
            "mode": subject.mode,
        },
    )
    return [Happening(row.at, row.source, row.what, row.details) for row in rows]


async def read_verdict(tx: Tx, subject: Subject) -> Mapping[str, Any]:
    """Return the gate's inputs and verdicts as the claim stored them."""
    verdict = await tx.scalar(
        text("SELECT gate_evidence FROM orders WHERE order_id = :order"), {"order": subject.order_id}
    )
    assert isinstance(verdict, Mapping)
    return verdict


async def read_legs(tx: Tx, subject: Subject) -> list[Leg]:
    """Return every movement of money the position made, in order."""
    rows = await tx.execute(
        text(
            "SELECT at, from_bucket, to_bucket, amount, kind, provisional FROM ledger_entries WHERE position_id = :position ORDER BY entry_id"
        ),
        {"position": subject.position_id},
    )
    return [
        Leg(row.at, row.from_bucket, row.to_bucket, row.amount, row.kind, row.provisional) for row in rows
    ]
