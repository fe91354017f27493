"""What only a person asks of the Book: accounts, sessions, corrections, partitions, proofs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from shared.db.engine import Tx
from shared.db.queries.documents import dump
from shared.domain.ids import AccountId
from shared.domain.modes import Mode


@dataclass(frozen=True, slots=True)
class LedgerDifference:
    """A stored figure that is not the fold of its entries, USDC."""

    what: str
    stored: Decimal | None
    folded: Decimal | None


async def open_account(tx: Tx, account: AccountId, *, paper_wallet: str, wallet: str | None = None) -> bool:
    """Open an account with its gate, counters and balances in every mode; False when it stood already."""
    statement = text("SELECT open_account(:account, :paper_wallet, :wallet)")
    return bool(
        await tx.scalar(statement, {"account": account, "paper_wallet": paper_wallet, "wallet": wallet})
    )


async def open_session(tx: Tx, account: AccountId, mode: Mode, *, operator: str) -> int:
    """Close the running session and open one that lasts until a person closes it; returns its id."""
    statement = text("SELECT open_session(:account, :mode, :operator)")
    session_id: int = await tx.scalar(statement, {"account": account, "mode": mode, "operator": operator})
    return session_id


async def close_session(tx: Tx, account: AccountId, mode: Mode, *, operator: str) -> bool:
    """Close the running session; False when there is none."""
    statement = text("SELECT close_session(:account, :mode, :operator)")
    return bool(await tx.scalar(statement, {"account": account, "mode": mode, "operator": operator}))


async def correct(
    tx: Tx,
    account: AccountId,
    mode: Mode,
    *,
    amount_usdc: Decimal,
    reference: str,
    actor: str,
    reason: str,
    dry_run: bool,
) -> str:
    """Book a correction to CASH, or say what it would book; returns the sentence to show."""
    statement = text("SELECT correct(:account, :mode, :amount, :reference, :actor, :reason, :dry_run)")
    parameters = {
        "account": account,
        "mode": mode,
        "amount": amount_usdc,
        "reference": reference,
        "actor": actor,
        "reason": reason,
        "dry_run": dry_run,
    }
    return str(await tx.scalar(statement, parameters))


async def request_command(
    tx: Tx, account: AccountId | None, *, kind: str, arguments: Mapping[str, Any], by: str, reason: str
) -> int:
    """Leave a command for the service that carries it out; returns its id."""
    statement = text("SELECT request_command(:account, :kind, CAST(:arguments AS jsonb), :by, :reason)")
    parameters = {
        "account": account,
        "kind": kind,
        "arguments": dump(arguments),
        "by": by,
        "reason": reason,
    }
    command_id: int = await tx.scalar(statement, parameters)
    return command_id


async def ensure_partitions(tx: Tx, *, days_ahead: int = 7) -> int:
    """Make the tick partitions of today and the days ahead; returns how many were missing."""
    made: int = await tx.scalar(text("SELECT ensure_partitions(:days)"), {"days": days_ahead})
    return made


async def drop_partitions(tx: Tx, *, keep_days: int = 7) -> list[str]:
    """Drop the tick partitions older than ``keep_days``; returns their names."""
    return list(await tx.scalars(text("SELECT drop_partitions(:days)"), {"days": keep_days}))


async def drop_old_looks(tx: Tx, *, keep: timedelta) -> int:
    """Drop looks older than ``keep`` that found everything in order, some at a time; returns how many went."""
    gone: int = await tx.scalar(text("SELECT drop_old_looks(:keep)"), {"keep": keep})
    return gone


async def prove_ledger(tx: Tx, account: AccountId, mode: Mode) -> list[LedgerDifference]:
    """Return as ``verify_ledger``, from where it was last proved, and whole once an hour: its price does not grow."""
    rows = await tx.execute(
        text("SELECT what, stored, folded FROM prove_ledger(:account, :mode)"),
        {"account": account, "mode": mode},
    )
    return [LedgerDifference(row.what, row.stored, row.folded) for row in rows]


async def prove_audit_chain(tx: Tx, account: AccountId) -> int | None:
    """Return as ``verify_audit_chain``, of what is new and of a part of what is old: its price does not grow."""
    broken: int | None = await tx.scalar(text("SELECT prove_audit_chain(:account)"), {"account": account})
    return broken


async def verify_ledger(tx: Tx, account: AccountId, mode: Mode) -> list[LedgerDifference]:
    """Return every stored balance or counter that its entries do not add up to: empty when the books agree."""
    rows = await tx.execute(
        text("SELECT what, stored, folded FROM verify_ledger(:account, :mode)"),
        {"account": account, "mode": mode},
    )
    return [LedgerDifference(row.what, row.stored, row.folded) for row in rows]


async def verify_audit_chain(tx: Tx, account: AccountId) -> int | None:
    """Return the id of the first event whose hash does not follow, 0 for a cut-off end, None when all is whole."""
    broken: int | None = await tx.scalar(text("SELECT verify_audit_chain(:account)"), {"account": account})
    return broken
