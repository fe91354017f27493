"""Orders that rest: who asked for their cancel, what it answered, the dead-man switch over them, and adoption.

The thin callers of alembic/sql/0004_orders, and what is read beside them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import text

from shared.db.contention import claim
from shared.db.engine import Tx
from shared.db.lock import LockSession
from shared.db.queries.documents import dump
from shared.db.queries.lifecycle import trade_fields
from shared.db.queries.rows import read_fee
from shared.domain.breaker import KillSwitch
from shared.domain.cancels import CancelAnswer, Resting
from shared.domain.ids import AccountId, ConditionId, OrderId
from shared.domain.modes import Mode
from shared.domain.orders import OrderEvent, OrderState, OrderType
from shared.domain.trades import VenueTrade

Details = Mapping[str, Any]


async def claim_cancel(session: LockSession, order: OrderId, reason: str) -> str | None:
    """Claim a cancel; returns why not, or None when it is written; raises LockLost."""
    statement = "SELECT claim_cancel($1, $2, $3)"
    return await claim(partial(session.ask, statement, str(session.epoch), order, reason))


async def request_cancel(tx: Tx, order: OrderId, *, reason: str, by: str) -> bool:
    """Ask the executor to cancel an order; False when it is over, or was asked for before."""
    statement = text("SELECT request_cancel(:order, :reason, :by)")
    return bool(await tx.scalar(statement, {"order": order, "reason": reason, "by": by}))


async def request_cancels(tx: Tx, account: AccountId, mode: Mode, *, reason: str, by: str) -> int:
    """Ask the executor to cancel everything of an account and mode that may rest; returns how many were new."""
    statement = text("SELECT request_cancels(:account, :mode, :reason, :by)")
    parameters = {"account": account, "mode": mode, "reason": reason, "by": by}
    asked: int = await tx.scalar(statement, parameters)
    return asked


async def record_cancel(tx: Tx, order: OrderId, answer: CancelAnswer, details: Details) -> OrderState:
    """Record what the answer to a cancel said; ``reason`` and ``trips`` as for an answer to a send."""
    statement = text("SELECT record_cancel(:order, :answer, CAST(:details AS jsonb))")
    state = await tx.scalar(statement, {"order": order, "answer": answer, "details": dump(details)})
    return OrderState(state)


async def adopt_order(
    tx: Tx,
    account: AccountId,
    mode: Mode,
    *,
    order: Details,
    event: OrderEvent,
    trades: Sequence[VenueTrade],
    actor: str,
    reason: str,
    dry_run: bool,
) -> Details:
    """Take over an order the Book never wrote, or with ``dry_run`` only say what that would do.

    Raises a database error: OB110 when it is there already or fits no position, OB103 when its window is not known.
    """
    statement = text(
        "SELECT adopt_order(:account, :mode, CAST(:order AS jsonb), :event, CAST(:trades AS jsonb)->'trades', :actor, :reason, :dry_run)"
    )
    parameters = {
        "account": account,
        "mode": mode,
        "order": dump(order),
        "event": event,
        "trades": dump({"trades": [trade_fields(trade) for trade in trades]}),
        "actor": actor,
        "reason": reason,
        "dry_run": dry_run,
    }
    told: Details = await tx.scalar(statement, parameters)
    return told


_RESTING = text("""
SELECT o.order_id, o.account_id, o.mode, o.state, o.order_type, coalesce(o.recorded_at, o.claimed_at) AS changed_at,
       w.condition_id, w.fee_rate, w.fee_exponent, w.fee_taker_only, w.closes_at, g.kill_switch,
       r.order_id IS NOT NULL AS requested, c.at AS last_cancel_at, c.details->>'answer' AS last_answer, clock_timestamp() AS now
  FROM orders o JOIN windows w USING (window_id) JOIN trading_gate g ON g.account_id = o.account_id AND g.mode = o.mode
  LEFT JOIN cancel_requests r ON r.order_id = o.order_id
  LEFT JOIN LATERAL (SELECT e.at, e.details FROM order_evidence e WHERE e.order_id = o.order_id AND e.kind = 'CANCEL_ANSWER'
                      ORDER BY e.id DESC LIMIT 1) c ON true
 WHERE o.state IN ('LIVE', 'CANCELLING') ORDER BY o.claimed_at LIMIT 200
""")


async def resting(tx: Tx) -> list[Resting]:
    """Return the orders that rest or are being cancelled, oldest first."""
    found = []
    for row in await tx.execute(_RESTING):
        fee = read_fee(row.fee_rate, row.fee_exponent, taker_only=row.fee_taker_only)
        assert fee is not None, "a window without its fee was never traded"
        found.append(
            Resting(
                order_id=OrderId(row.order_id),
                account_id=AccountId(row.account_id),
                mode=Mode(row.mode),
                condition_id=ConditionId(row.condition_id),
                fee=fee,
                state=OrderState(row.state),
                order_type=OrderType(row.order_type),
                requested=row.requested,
                kill_switch=KillSwitch(row.kill_switch),
                closes_at=row.closes_at,
                changed_at=row.changed_at,
                last_cancel_at=row.last_cancel_at,
                last_answer=None if row.last_answer is None else CancelAnswer(row.last_answer),
                now=row.now,
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class DeadMan:
    """The dead-man switch of one account's API key, and whether anything rests under it."""

    account_id: AccountId
    resting: bool
    armed: bool
    heartbeat_id: str
    """What the next heartbeat must name; empty for the first."""
    beaten_at: datetime | None
    now: datetime


_DEAD_MEN = text("""
SELECT a.account_id, coalesce(h.armed, false) AS armed, coalesce(h.heartbeat_id, '') AS heartbeat_id, h.beaten_at,
       EXISTS (SELECT FROM orders o WHERE o.account_id = a.account_id AND o.mode = 'LIVE' AND o.state IN ('LIVE', 'CANCELLING')) AS resting,
       clock_timestamp() AS now
  FROM accounts a LEFT JOIN venue_heartbeats h USING (account_id) WHERE a.account_id = ANY (:accounts) ORDER BY 1
""")


async def dead_men(tx: Tx, accounts: Sequence[AccountId]) -> list[DeadMan]:
    """Return the switch of each of these accounts."""
    rows = await tx.execute(_DEAD_MEN, {"accounts": list(accounts)})
    return [
        DeadMan(AccountId(row.account_id), row.resting, row.armed, row.heartbeat_id, row.beaten_at, row.now)
        for row in rows
    ]


async def keep_heartbeat(
    tx: Tx, account: AccountId, *, heartbeat_id: str, accepted: bool, armed: bool
) -> None:
    """Keep what the venue expects next; ``accepted`` says that it took a heartbeat just now."""
    await tx.execute(
        text(
            "INSERT INTO venue_heartbeats AS h (account_id, heartbeat_id, beaten_at, armed)"
            " VALUES (:account, :id, CASE WHEN :accepted THEN clock_timestamp() END, :armed) ON CONFLICT (account_id) DO UPDATE"
            " SET heartbeat_id = excluded.heartbeat_id, beaten_at = coalesce(excluded.beaten_at, h.beaten_at), armed = excluded.armed"
        ),
        {"account": account, "id": heartbeat_id, "accepted": accepted, "armed": armed},
    )
