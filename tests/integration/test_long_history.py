"""Nothing that is read again and again gets dearer with the age of the Book: who is left alone for a year still trades.

What a statement touches is counted by the server, rows and index entries, before and after four hundred more days.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from sqlalchemy import text

from services.dashboard.api.queries import POINTS_SHOWN, read_overview
from services.reconciler import queries as reconciling
from services.reconciler.settling import queries as settling
from services.risk_monitor import queries as watching
from services.risk_monitor.asserting import queries as asserting
from services.risk_monitor.limiting import queries as limiting
from services.risk_monitor.verifying import queries as verifying
from services.signal_engine import queries as deciding
from shared.db.engine import Tx
from shared.db.queries import (
    dry_runs,
    exits,
    gate,
    orders,
    redemptions,
    resting,
    safeguards,
    status,
    venue_facts,
    windows,
)
from shared.db.queries.gate_facts import FACTS
from shared.domain.ids import AccountId, WindowId
from shared.domain.modes import Mode
from tests.conftest import Connect, RoleUrl
from tests.factories import CLOCK, UP_TOKEN, Desk, order_hash
from tests.integration.long_history import (
    TOUCHED,
    WAYS,
    close_windows,
    end_windows,
    one_day,
    repeat,
    touched_by,
)

pytestmark = pytest.mark.integration
DAYS = 400
A_FEW = 300
"""What the dead versions of a row that was just written, and the few rows of today, may come to: a row a day comes to more."""
SHOWN = {"overview": 2 * POINTS_SHOWN}
"""A list that is shown as far as it goes, up to a limit of its own; an entry and its row are counted apart."""
ACCOUNT = AccountId("desk")
WHO = (ACCOUNT, Mode.LIVE)
Read = Callable[[Tx], Awaitable[Any]]
READS: dict[str, tuple[str, Read]] = {
    "new_signals": ("execution", gate.new_signals),
    "exits_due": ("execution", exits.exits_due),
    "open_stories": ("execution", orders.open_stories),
    "resting": ("execution", resting.resting),
    "dead_men": ("execution", lambda tx: resting.dead_men(tx, [ACCOUNT])),
    "redeemable": ("execution", redemptions.redeemable),
    "pending": ("execution", redemptions.pending),
    "markets_due": ("execution", lambda tx: venue_facts.markets_due(tx, older_than_s=10)),
    "held_tokens": ("execution", lambda tx: orders.held_tokens(tx, *WHO)),
    "gates": ("execution", lambda tx: status.gates(tx, Mode.LIVE)),
    "open_modes": ("execution", status.open_modes),
    "compare_dry_runs": ("execution", dry_runs.compare),
    "watched": ("risk_monitor", watching.watched),
    "due_cancels": ("risk_monitor", watching.due_cancels),
    "standing": ("risk_monitor", watching.standing),
    "daily_performance": ("risk_monitor", watching.upsert_daily_performance),
    "limits": ("risk_monitor", limiting.standings),
    "end_days": ("risk_monitor", safeguards.end_days),
    "asserted_accounts": ("risk_monitor", asserting.trading),
    "asserted_signals": ("risk_monitor", lambda tx: asserting.signals(tx, WHO)),
    "asserted_orders": ("risk_monitor", lambda tx: asserting.orders(tx, WHO)),
    "asserted_fills": ("risk_monitor", lambda tx: asserting.fills(tx, WHO)),
    "asserted_entries": ("risk_monitor", lambda tx: asserting.entries(tx, WHO)),
    "asserted_holding": ("risk_monitor", lambda tx: asserting.holding(tx, WHO)),
    "asserted_settlements": ("risk_monitor", lambda tx: asserting.settlements(tx, WHO)),
    "asserted_capital": ("risk_monitor", lambda tx: asserting.deployed(tx, WHO)),
    "holders": ("risk_monitor", verifying.holders),
    "held_markets": ("risk_monitor", lambda tx: verifying.held_markets(tx, WHO)),
    "holdings": ("risk_monitor", lambda tx: verifying.holdings(tx, WHO)),
    "last_answer": ("risk_monitor", lambda tx: verifying.last_answer(tx, WHO)),
    "unreconciled_epoch": ("reconciler", reconciling.unreconciled_epoch),
    "live_accounts": ("reconciler", reconciling.live_accounts),
    "markets_to_read": (
        "reconciler",
        lambda tx: reconciling.markets_to_read(tx, ACCOUNT, all_open=True),
    ),
    "book_side": ("reconciler", lambda tx: reconciling.book_side(tx, ACCOUNT, [WindowId("none")])),
    "list_uncompared": (
        "reconciler",
        lambda tx: reconciling.list_uncompared(tx, [ACCOUNT], within=timedelta(minutes=1)),
    ),
    "reconciler_standing": ("reconciler", reconciling.standing),
    "due_windows": ("reconciler", settling.due_windows),
    "finish_checks": ("reconciler", settling.finish_checks),
    "unpaid": ("reconciler", settling.unpaid),
    "situation": ("signal_engine", lambda tx: deciding.read_situation(tx, [ACCOUNT])),
    "current_windows": (
        "feed_collector",
        lambda tx: windows.list_current(
            tx,
            opening_before=CLOCK.now() + timedelta(minutes=10),
            closed_after=CLOCK.now() - timedelta(minutes=10),
        ),
    ),
    "unresolved_windows": (
        "feed_collector",
        lambda tx: windows.list_unresolved(tx, closed_after=CLOCK.now() - timedelta(hours=1), sources=1),
    ),
    "without_strike": ("feed_collector", windows.list_without_venue_strike),
    "overview": ("dashboard", read_overview),
}


async def touched(db: Connect, role: str, read: Read) -> dict[str, int]:
    """Return the rows and index entries a read touches, by table and index."""
    database = await db(role=role)
    async with database.begin() as tx:
        for way in WAYS:
            await tx.execute(text(f"SET LOCAL enable_{way} = off"))
        await read(tx)
        return {row.relname: row.n for row in await tx.execute(text(TOUCHED))}


async def touched_now(desk: Desk, db: Connect) -> dict[str, dict[str, int]]:
    """Return what each read touches while one window is open and one signal new, as on any day."""
    signal = desk.signal(desk.window())

    async def gate_read(tx: Tx) -> None:
        await tx.exec_driver_sql(FACTS.replace("$1", "%s"), (signal,))

    reads = READS | {"gate_read": ("execution", gate_read)}
    found = {name: await touched(db, role, read) for name, (role, read) in reads.items()}
    desk.do("execution", "SELECT refuse_signal(%s, 'COOLDOWN', '{}')", signal)
    close_windows(desk)
    return found


async def test_what_is_read_again_and_again_touches_no_more_after_long(
    database_url: str, role_url: RoleUrl, db: Connect
) -> None:
    with Desk(role_url, database_url, mode="LIVE") as desk:
        one_day(desk)
        before = await touched_now(desk, db)
        repeat(desk, days=DAYS)
        assert desk.one("SELECT count(*) AS n FROM orders")["n"] > 4 * DAYS
        after = await touched_now(desk, db)
    assert dearer(before, after) == {}


def dearer(before: dict[str, dict[str, int]], after: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Return the reads that touch more than a few more, with what of."""
    return {
        name: grown
        for name, found in after.items()
        if (
            grown := {
                table: n
                for table, n in found.items()
                if n > before[name].get(table, 0) + SHOWN.get(name, 0) + A_FEW
            }
        )
    }


