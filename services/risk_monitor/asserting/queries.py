"""The rows each assertion looks at: those of the last ten minutes, each checked many times while it was younger."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text

from services.risk_monitor.decide import is_no_race
from services.risk_monitor.queries import Account
from services.risk_monitor.verifying.queries import sighting
from shared.db.engine import Tx
from shared.db.queries.documents import dump
from shared.domain.assertions import (
    AssertionResult,
    EntryFacts,
    FillFacts,
    HoldingFacts,
    OrderFacts,
    SettlementFacts,
    SignalFacts,
)
from shared.domain.controls import parse_controls
from shared.domain.ids import AccountId
from shared.domain.modes import Mode
from shared.domain.orders import OrderState
from shared.domain.signals import SignalState

_TRADING = text("""
SELECT account_id, mode FROM trading_gate g
 WHERE mode <> 'BACKTEST' AND EXISTS (SELECT FROM signals s WHERE s.account_id = g.account_id AND s.mode = g.mode)
 ORDER BY account_id, mode""")


async def trading(tx: Tx) -> list[Account]:
    """Return every account and mode that has ever been signalled to: the others have nothing to assert."""
    return [(AccountId(row.account_id), Mode(row.mode)) for row in await tx.execute(_TRADING)]


# A signal can go somewhere while an executor that was compared leads and says so.
_SIGNALS = text("""
SELECT s.signal_id, s.state, s.refusal, s.expires_at,
       (SELECT count(*) FROM orders o WHERE o.signal_id = s.signal_id AND o.purpose = 'ENTRY') AS orders,
       (SELECT e.reconciled_at FROM executor_epochs e
         WHERE e.epoch = (SELECT max(epoch) FROM executor_epochs) AND EXISTS (SELECT FROM heartbeats h
               WHERE h.service = 'execution' AND h.at > clock_timestamp() - interval '10 seconds'
                 AND h.details @> jsonb_build_object('leading', true, 'epoch', e.epoch))) AS decidable_since
  FROM signals s WHERE s.account_id = :account AND s.mode = :mode AND s.created_at > now() - interval '10 minutes'""")


async def signals(tx: Tx, account: Account) -> Sequence[SignalFacts]:
    """Return what became of the signals."""
    return [
        SignalFacts(
            row.signal_id,
            SignalState(row.state),
            row.refusal,
            row.orders,
            row.expires_at,
            row.decidable_since,
        )
        for row in await tx.execute(_SIGNALS, _who(account))
    ]


_ORDERS = text("""
SELECT order_id, state, claimed_at FROM orders
 WHERE account_id = :account AND mode = :mode AND claimed_at > now() - interval '10 minutes'""")


async def orders(tx: Tx, account: Account) -> Sequence[OrderFacts]:
    """Return the orders and what was reported of them."""
    return [
        OrderFacts(row.order_id, OrderState(row.state), row.claimed_at)
        for row in await tx.execute(_ORDERS, _who(account))
    ]


_FILLS = text("""
SELECT p.position_id, p.bought_shares AS recorded, coalesce(x.folded, 0) AS folded
  FROM positions p LEFT JOIN LATERAL (SELECT sum(f.shares) FILTER (WHERE f.state <> 'FAILED' AND f.side = 'BUY') AS folded,
                                             bool_and(o.explained) AS explained
                                        FROM orders o LEFT JOIN fills f USING (order_id)
                                       WHERE o.position_id = p.position_id AND o.side = 'BUY') x ON true
 WHERE p.account_id = :account AND p.mode = :mode AND x.explained
   AND p.opened_at > now() - interval '10 minutes'""")


async def fills(tx: Tx, account: Account) -> Sequence[FillFacts]:
    """Return the positions beside the fold of their fills, where trades explain them."""
    return [
        FillFacts(row.position_id, row.folded, row.recorded)
        for row in await tx.execute(_FILLS, _who(account))
    ]


# The list in force at a claim is the newest that was set before it. What a person adopted was never claimed.
_ENTRIES = text("""
SELECT o.position_id, o.instrument, o.claimed_at, w.opens_at,
       coalesce((SELECT h.new_value FROM control_history h WHERE h.account_id = o.account_id AND h.key = 'allowed_instruments'
                    AND h.at <= o.claimed_at ORDER BY h.id DESC LIMIT 1),
                (SELECT default_value FROM control_definitions WHERE key = 'allowed_instruments')) AS allowed
  FROM orders o JOIN windows w USING (window_id) JOIN positions p USING (position_id)
 WHERE o.account_id = :account AND o.mode = :mode AND o.purpose = 'ENTRY' AND p.strategy_id <> 'adopted'
   AND o.claimed_at > now() - interval '10 minutes'""")


async def entries(tx: Tx, account: Account) -> Sequence[EntryFacts]:
    """Return the entries with what was allowed when they were claimed."""
    return [
        EntryFacts(
            row.position_id,
            row.instrument,
            frozenset(row.allowed.split(",")) - {""},
            row.claimed_at,
            row.opens_at,
        )
        for row in await tx.execute(_ENTRIES, _who(account))
    ]


_HOLDING = text("""
SELECT (SELECT min(opened_at) FROM positions p WHERE p.account_id = :account AND p.mode = :mode
           AND p.state NOT IN ('CLOSED', 'VOID')) AS held_since,
       (SELECT max(at) FROM position_verifications v WHERE v.account_id = :account AND v.mode = :mode AND v.verified) AS agreed_at,
       (SELECT v.book->'differences' FROM position_verifications v WHERE v.account_id = :account AND v.mode = :mode
         ORDER BY v.at DESC LIMIT 1) AS differences,
       ARRAY(SELECT position_id FROM positions p WHERE p.account_id = :account AND p.mode = :mode
                AND p.orphaned AND p.orphaned_since <= clock_timestamp() - interval '2 minutes' ORDER BY 1) AS orphans""")


async def holding(tx: Tx, account: Account) -> HoldingFacts:
    """Return what the verifications say."""
    row = (await tx.execute(_HOLDING, _who(account))).one()
    seen, now = await sighting(tx, account)
    return HoldingFacts(
        held_since=row.held_since,
        agreed_at=row.agreed_at,
        differences=tuple(row.differences or ()),
        orphans=tuple(row.orphans),
        blind=is_no_race(seen.blind_since, now),
    )


_SETTLEMENTS = text("""
SELECT window_id, book_pnl_usdc, balance_delta_usdc FROM settlement_checks
 WHERE account_id = :account AND mode = :mode AND balance_delta_usdc IS NOT NULL AND at > now() - interval '10 minutes'""")


async def settlements(tx: Tx, account: Account) -> Sequence[SettlementFacts]:
    """Return the windows whose positions are all closed: profit, and what trades and proved payouts moved."""
    return [
        SettlementFacts(row.window_id, row.book_pnl_usdc, row.balance_delta_usdc)
        for row in await tx.execute(_SETTLEMENTS, _who(account))
    ]


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is deployed and what may be, USDC."""

    positions_usdc: Decimal
    reserved_usdc: Decimal
    max_session_loss_usdc: Decimal


