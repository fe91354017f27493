"""How things stand: accounts, gates, what is open. For health and for people."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text

from shared.db.engine import Tx
from shared.domain.breaker import BreakerState, KillSwitch
from shared.domain.ids import AccountId
from shared.domain.modes import Mode


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account: its wallet at the venue, and the address its paper orders are made by."""

    account_id: AccountId
    paper_wallet: str
    wallet: str | None


@dataclass(frozen=True, slots=True)
class GateRow:
    """What may stop an account in a mode."""

    account_id: AccountId
    mode: Mode
    breaker: BreakerState
    breaker_reason: str | None
    breaker_since: datetime | None
    kill_switch: KillSwitch
    mode_ceiling: Mode
    halted: bool
    cash_usdc: Decimal


async def accounts(tx: Tx) -> list[AccountRow]:
    """Return every account, by name."""
    rows = await tx.execute(text("SELECT account_id, paper_wallet, wallet FROM accounts ORDER BY account_id"))
    return [AccountRow(AccountId(row.account_id), row.paper_wallet, row.wallet) for row in rows]


async def gates(tx: Tx, mode: Mode) -> list[GateRow]:
    """Return each account's gate in one mode, with its cash."""
    statement = text("""
        SELECT g.*, coalesce(b.balance, 0) AS cash FROM trading_gate g
          LEFT JOIN ledger_balances b ON b.account_id = g.account_id AND b.mode = g.mode AND b.bucket = 'CASH'
         WHERE g.mode = :mode ORDER BY g.account_id""")
    return [
        GateRow(
            account_id=AccountId(row.account_id),
            mode=Mode(row.mode),
            breaker=BreakerState(row.breaker),
            breaker_reason=row.breaker_reason,
            breaker_since=row.breaker_since,
            kill_switch=KillSwitch(row.kill_switch),
            mode_ceiling=Mode(row.mode_ceiling),
            halted=row.halted,
            cash_usdc=row.cash,
        )
        for row in await tx.execute(statement, {"mode": mode})
    ]


async def open_modes(tx: Tx) -> set[Mode]:
    """Return the modes in which a position, an order or a redemption is not over."""
    statement = text("""
        SELECT DISTINCT mode FROM positions WHERE state NOT IN ('CLOSED', 'VOID')
        UNION SELECT DISTINCT mode FROM orders WHERE state IN ('SUBMITTING', 'LIVE', 'DELAYED', 'CANCELLING', 'UNKNOWN')""")
    return {Mode(row.mode) for row in await tx.execute(statement)}


async def primary_feed_age_s(tx: Tx) -> Decimal | None:
    """Return the seconds since the primary feed was last heard; None when it never was."""
    age: Decimal | None = await tx.scalar(
        text("""
        SELECT extract(epoch FROM clock_timestamp() - max(last_received_at)) FROM feed_status WHERE feed = 'binance_spot'""")
    )
    return age
