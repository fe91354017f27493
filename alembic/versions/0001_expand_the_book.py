"""The Book: every table, the transition tables, the lifecycle functions and who may call them.

Additive only for seven days: the previous image still runs on this schema (B6, B7).
"""

import re
from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"
SCHEMA_FILES = (
    "schema/01_types.sql",
    "schema/02_accounts.sql",
    "schema/03_market.sql",
    "schema/04_trading.sql",
    "schema/05_records.sql",
    "schema/06_capture.sql",
    "schema/07_operation.sql",
)
FUNCTION_FILES = (
    "functions/10_records.sql",
    "functions/20_ledger.sql",
    "functions/30_gate.sql",
    "functions/40_position.sql",
    "functions/50_claims.sql",
    "functions/60_outcomes.sql",
    "functions/70_settlement.sql",
    "functions/80_partitions.sql",
    "functions/90_grants.sql",
)
SQL_FILES = SCHEMA_FILES + FUNCTION_FILES

SERVICES = (
    "feed_collector",
    "signal_engine",
    "execution",
    "risk_monitor",
    "reconciler",
    "dashboard",
    "operator",
    "backtesting",
)

# state event:next …; the same tables stand in shared/domain, and a test compares them.
TRANSITIONS = {
    "signal": """
        NEW CLAIMED:ORDERED REFUSED:REFUSED EXPIRED:EXPIRED
    """,
    "order": """
        SUBMITTING RESTS:LIVE DELAYED:DELAYED MATCHED:FILLED KILLED:KILLED REFUSED:REJECTED NOT_SENT:NOT_SENT LOST:UNKNOWN
        DELAYED RESTS:LIVE MATCHED:FILLED KILLED:KILLED REFUSED:REJECTED LOST:UNKNOWN
        LIVE MATCHED:FILLED CANCEL_SENT:CANCELLING KILLED:KILLED EXPIRED:EXPIRED
        CANCELLING MATCHED:FILLED KILLED:KILLED RESTS:LIVE LOST:UNKNOWN
        UNKNOWN RESTS:LIVE DELAYED:DELAYED MATCHED:FILLED KILLED:KILLED REFUSED:REJECTED NOT_SENT:NOT_SENT CANCEL_SENT:CANCELLING EXPIRED:EXPIRED PROVED_ABSENT:NEVER_PLACED
    """,
    "fill": """
        MATCHED MINED:MINED RETRYING:RETRYING CONFIRMED:CONFIRMED FAILED:FAILED
        MINED RETRYING:RETRYING CONFIRMED:CONFIRMED FAILED:FAILED
        RETRYING MINED:MINED CONFIRMED:CONFIRMED FAILED:FAILED
    """,
    "position": """
        OPENING MATCHED:MONITORING WINDOW_OVER:EXPIRED ENTRY_DEAD:VOID
        MONITORING STOP:STOP_TRIGGERED TAKE_PROFIT:TAKE_PROFIT_TRIGGERED FLATTEN:FLATTEN_TRIGGERED WINDOW_OVER:EXPIRED ENTRY_DEAD:VOID
        FLATTEN_TRIGGERED EXIT_CLAIMED:EXIT_PENDING WINDOW_OVER:EXPIRED ENTRY_DEAD:VOID
        STOP_TRIGGERED EXIT_CLAIMED:EXIT_PENDING WINDOW_OVER:EXPIRED ENTRY_DEAD:VOID
        TAKE_PROFIT_TRIGGERED EXIT_CLAIMED:EXIT_PENDING WINDOW_OVER:EXPIRED ENTRY_DEAD:VOID
        EXIT_PENDING STOP:STOP_TRIGGERED TAKE_PROFIT:TAKE_PROFIT_TRIGGERED FLATTEN:FLATTEN_TRIGGERED WINDOW_OVER:EXPIRED SOLD:CLOSED SELL_FAILED:MONITORING
        EXPIRED RESOLVED:SETTLEMENT ENTRY_DEAD:VOID SOLD:CLOSED
        SETTLEMENT REDEEM_CLAIMED:REDEEMING PAID:CLOSED ENTRY_DEAD:VOID
        REDEEMING REDEEM_FAILED:SETTLEMENT PAID:CLOSED
        CLOSED SELL_FAILED:MONITORING WINDOW_OVER:EXPIRED ENTRY_DEAD:VOID
        VOID MATCHED:MONITORING WINDOW_OVER:EXPIRED
    """,
    "window": """
        DISCOVERED OPENED:OPEN
        OPEN CLOSED:CLOSED
        CLOSED OVERDUE:UNRESOLVED RESOLVED:RESOLVED
        UNRESOLVED RESOLVED:RESOLVED
    """,
    "redemption": """
        CLAIMED SUBMITTED:SUBMITTED LOST:UNKNOWN PAID:PAID FAILED:FAILED
        SUBMITTED LOST:UNKNOWN PAID:PAID FAILED:FAILED
        UNKNOWN SUBMITTED:SUBMITTED PAID:PAID FAILED:FAILED
    """,
}

