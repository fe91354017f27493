"""The Book's API as Python calls it: one thin function for each function of alembic/sql/functions (D15).

What each promises stands above its SQL. Claims go out on the executor's lock session, one statement each; facts are
recorded in any transaction, whoever leads by now (P9).
"""

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import partial

from sqlalchemy import text

from shared.db.contention import Contention, claim
from shared.db.engine import Tx
from shared.db.lock import LockSession
from shared.db.queries.documents import Details, dump
from shared.db.vitals import SILENT, vital_signs
from shared.domain.breaker import TripReason
from shared.domain.ids import (
    AccountId,
    Epoch,
    OrderId,
    RedemptionId,
    SignalId,
    TokenId,
    TradeId,
    WindowId,
)
from shared.domain.modes import Mode
from shared.domain.money import from_micro
from shared.domain.orders import OrderEvent, OrderState
from shared.domain.prepared import PreparedOrder
from shared.domain.redemptions import RedemptionEvent, RedemptionState
from shared.domain.trades import VenueTrade

CLAIM_ENTRY = "SELECT row_to_json(claim)::text FROM claim_entry($1, $2, $3, $4, $5) claim"
CLAIM_EXIT = "SELECT row_to_json(claim)::text FROM claim_exit($1, $2, $3, $4, $5) claim"
_NONE: Details = {}


class TradeChange(StrEnum):
    """What a trade changed in the Book."""

    NEW = "NEW"
    CHANGED = "CHANGED"
    SAME = "SAME"


@dataclass(frozen=True, slots=True)
class ClaimAnswer:
    """A claim's answer: ``refused`` names the first rule that said no, or the contention it met; else it is committed."""

    refused: str | None
    claimed_at: datetime | None


@dataclass(frozen=True, slots=True)
class RedeemAnswer:
    """A redemption's claim: what it should bring, USDC."""

    refused: str | None
    expected_usdc: Decimal | None


def _order_fields(
    prepared: PreparedOrder, *, reserved_usdc: Decimal | None, cap_usdc: Decimal | None, book: Details | None
) -> str:
    intent = prepared.intent
    return dump(
        {
            "order_id": prepared.order_id,
            "position_id": intent.position_id,
            "token_id": intent.token_id,
            "order_type": intent.order_type,
            "limit_price": intent.limit_price,
            "maker_amount": from_micro(prepared.maker_amount),
            "taker_amount": from_micro(prepared.taker_amount),
            "salt": intent.salt,
            "timestamp_ms": intent.timestamp_ms,
            "reserved_usdc": reserved_usdc,
            "cap_usdc": cap_usdc,
            "book": book,
        }
    )


async def claim_entry(
    session: LockSession,
    prepared: PreparedOrder,
    *,
    reserved_usdc: Decimal,
    cap_usdc: Decimal,
    evidence: Details,
    book: Details | None = None,
) -> ClaimAnswer:
    """Claim one entry; raises LockLost when the answer was lost: the row tells, and recovery finds it."""
    order = _order_fields(prepared, reserved_usdc=reserved_usdc, cap_usdc=cap_usdc, book=book)
    return await _claim(session, CLAIM_ENTRY, prepared.intent.signal_id, order, prepared.body, dump(evidence))


async def claim_exit(
    session: LockSession, prepared: PreparedOrder, *, evidence: Details, book: Details | None = None
) -> ClaimAnswer:
    """Claim the exit of a position; raises LockLost."""
    order = _order_fields(prepared, reserved_usdc=None, cap_usdc=None, book=book)
    return await _claim(
        session, CLAIM_EXIT, prepared.intent.position_id, order, prepared.body, dump(evidence)
    )


async def _claim(session: LockSession, statement: str, *parameters: str | None) -> ClaimAnswer:
    answer = await claim(partial(session.ask, statement, str(session.epoch), *parameters))
    if isinstance(answer, Contention):
        return ClaimAnswer(answer, None)
    assert answer is not None, "a claim answers with one row"
    row = json.loads(answer)
    at = row["claimed_at"]
    return ClaimAnswer(row["refused"], None if at is None else datetime.fromisoformat(at))