def test_what_is_done_touches_no_more_after_long(database_url: str, role_url: RoleUrl) -> None:
    """A claim, its answer, its trade; an exit; a look at the venue; a settlement."""
    with Desk(role_url, database_url) as desk:
        one_day(desk)
        before = done_now(desk)
        repeat(desk, days=DAYS)
        desk.beat()
        after = done_now(desk)
    assert dearer(before, after) == {}


def done_now(desk: Desk) -> dict[str, dict[str, int]]:
    """Return what each act touches; each is taken back, so that the next begins where it did."""
    held = desk.hold()
    window = desk.position(held)["window_id"]
    signal = desk.signal(desk.window())
    order = desk.order(signal)
    trade = {
        "order_id": order["order_id"], "trade_id": "now", "token_id": UP_TOKEN, "side": "BUY", "shares": "4",
        "price": "0.5", "usdc": "2", "fee_usdc": "0.05", "state": "CONFIRMED", "matched_at": CLOCK.now().isoformat(),
    }  # fmt: skip
    sell = {
        "order_id": order_hash("exit"), "token_id": UP_TOKEN, "order_type": "FAK", "limit_price": "0.40",
        "maker_amount": "4", "taker_amount": "1.6", "salt": 2, "timestamp_ms": 2,
    }  # fmt: skip
    entry = ("SELECT refused FROM claim_entry(%s, %s, %s, 'body', '{}')", (desk.epoch, signal, Jsonb(order)))
    leave = ("SELECT request_exit(%s, 'STOP_LOSS', 0.4, 0.39)", (held.position_id,))
    acts: dict[str, tuple[str, list[tuple[str, tuple[object, ...]]]]] = {
        "entry": (
            "execution",
            [
                entry,
                (
                    'SELECT record_outcome(%s, \'MATCHED\', \'{"shares": "4", "usdc": "2"}\')',
                    (order["order_id"],),
                ),
                ("SELECT apply_trade(%s, 'test')", (Jsonb(trade),)),
            ],
        ),
        "lost": ("execution", [entry, ("SELECT record_outcome(%s, 'LOST', '{}')", (order["order_id"],))]),
        "exit_asked": ("risk_monitor", [leave]),
        "orphans": (
            "risk_monitor",
            [("SELECT flag_orphans(%s, %s, %s)", (desk.account, desk.mode, [UP_TOKEN]))],
        ),
        "switch": (
            "operator",
            [("SELECT set_control(%s, 'kill_switch', 'PAUSE', 'tester', 'test')", (desk.account,))],
        ),
    }
    found = {name: touched_by(desk, role, *statements) for name, (role, statements) in acts.items()}
    assert desk.ask_exit(held)
    claim = (
        "SELECT refused FROM claim_exit(%s, %s, %s, 'body', '{}')",
        (desk.epoch, held.position_id, Jsonb(sell)),
    )
    found["exit"] = touched_by(desk, "execution", claim)
    desk.do("execution", "SELECT refuse_signal(%s, 'COOLDOWN', '{}')", signal)
    end_windows(desk)
    settle = ("SELECT settle(%s, 0, 1, 'gamma', clock_timestamp(), 'DOWN')", (window,))
    found["settled"] = touched_by(desk, "reconciler", settle)
    close_windows(desk)
    return found
