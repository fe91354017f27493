"""What a person asks the Book: how things stand, what happened to one order, what is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.db.engine import Tx
from shared.domain.controls import ControlKind
from shared.domain.ids import AccountId, OrderId
from shared.domain.modes import Mode


@dataclass(frozen=True, slots=True)
class AccountState:
    """One account in one mode: what may stop it, and its money by the ledger, USDC."""

    account: AccountId
    mode: Mode
    breaker: str
    breaker_reason: str | None
    kill_switch: str
    mode_ceiling: Mode
    halted: bool
    session_id: int | None
    deposited: Decimal
    cash: Decimal
    reserved: Decimal
    positions: Decimal
    receivable: Decimal
    gross_pnl: Decimal
    fees: Decimal
    open_count: int

    @property
    def net_pnl(self) -> Decimal:
        """Return what trading brought, fees paid."""
        return self.gross_pnl - self.fees


@dataclass(frozen=True, slots=True)
class OpenPosition:
    """A position that is not over; ``bid`` is the best bid of its token now, None when nobody bids."""

    account: AccountId
    mode: Mode
    position_id: str
    state: str
    window_id: str
    side: str
    shares: Decimal
    cost_usdc: Decimal
    bid: Decimal | None
    exit_reason: str | None
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class OrderLine:
    """One of the newest orders."""

    claimed_at: datetime
    account: AccountId
    mode: Mode
    order_id: OrderId
    purpose: str
    side: str
    state: str
    reason: str | None
    window_id: str
    limit_price: Decimal
    shares: Decimal
    usdc: Decimal
    fee_usdc: Decimal


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A service's last sign of life; ``age_s`` by the database's clock."""

    service: str
    instance: str
    age_s: Decimal
    healthy: bool
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """One audit event."""

    at: datetime
    account: AccountId
    mode: str
    kind: str
    actor: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Control:
    """A control, what it is now, and who set it (nobody: the default)."""

    key: str
    kind: ControlKind
    value: str
    default: str
    set_by: str | None
    reason: str | None
    meaning: str


@dataclass(frozen=True, slots=True)
class Instance:
    """A strategy in an account, as the signal engine registered it."""

    account: AccountId
    strategy: str
    instance_id: str
    enabled: bool
    code_hash: str
    signals: int


@dataclass(frozen=True, slots=True)
class Ground:
    """The server and its tables, for the doctor. A name that cannot be read is None."""

    now: datetime
    role: str
    version: int
    durable: bool
    revision: str | None
    oldest_code: str | None
    partitions: tuple[str, ...]
    roles: frozenset[str]


def words_of(error: BaseException) -> str | None:
    """Return what the database said in words for a person, None when ``error`` is none of its errors."""
    if not isinstance(error, DBAPIError) or error.orig is None:
        return None
    state = getattr(error.orig, "sqlstate", None) or ""
    said = getattr(getattr(error.orig, "diag", None), "message_primary", None) or str(error.orig)
    advice = {
        "42501": "; connect as the role onebook_operator",
        "42P01": "; run `make migrate` first",
        "42883": "; run `make migrate` first",
        "28P01": "; check the password in DATABASE_URL",
    }
    return f"{said}{advice.get(state, '')}"


async def list_accounts(tx: Tx) -> list[AccountId]:
    """Return every account's id."""
    return list(await tx.scalars(text("SELECT account_id FROM accounts ORDER BY account_id")))


async def take_time(tx: Tx) -> None:
    """Let the statements of this transaction run as long as they need."""
    await tx.execute(text("SET LOCAL statement_timeout = 0"))


async def list_books(tx: Tx) -> list[tuple[AccountId, Mode]]:
    """Return every account and mode in which money ever moved."""
    rows = await tx.execute(
        text("SELECT DISTINCT account_id, mode FROM ledger_entries ORDER BY account_id, mode")
    )
    return [(AccountId(row.account_id), Mode(row.mode)) for row in rows]