async def claim_redeem(
    session: LockSession,
    account: AccountId,
    mode: Mode,
    window: WindowId,
    *,
    redemption: RedemptionId,
    attempt: int,
    cash_before_usdc: Decimal | None,
) -> RedeemAnswer:
    """Claim the redemption of a window's tokens; raises LockLost."""
    ask = partial(
        session.call,
        "SELECT refused, expected_usdc FROM claim_redeem(%(epoch)s, %(account)s, %(mode)s, %(window)s, %(redemption)s,"
        " %(attempt)s, %(cash)s)",
        {
            "epoch": session.epoch,
            "account": account,
            "mode": mode,
            "window": window,
            "redemption": redemption,
            "attempt": attempt,
            "cash": cash_before_usdc,
        },
    )
    row = await claim(ask)
    if isinstance(row, Contention):
        return RedeemAnswer(row, None)
    return RedeemAnswer(row["refused"], row["expected_usdc"])


async def refuse_signal(tx: Tx, signal: SignalId, reason: str, verdict: Details) -> bool:
    """Refuse (or expire) a NEW signal with every input of the decision; False when it was decided before."""
    statement = text("SELECT refuse_signal(:signal, :reason, CAST(:verdict AS jsonb))")
    return bool(await tx.scalar(statement, {"signal": signal, "reason": reason, "verdict": dump(verdict)}))


async def record_outcome(tx: Tx, order: OrderId, event: OrderEvent, details: Details) -> OrderState:
    """Record what a send taught us; returns the order's state. Details as the SQL names them, money as Decimal."""
    statement = text("SELECT record_outcome(:order, :event, CAST(:details AS jsonb))")
    state = await tx.scalar(statement, {"order": order, "event": event, "details": dump(details)})
    return OrderState(state)


async def apply_trade(tx: Tx, trade: VenueTrade, source: str) -> TradeChange:
    """Record a venue trade once, by whatever channel it came."""
    statement = text("SELECT apply_trade(CAST(:trade AS jsonb), :source)")
    return TradeChange(await tx.scalar(statement, {"trade": dump(trade_fields(trade)), "source": source}))


def trade_fields(trade: VenueTrade) -> Details:
    """Return a trade as the Book's functions take it."""
    return {
        "order_id": trade.order_id,
        "trade_id": trade.trade_id,
        "token_id": trade.token_id,
        "side": trade.side,
        "shares": trade.shares,
        "price": trade.price,
        "usdc": trade.usdc,
        "fee_usdc": trade.fee_usdc,
        "state": trade.state,
        "matched_at": trade.matched_at,
        "is_taker": trade.is_taker,
        "transaction_hash": trade.transaction_hash,
    }


async def reverse_trade(tx: Tx, order: OrderId, trade: TradeId, token: TokenId, source: str) -> TradeChange:
    """Undo a recorded trade that failed on chain."""
    statement = text("SELECT reverse_trade(:order, :trade, :token, :source)")
    parameters = {"order": order, "trade": trade, "token": token, "source": source}
    return TradeChange(await tx.scalar(statement, parameters))


async def apply_order_evidence(
    tx: Tx, order: OrderId, *, kind: str, proves: str, source: str, event: OrderEvent | None, details: Details
) -> OrderState:
    """Keep an observation of an order with what it proves; ``event`` moves it where the table allows."""
    statement = text(
        "SELECT apply_order_evidence(:order, :kind, :proves, :source, :event, CAST(:details AS jsonb))"
    )
    parameters = {
        "order": order,
        "kind": kind,
        "proves": proves,
        "source": source,
        "event": event,
        "details": dump(details),
    }
    return OrderState(await tx.scalar(statement, parameters))


async def resolve_unknown(
    tx: Tx, order: OrderId, event: OrderEvent, source: str, details: Details
) -> OrderState:
    """End an Unknown by proof. Raises a database error (OB108) when the proofs of D3 are not all there."""
    statement = text("SELECT resolve_unknown(:order, :event, :source, CAST(:details AS jsonb))")
    parameters = {"order": order, "event": event, "source": source, "details": dump(details)}
    return OrderState(await tx.scalar(statement, parameters))


async def settle(
    tx: Tx,
    window: WindowId,
    *,
    payout_up: Decimal,
    payout_down: Decimal,
    source: str,
    resolved_at: datetime | None,
    our_direction: str | None,
    evidence: Details,
) -> bool:
    """Resolve a window by the venue's word; False when it was already. Raises OB109 on a contradiction."""
    statement = text(
        "SELECT settle(:window, :up, :down, :source, :resolved_at, :ours, CAST(:evidence AS jsonb))"
    )
    parameters = {
        "window": window,
        "up": payout_up,
        "down": payout_down,
        "source": source,
        "resolved_at": resolved_at,
        "ours": our_direction,
        "evidence": dump(evidence),
    }
    return bool(await tx.scalar(statement, parameters))


