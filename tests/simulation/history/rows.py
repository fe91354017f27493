"""The Book's rows as the checker judges them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import dict_row

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """What the Book says after a run. Audit events and ledger entries are in the order they were written."""

    orders: Sequence[Row] = ()
    positions: Sequence[Row] = ()
    entries: Sequence[Row] = ()
    slots: Sequence[Row] = ()
    audit: Sequence[Row] = ()
    ledger: Sequence[Row] = ()
    fills: Sequence[Row] = ()
    balances: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    """The controls' values before anyone set them."""


_STATEMENTS = {
    "orders": "SELECT o.*, x.eff_usdc, x.eff_fee, o.state AS state, p.strategy_id FROM orders o JOIN order_effects x USING (order_id)"
    " JOIN positions p ON p.position_id = o.position_id ORDER BY o.claimed_at",
    "positions": "SELECT * FROM positions",
    "entries": "SELECT * FROM window_entries",
    "slots": "SELECT * FROM entry_slots",
    "audit": "SELECT * FROM audit_events ORDER BY event_id",
    "ledger": "SELECT * FROM ledger_entries ORDER BY entry_id",
    "fills": "SELECT * FROM fills",
}


def read_rows(url: str, mode: str) -> Rows:
    """Return the rows of every account in one mode (audit events also of all modes at once)."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        found = {name: connection.execute(text).fetchall() for name, text in _STATEMENTS.items()}
        balances = connection.execute(
            "SELECT account_id, bucket, balance FROM ledger_balances WHERE mode = %s", [mode]
        ).fetchall()
        defaults = connection.execute("SELECT key, default_value FROM control_definitions").fetchall()
    of_mode = {
        name: [row for row in rows if row.get("mode", mode) in {mode, "*"}] for name, rows in found.items()
    }
    return Rows(
        **of_mode,
        balances={(row["account_id"], row["bucket"]): row["balance"] for row in balances},
        defaults={row["key"]: row["default_value"] for row in defaults},
    )
