"""What a cell left behind: the rows of its Book and the venue's own truth, read once it is at rest."""

from dataclasses import dataclass, field
from typing import Any

from tests.simulation.matrix.desk import ACCOUNT, CellDesk

Row = dict[str, Any]


@dataclass
class Evidence:
    """Rows as read; ``writer`` is the transaction that wrote a row, so that two rows can be of one."""

    orders: list[Row] = field(default_factory=list)
    fills: list[Row] = field(default_factory=list)
    positions: list[Row] = field(default_factory=list)
    redemptions: list[Row] = field(default_factory=list)
    ledger: list[Row] = field(default_factory=list)
    balances: dict[str, Any] = field(default_factory=dict)
    audit: list[Row] = field(default_factory=list)
    breaker: list[Row] = field(default_factory=list)
    gate: Row = field(default_factory=dict)
    discrepancies: list[Row] = field(default_factory=list)
    ledger_differences: list[Row] = field(default_factory=list)
    audit_broken: int | None = None
    venue_wallet: Row = field(default_factory=dict)
    venue_orders: list[Row] = field(default_factory=list)
    venue_trades: list[Row] = field(default_factory=list)
    venue_redemptions: list[Row] = field(default_factory=list)
    posts: dict[str, int] = field(default_factory=dict)
    arrivals: list[Row] = field(default_factory=list)
    """Every order that was posted, at the moment its request reached the venue, whatever became of it."""


def gather(desk: CellDesk) -> Evidence:
    """Return everything the checks look at."""

    def rows(statement: str, *parameters: object) -> list[Row]:
        return desk.hands.all("owner", statement, *parameters)

    truth = desk.truth()
    orders = rows("SELECT * FROM orders ORDER BY claimed_at")
    known = {each["id"] for each in truth["orders"]} | {row["order_id"] for row in orders}
    return Evidence(
        orders=orders,
        fills=rows("SELECT * FROM fills"),
        positions=rows("SELECT * FROM positions"),
        redemptions=rows("SELECT * FROM redemptions ORDER BY claimed_at"),
        ledger=rows(
            "SELECT *, xmin::text AS writer FROM ledger_entries WHERE mode = 'LIVE' ORDER BY entry_id"
        ),
        balances={
            row["bucket"]: row["balance"]
            for row in rows("SELECT bucket, balance FROM ledger_balances WHERE mode = 'LIVE'")
        },
        audit=rows("SELECT *, xmin::text AS writer FROM audit_events ORDER BY event_id"),
        breaker=rows("SELECT *, xmin::text AS writer FROM breaker_history WHERE mode = 'LIVE' ORDER BY id"),
        gate=rows("SELECT * FROM trading_gate WHERE mode = 'LIVE'")[0],
        discrepancies=rows("SELECT * FROM discrepancies ORDER BY first_seen_at"),
        ledger_differences=rows("SELECT * FROM verify_ledger(%s, 'LIVE')", ACCOUNT),
        audit_broken=rows("SELECT verify_audit_chain(%s) AS broken", ACCOUNT)[0]["broken"],
        venue_wallet=truth["wallets"][desk.wallet],
        venue_orders=truth["orders"],
        venue_trades=truth["trades"],
        venue_redemptions=truth["redemptions"],
        arrivals=truth["arrivals"],
        posts={order: count for order, count in truth["posts"].items() if order in known},
    )
