"""Statements about single orders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from shared.db.engine import Tx
from shared.db.queries.rows import read_fee
from shared.domain.ids import AccountId, ConditionId, InstanceId, OrderId, WindowId
from shared.domain.modes import Mode
from shared.domain.orders import OrderState
from shared.domain.windows import FeeSchedule


@dataclass(frozen=True, slots=True)
class Evidence:
    """One observation of an order, and what it proves."""

    at: datetime
    kind: str
    proves: str
    source: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UnknownOrder:
    """An order nobody can tell the fate of yet, with everything observed of it."""

    order_id: OrderId
    account_id: AccountId
    mode: Mode
    window_id: WindowId
    purpose: str
    reason: str | None
    reserved_usdc: str
    claimed_at: datetime
    closes_at: datetime
    now: datetime
    evidence: Sequence[Evidence]


@dataclass(frozen=True, slots=True)
class TradedWindow:
    """The window of a market the Book knows."""

    window_id: WindowId
    fee: FeeSchedule


async def list_unknown(tx: Tx, prefix: str) -> list[UnknownOrder]:
    """Return the orders in state UNKNOWN whose ids begin so, oldest first."""
    rows = await tx.execute(
        text(
            "SELECT o.order_id, o.account_id, o.mode, o.window_id, o.purpose, o.reason, o.reserved_usdc::text AS reserved,"
            " o.claimed_at, w.closes_at, clock_timestamp() AS now FROM orders o JOIN windows w USING (window_id)"
            " WHERE o.state = 'UNKNOWN' AND starts_with(o.order_id, :prefix) ORDER BY o.claimed_at"
        ),
        {"prefix": prefix},
    )
    return [
        UnknownOrder(
            OrderId(row.order_id),
            AccountId(row.account_id),
            Mode(row.mode),
            WindowId(row.window_id),
            row.purpose,
            row.reason,
            row.reserved,
            row.claimed_at,
            row.closes_at,
            row.now,
            await _list_evidence(tx, OrderId(row.order_id)),
        )
        for row in rows.all()
    ]


async def _list_evidence(tx: Tx, order: OrderId) -> list[Evidence]:
    rows = await tx.execute(
        text(
            "SELECT at, kind, proves, source, details FROM order_evidence WHERE order_id = :order ORDER BY id"
        ),
        {"order": order},
    )
    return [Evidence(row.at, row.kind, row.proves, row.source, row.details) for row in rows]


async def accounts_missing(tx: Tx, order: OrderId) -> list[AccountId]:
    """Return the accounts at whose venue the reconciler has found an order the Book never wrote."""
    rows = await tx.scalars(
        text(
            "SELECT DISTINCT account_id FROM discrepancies WHERE subject = :order AND resolved_at IS NULL"
            " AND kind IN ('ORDER_UNWRITTEN', 'TRADE_UNWRITTEN') ORDER BY account_id"
        ),
        {"order": order},
    )
    return [AccountId(account) for account in rows]


async def window_of(tx: Tx, condition: ConditionId) -> TradedWindow | None:
    """Return the window of a market; None when the Book does not know it."""
    row = (
        await tx.execute(
            text(
                "SELECT window_id, fee_rate, fee_exponent, fee_taker_only FROM windows WHERE condition_id = :condition"
            ),
            {"condition": condition},
        )
    ).one_or_none()
    if row is None:
        return None
    fee = read_fee(row.fee_rate, row.fee_exponent, taker_only=row.fee_taker_only)
    return None if fee is None else TradedWindow(WindowId(row.window_id), fee)


@dataclass(frozen=True, slots=True)
class Instance:
    """A strategy in an account."""

    instance_id: InstanceId
    enabled: bool


async def instance_of(tx: Tx, account: AccountId, strategy: str) -> Instance | None:
    """Return the newest instance of a strategy in an account; None where nobody ever ran it."""
    row = (
        await tx.execute(
            text(
                "SELECT instance_id, enabled FROM strategy_instances WHERE account_id = :account AND strategy_id = :strategy"
                " ORDER BY since DESC LIMIT 1"
            ),
            {"account": account, "strategy": strategy},
        )
    ).one_or_none()
    return None if row is None else Instance(InstanceId(row.instance_id), row.enabled)


async def allow_instance(tx: Tx, instance: InstanceId, *, enabled: bool, by: str) -> None:
    """Let a strategy's signals become orders, or not."""
    await tx.execute(
        text(
            "UPDATE strategy_instances SET enabled = :enabled, enabled_by = :by WHERE instance_id = :instance"
        ),
        {"instance": instance, "enabled": enabled, "by": by},
    )


@dataclass(frozen=True, slots=True)
class Sent:
    """An order that went out in LIVE, as the Book has it."""

    order_id: OrderId
    state: OrderState
    explained: bool
    shares: Decimal
    usdc: Decimal
    condition_id: ConditionId
    fee: FeeSchedule


async def newest_entry(tx: Tx, instance: InstanceId) -> Sent | None:
    """Return the newest LIVE entry of a strategy's instance; None where there is none."""
    row = (
        await tx.execute(
            text(
                "SELECT o.order_id, o.state, o.explained, o.traded_shares, o.traded_usdc, w.condition_id,"
                " w.fee_rate, w.fee_exponent, w.fee_taker_only"
                " FROM orders o JOIN signals s USING (signal_id) JOIN windows w ON w.window_id = o.window_id"
                " WHERE s.instance_id = :instance AND o.mode = 'LIVE' AND o.purpose = 'ENTRY' ORDER BY o.claimed_at DESC LIMIT 1"
            ),
            {"instance": instance},
        )
    ).one_or_none()
    if row is None:
        return None
    fee = read_fee(row.fee_rate, row.fee_exponent, taker_only=row.fee_taker_only)
    assert fee is not None, "a window without its fee was never traded"
    return Sent(
        OrderId(row.order_id),
        OrderState(row.state),
        row.explained,
        row.traded_shares,
        row.traded_usdc,
        ConditionId(row.condition_id),
        fee,
    )