async def list_states(tx: Tx) -> list[AccountState]:
    """Return each account in the modes where money moved or something is stopped."""
    rows = await tx.execute(
        text(
            "SELECT g.account_id, g.mode, breaker, breaker_reason, kill_switch, mode_ceiling, halted, g.session_id, open_count,"
            " b.* FROM trading_gate g JOIN position_counters USING (account_id, mode) CROSS JOIN LATERAL ("
            "  SELECT coalesce(-sum(balance) FILTER (WHERE bucket = 'EXTERNAL'), 0) AS deposited,"
            "   coalesce(sum(balance) FILTER (WHERE bucket = 'CASH'), 0) AS cash,"
            "   coalesce(sum(balance) FILTER (WHERE bucket = 'RESERVED'), 0) AS reserved,"
            "   coalesce(sum(balance) FILTER (WHERE bucket = 'POSITIONS'), 0) AS positions,"
            "   coalesce(sum(balance) FILTER (WHERE bucket = 'RECEIVABLE'), 0) AS receivable,"
            "   coalesce(-sum(balance) FILTER (WHERE bucket = 'PNL'), 0) AS gross_pnl,"
            "   coalesce(sum(balance) FILTER (WHERE bucket = 'FEES'), 0) AS fees"
            "  FROM ledger_balances l WHERE l.account_id = g.account_id AND l.mode = g.mode) b"
            " WHERE breaker = 'OPEN' OR halted OR EXISTS (SELECT FROM ledger_entries e WHERE e.account_id = g.account_id AND e.mode = g.mode)"
            " ORDER BY g.account_id, g.mode"
        )
    )
    return [
        AccountState(
            AccountId(row.account_id),
            Mode(row.mode),
            row.breaker,
            row.breaker_reason,
            row.kill_switch,
            Mode(row.mode_ceiling),
            row.halted,
            row.session_id,
            row.deposited,
            row.cash,
            row.reserved,
            row.positions,
            row.receivable,
            row.gross_pnl,
            row.fees,
            row.open_count,
        )
        for row in rows
    ]


async def list_open_positions(tx: Tx) -> list[OpenPosition]:
    """Return every position that is not over, oldest first."""
    rows = await tx.execute(
        text(
            "SELECT p.account_id, p.mode, position_id, p.state, p.window_id, side, bought_shares - sold_shares AS shares,"
            " booked_reserved + booked_positions AS cost, (b.bids->0->>0)::numeric AS bid, exit_reason, opened_at"
            " FROM positions p LEFT JOIN books_now b USING (token_id) WHERE p.state NOT IN ('CLOSED', 'VOID') ORDER BY opened_at"
        )
    )
    return [
        OpenPosition(
            AccountId(row.account_id),
            Mode(row.mode),
            row.position_id,
            row.state,
            row.window_id,
            row.side,
            row.shares,
            row.cost,
            row.bid,
            row.exit_reason,
            row.opened_at,
        )
        for row in rows
    ]