# key, kind, default, minimum, maximum, choices, meaning; as in shared/domain/controls.py, and a test compares.
CONTROLS = (
    (
        "kill_switch",
        "choice",
        "OFF",
        None,
        None,
        "{OFF,PAUSE,FLATTEN,EMERGENCY}",
        "OFF trades; PAUSE takes no entries; FLATTEN sells all; EMERGENCY cancels and sells all, no floor",
    ),
    (
        "trading_mode",
        "choice",
        "LIVE",
        None,
        None,
        "{PAPER,DRY_RUN,LIVE}",
        "lowers the mode the process was started in, never raises it",
    ),
    ("max_position_usd", "usdc", "5", "0", "1000", None, "USDC one position may cost, fee included"),
    ("max_session_loss", "usdc", "20", "0", "1000", None, "USDC a session may lose, and may have deployed"),
    ("max_instrument_usd", "usdc", "10", "0", "1000", None, "USDC of exposure in one instrument"),
    ("max_open_positions", "integer", "5", "0", "50", None, "positions open at once"),
    ("max_exposure_usd", "usdc", "25", "0", "1000", None, "USDC of exposure in all; 1000 is the ceiling"),
    (
        "allowed_instruments",
        "list",
        "",
        None,
        None,
        None,
        "names, comma separated; empty denies all, * allows all",
    ),
    (
        "allowed_strategies",
        "list",
        "",
        None,
        None,
        None,
        "names, comma separated; empty denies all, * allows all",
    ),
    ("cooldown_s", "seconds", "0", "0", "86400", None, "seconds between two entries in one instrument"),
    (
        "anti_flip_s",
        "seconds",
        "300",
        "0",
        "86400",
        None,
        "seconds before the other side of one instrument is entered",
    ),
    ("signal_lifetime_s", "seconds", "5", "0.1", "60", None, "seconds a signal may wait for its order"),
    (
        "entry_slippage",
        "usdc",
        "0.02",
        "0",
        "0.5",
        None,
        "USDC per share an entry may pay above its signal, at most",
    ),
    ("stop_loss", "fraction", "0.15", "0.01", "1", "{off}", "default loss, of the entry cost, to sell at"),
    (
        "take_profit",
        "fraction",
        "0.20",
        "0.01",
        "100",
        "{off}",
        "default gain over the entry cost to sell at",
    ),
    (
        "trailing_stop",
        "fraction",
        "off",
        "0.01",
        "1",
        "{off}",
        "default fall from the highest bid to sell at",
    ),
    (
        "exit_slippage",
        "usdc",
        "0.05",
        "0",
        "1",
        None,
        "USDC per share an exit accepts below the bid at first",
    ),
    (
        "daily_drawdown",
        "fraction",
        "0.05",
        "0",
        "1",
        None,
        "fraction of the day's first equity a day may lose",
    ),
)


def run(name: str) -> None:
    """Run one file of SQL as it stands: psycopg leaves % alone when there are no parameters."""
    connection = op.get_bind().connection.driver_connection
    connection.execute((SQL / name).read_text().encode())


def upgrade() -> None:
    """Make roles, tables, tables of steps, functions and grants, all owned by a role nobody logs in as."""
    op.execute(
        """
        DO $$
        DECLARE r text;
        BEGIN
          PERFORM pg_advisory_xact_lock(5712041998443917314);  -- roles belong to the whole cluster
          IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'onebook_owner') THEN CREATE ROLE onebook_owner NOLOGIN; END IF;
          FOREACH r IN ARRAY ARRAY['"""
        + "','".join(SERVICES)
        + """'] LOOP
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'onebook_' || r) THEN
              EXECUTE format('CREATE ROLE %I LOGIN', 'onebook_' || r);
            END IF;
          END LOOP;
          IF NOT pg_has_role(current_user, 'onebook_owner', 'MEMBER') THEN
            EXECUTE format('GRANT onebook_owner TO %I', current_user);
          END IF;
        END $$"""
    )
    op.execute("GRANT ALL ON SCHEMA public TO onebook_owner")
    op.execute("SET ROLE onebook_owner")
    for name in SCHEMA_FILES:
        run(name)
    for entity, rows in TRANSITIONS.items():
        for line in rows.strip().splitlines():
            state, *steps = line.split()
            for step in steps:
                event, target = re.fullmatch(r"(\w+):(\w+)", step).groups()
                op.execute(
                    f"INSERT INTO state_transitions VALUES ('{entity}', '{state}', '{event}', '{target}')"
                )
    for control in CONTROLS:
        values = ", ".join(
            "NULL" if value is None else "'" + value.replace("'", "''") + "'" for value in control
        )
        op.execute(f"INSERT INTO control_definitions VALUES ({values})")
    for name in FUNCTION_FILES:
        run(name)
    op.execute("SELECT ensure_partitions()")
    op.execute("RESET ROLE")


def downgrade() -> None:
    """Drop everything the Book's owner owns here; roles stay, they belong to the whole cluster."""
    op.execute("DROP OWNED BY onebook_owner CASCADE")