_DEPLOYED = text("""
SELECT coalesce(sum(balance) FILTER (WHERE bucket = 'POSITIONS'), 0) AS positions,
       coalesce(sum(balance) FILTER (WHERE bucket = 'RESERVED'), 0) AS reserved,
       (SELECT jsonb_object_agg(key, value) FROM runtime_controls WHERE account_id = :account) AS controls
  FROM ledger_balances WHERE account_id = :account AND mode = :mode""")


async def deployed(tx: Tx, account: Account) -> Deployed:
    """Return what is deployed; raises ControlInvalid for a limit nobody can read."""
    row = (await tx.execute(_DEPLOYED, _who(account))).one()
    limit = parse_controls(row.controls or {}).max_session_loss_usdc
    return Deployed(row.positions, row.reserved, limit)


_SLOW = text("""
SELECT service || '/' || instance || ' ' || slow.key AS name, slow.value AS took_s
  FROM heartbeats, jsonb_each_text(details->'slow_turns') slow
 WHERE at > clock_timestamp() - interval '15 seconds' AND jsonb_typeof(details->'slow_turns') = 'object'""")


async def slow_turns(tx: Tx) -> dict[str, str]:
    """Return the turns that took over five seconds, of any process, as their heartbeats tell."""
    return {row.name: row.took_s for row in await tx.execute(_SLOW)}


async def database_now(tx: Tx) -> datetime:
    """Return Postgres's clock."""
    now: datetime = await tx.scalar(text("SELECT clock_timestamp()"))
    return now


async def insert_assertion(tx: Tx, account: Account, result: AssertionResult) -> None:
    """Keep the result of one runtime assertion (R10)."""
    statement = text(
        "INSERT INTO assertion_results (assertion, account_id, mode, held, details) VALUES"
        " (:number, :account, :mode, :held, CAST(:details AS jsonb))"
    )
    parameters = _who(account) | {
        "number": result.number,
        "held": result.passed,
        "details": dump({"broken": result.broken}),
    }
    await tx.execute(statement, parameters)


def _who(account: Account) -> dict[str, object]:
    return {"account": account[0], "mode": account[1]}