async def list_newest_orders(tx: Tx, *, limit: int) -> list[OrderLine]:
    """Return the newest orders, newest first."""
    rows = await tx.execute(
        text(
            "SELECT claimed_at, account_id, mode, order_id, purpose, side, state, reason, window_id, limit_price,"
            " greatest(traded_shares, reported_shares - failed_shares) AS shares, greatest(traded_usdc, reported_usdc - failed_usdc) AS usdc,"
            " greatest(traded_fee_usdc, reported_fee_usdc - failed_fee_usdc) AS fee FROM orders ORDER BY claimed_at DESC LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [
        OrderLine(
            row.claimed_at,
            AccountId(row.account_id),
            Mode(row.mode),
            OrderId(row.order_id),
            row.purpose,
            row.side,
            row.state,
            row.reason,
            row.window_id,
            row.limit_price,
            row.shares,
            row.usdc,
            row.fee,
        )
        for row in rows
    ]


async def list_heartbeats(tx: Tx) -> list[Heartbeat]:
    """Return the newest sign of life of each service."""
    rows = await tx.execute(
        text(
            "SELECT DISTINCT ON (service) service, instance, healthy, details,"
            " round(extract(epoch FROM clock_timestamp() - at)::numeric, 3) AS age_s FROM heartbeats ORDER BY service, at DESC"
        )
    )
    return [Heartbeat(row.service, row.instance, row.age_s, row.healthy, row.details) for row in rows]


async def list_newest_events(tx: Tx, *, limit: int) -> list[Event]:
    """Return the newest audit events of all accounts, newest first."""
    rows = await tx.execute(
        text(
            "SELECT at, account_id, mode, kind, actor, details FROM audit_events ORDER BY event_id DESC LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [
        Event(row.at, AccountId(row.account_id), row.mode, row.kind, row.actor, row.details) for row in rows
    ]


async def list_controls(tx: Tx, account: AccountId) -> list[Control]:
    """Return every control of one account, set or default."""
    rows = await tx.execute(
        text(
            "SELECT d.key, d.kind, coalesce(c.value, d.default_value) AS value, d.default_value, c.set_by, c.reason, d.meaning"
            " FROM control_definitions d LEFT JOIN runtime_controls c ON c.key = d.key AND c.account_id = :account ORDER BY d.key"
        ),
        {"account": account},
    )
    return [
        Control(
            row.key,
            ControlKind(row.kind),
            row.value,
            row.default_value,
            row.set_by,
            row.reason,
            row.meaning,
        )
        for row in rows
    ]


async def list_instances(tx: Tx) -> list[Instance]:
    """Return every registered strategy instance with how many signals it made, newest first."""
    rows = await tx.execute(
        text(
            "SELECT account_id, strategy_id, instance_id, enabled, code_hash,"
            " (SELECT count(*) FROM signals s WHERE s.instance_id = i.instance_id) AS signals"
            " FROM strategy_instances i ORDER BY account_id, since DESC"
        )
    )
    return [
        Instance(
            AccountId(row.account_id),
            row.strategy_id,
            row.instance_id,
            row.enabled,
            row.code_hash,
            row.signals,
        )
        for row in rows
    ]


async def newest_epoch(tx: Tx) -> tuple[int, str, bool] | None:
    """Return the newest executor epoch, who took it, and whether its start-up comparison is done."""
    row = (
        await tx.execute(
            text(
                "SELECT epoch, instance, reconciled_at IS NOT NULL AS reconciled FROM executor_epochs ORDER BY epoch DESC LIMIT 1"
            )
        )
    ).one_or_none()
    return None if row is None else (row.epoch, row.instance, row.reconciled)


async def find_orders(tx: Tx, prefix: str) -> list[OrderId]:
    """Return the ids of at most ten orders that begin so, or whose signal or position is named so."""
    rows = await tx.scalars(
        text(
            "SELECT order_id FROM orders WHERE starts_with(order_id, :prefix) OR signal_id = :prefix OR position_id = :prefix"
            " ORDER BY claimed_at LIMIT 10"
        ),
        {"prefix": prefix},
    )
    return [OrderId(order) for order in rows]


async def read_ground(tx: Tx) -> Ground:
    """Return what the server says of itself and of the Book's tables."""
    row = (
        await tx.execute(
            text(
                "SELECT clock_timestamp() AS now, current_user AS role, current_setting('server_version_num')::integer AS version,"
                " current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on'"
                "  AND current_setting('synchronous_commit') <> 'off' AS durable,"
                " (SELECT array_agg(rolname::text) FROM pg_roles WHERE starts_with(rolname, 'onebook_')) AS roles,"
                " (SELECT array_agg(c.relname::text ORDER BY 1) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
                "   WHERE i.inhparent = to_regclass('public.price_ticks')) AS partitions,"
                " has_table_privilege(to_regclass('public.alembic_version'), 'SELECT') AS sees_revision,"
                " to_regclass('public.code_floor') IS NOT NULL AS has_floor"
            )
        )
    ).one()
    revision = await tx.scalar(text("SELECT version_num FROM alembic_version")) if row.sees_revision else None
    floor = await tx.scalar(text("SELECT oldest_code FROM code_floor")) if row.has_floor else None
    return Ground(
        row.now,
        row.role,
        row.version,
        row.durable,
        revision,
        floor,
        tuple(row.partitions or ()),
        frozenset(row.roles or ()),
    )


async def list_clock_offsets(tx: Tx) -> dict[str, Decimal]:
    """Return each outside clock's offset, milliseconds: theirs minus the database's."""
    rows = await tx.execute(text("SELECT source, offset_ms FROM venue_clock ORDER BY source"))
    return {row.source: row.offset_ms for row in rows}