async def record_redemption(
    tx: Tx, redemption: RedemptionId, event: RedemptionEvent, details: Details
) -> RedemptionState:
    """Record how far a redemption has come; PAID needs ``paid_usdc``, the cash the balance shows."""
    statement = text("SELECT record_redemption(:redemption, :event, CAST(:details AS jsonb))")
    parameters = {"redemption": redemption, "event": event, "details": dump(details)}
    return RedemptionState(await tx.scalar(statement, parameters))


async def book_external(
    tx: Tx,
    account: AccountId,
    mode: Mode,
    *,
    kind: str,
    amount_usdc: Decimal,
    reference: str,
    evidence: Details = _NONE,
) -> bool:
    """Book money that came (positive) or went outside trading, once a reference; False when it was booked before."""
    statement = text(
        "SELECT book_external(:account, :mode, :kind, :amount, :reference, CAST(:evidence AS jsonb))"
    )
    parameters = {
        "account": account,
        "mode": mode,
        "kind": kind,
        "amount": amount_usdc,
        "reference": reference,
        "evidence": dump(evidence),
    }
    return bool(await tx.scalar(statement, parameters))


async def mark_reconciled(tx: Tx, epoch: Epoch, summary: Details) -> bool:
    """Say that Book and venue were compared since this epoch began: claims may start (X1)."""
    statement = text("SELECT mark_reconciled(:epoch, CAST(:summary AS jsonb))")
    return bool(await tx.scalar(statement, {"epoch": epoch, "summary": dump(summary)}))


async def trip_breaker(
    tx: Tx, account: AccountId, mode: Mode, reason: TripReason, context: Details = _NONE
) -> bool:
    """Open the breaker of an account and mode; False when it was open already."""
    statement = text("SELECT trip_breaker(:account, :mode, :reason, CAST(:context AS jsonb))")
    parameters = {"account": account, "mode": mode, "reason": reason, "context": dump(context)}
    return bool(await tx.scalar(statement, parameters))


async def reset_breaker(tx: Tx, account: AccountId, mode: Mode, *, operator: str, reason: str) -> None:
    """Close the breaker. Raises a database error (OB102) while an order may be live or Unknown."""
    statement = text("SELECT reset_breaker(:account, :mode, :operator, :reason)")
    await tx.execute(statement, {"account": account, "mode": mode, "operator": operator, "reason": reason})


async def set_control(
    tx: Tx, account: AccountId, *, key: str, value: str, actor: str, reason: str
) -> str | None:
    """Set a runtime control; returns the value before. Raises a database error (OB106) saying what is lawful."""
    statement = text("SELECT set_control(:account, :key, :value, :actor, :reason)")
    parameters = {"account": account, "key": key, "value": value, "actor": actor, "reason": reason}
    before: str | None = await tx.scalar(statement, parameters)
    return before


async def beat(tx: Tx, *, service: str, instance: str, healthy: bool, details: Details = _NONE) -> None:
    """Say that this service lives and whether it is fit: one with a loop that is silent is not (R11)."""
    statement = text("SELECT beat(:service, :instance, :healthy, CAST(:details AS jsonb))")
    said = {**details, **vital_signs(tx)}
    fit = healthy and SILENT not in said
    parameters = {"service": service, "instance": instance, "healthy": fit, "details": dump(said)}
    await tx.execute(statement, parameters)


async def raise_alert(
    tx: Tx,
    *,
    severity: str,
    kind: str,
    dedup_key: str,
    account: AccountId | None = None,
    mode: Mode | None = None,
    details: Details = _NONE,
) -> int:
    """Put an alert in the outbox; a cause that lasts is one alert with a count. Returns its id."""
    statement = text(
        "SELECT raise_alert(:severity, :kind, :dedup_key, :account, :mode, CAST(:details AS jsonb))"
    )
    parameters = {
        "severity": severity,
        "kind": kind,
        "dedup_key": dedup_key,
        "account": account,
        "mode": mode,
        "details": dump(details),
    }
    alert_id: int = await tx.scalar(statement, parameters)
    return alert_id
