"""A Book after a long time: the stories of one day, copied as if they had happened again and again before it."""

from psycopg import sql

from tests.factories import CLOCK, DOWN_TOKEN, UP_TOKEN, Desk

GROWING = (
    "windows", "window_resolutions", "signals", "positions", "orders", "order_bodies", "window_entries", "entry_slots",
    "fills", "fill_history", "ledger_entries", "order_evidence", "audit_events", "redemptions", "settlement_checks",
    "dry_run_comparisons", "position_verifications", "reconciliation_runs", "assertion_results", "alerts",
    "alert_deliveries", "discrepancies", "breaker_history", "escalations", "external_movements",
    "commands", "sessions", "strategy_stops", "cancel_requests", "executor_epochs", "market_facts", "books_now",
    "feed_gaps", "feed_completeness", "clock_offsets", "window_close_events", "window_close_samples", "lag_signals",
)  # fmt: skip
"""What gains rows for as long as a deployment lives, whether or not anybody looks after it."""
_COLUMNS = """
SELECT column_name AS name, data_type AS type, is_identity = 'YES' AS identity FROM information_schema.columns
 WHERE table_schema = 'public' AND table_name = %s AND is_generated = 'NEVER'"""
_NAMES = ("_id", "token", "reference", "dedup_key", "strategy_id", "subject")
_KEPT = ("account_id", "condition_id", "instance_id", "correlation_id", "sequence")


def one_day(desk: Desk) -> None:
    """Stories of every end: sold, settled and paid, refused, lost and found; with what is written beside them."""
    sold = desk.hold()
    assert desk.ask_exit(sold)
    out = desk.exit(sold)
    desk.record(out.order_id, "MATCHED", shares="4", usdc="2.1", fee_usdc="0.05", trade_ids=["x1"])
    desk.trade(out.order_id, "x1", shares="4", usdc="2.1")
    desk.record(desk.enter().order_id, "REFUSED", reason="INVALID")
    desk.record(desk.enter().order_id, "KILLED")
    desk.do("execution", "SELECT refuse_signal(%s, 'COOLDOWN', '{}')", desk.signal(desk.window()))
    lost = desk.hold()
    window = desk.position(lost)["window_id"]
    desk.owner.execute("UPDATE windows SET closes_at = clock_timestamp() WHERE window_id = %s", [window])
    _settle(desk, window)
    who = (desk.account, desk.mode)
    desk.owner.execute(
        "INSERT INTO position_verifications (account_id, mode, verified) VALUES (%s, %s, true)", who
    )
    desk.owner.execute(
        "INSERT INTO reconciliation_runs (account_id, mode, kind, started_at, finished_at, compared, mismatches)"
        " VALUES (%s, %s, 'CONTINUOUS', clock_timestamp(), clock_timestamp(), '{\"cash_exact\": 1}', 0)",
        who,
    )
    desk.owner.execute(
        "INSERT INTO settlement_checks (window_id, account_id, mode, book_pnl_usdc, balance_delta_usdc, agrees)"
        " VALUES (%s, %s, %s, -2.05, -2.05, true)",
        [window, *who],
    )
    desk.owner.execute(
        "INSERT INTO assertion_results (assertion, account_id, mode, held) VALUES (1, %s, %s, true)", who
    )
    close_windows(desk)
    for token in (UP_TOKEN, DOWN_TOKEN):
        desk.do(
            "feed_collector",
            "INSERT INTO books_now (token_id, window_id, bids, asks, source_at, received_at, snapshot_at, continuous)"
            " VALUES (%s, %s, '[]', '[]', %s, %s, %s, false)",
            token, window, *[CLOCK.now()] * 3,
        )  # fmt: skip


def end_windows(desk: Desk) -> None:
    """End what is open, as if its time had come."""
    desk.owner.execute(
        "UPDATE windows SET state = 'CLOSED', accepting = false, closes_at = clock_timestamp(),"
        " opens_at = clock_timestamp() - interval '1 minute' WHERE state = 'OPEN'"
    )


def close_windows(desk: Desk) -> None:
    """End what is open, and settle it."""
    end_windows(desk)
    for closed in desk.all("SELECT window_id FROM windows WHERE state = 'CLOSED'"):
        _settle(desk, closed["window_id"])


def _settle(desk: Desk, window: str) -> None:
    desk.do("reconciler", "SELECT settle(%s, 0, 1, 'gamma', clock_timestamp(), 'DOWN')", window)


def repeat(desk: Desk, *, days: int) -> None:
    """Copy every row of a story to each of as many days before: what names it gets the day, its times move."""
    with desk.owner.transaction():
        desk.owner.execute(
            "SET LOCAL session_replication_role = replica"
        )  # no trigger: nothing happens again
        for table in GROWING:
            desk.owner.execute(_copies(desk, table), {"days": days})
    desk.owner.execute("ANALYZE")


def _copies(desk: Desk, table: str) -> sql.Composed:
    patches, columns = [], []
    for column in desk.all(_COLUMNS, table):
        name, kind = column["name"], column["type"]
        field = sql.Identifier(name)
        if column["identity"]:
            continue  # the column numbers the copies itself
        columns.append(field)
        if name == "session_id":
            new = sql.SQL("NULL::bigint")  # an earlier session's, which has ended
        elif kind.startswith("timestamp") or kind == "date":
            new = sql.SQL("t.{} - make_interval(days => ago)").format(field)
        elif kind == "bigint" and name == "epoch" and table == "executor_epochs":
            new = sql.SQL("t.epoch - 100000 * ago")
        elif name == "order_id":
            new = sql.SQL("'0x' || encode(sha256((t.order_id || '/' || ago)::bytea), 'hex')")
        elif kind == "text" and name.endswith(_NAMES) and name not in _KEPT:
            new = sql.SQL("t.{} || '/' || ago").format(field)
        else:
            continue
        patches.append(sql.SQL("{}, {}").format(sql.Literal(name), new))
    names = sql.SQL(", ").join(columns)
    return sql.SQL(
        "INSERT INTO {table} ({names}) SELECT {picked} FROM {table} t CROSS JOIN generate_series(1, %(days)s) ago"
        " CROSS JOIN LATERAL jsonb_populate_record(t, jsonb_build_object({patches})) c ON CONFLICT DO NOTHING"
    ).format(
        table=sql.Identifier(table),
        names=names,
        picked=sql.SQL(", ").join(sql.SQL("c.{}").format(each) for each in columns),
        patches=sql.SQL(", ").join(patches),
    )


TOUCHED = f"""
SELECT relname, n FROM (SELECT relname, coalesce(indrelid, oid)::regclass::text AS of,
       pg_stat_get_xact_tuples_returned(oid) + pg_stat_get_xact_tuples_fetched(oid) AS n
  FROM pg_class LEFT JOIN pg_index ON indexrelid = oid WHERE relnamespace = 'public'::regnamespace) touched
 WHERE n > 0 AND of IN ({", ".join(repr(table) for table in GROWING)})"""
WAYS = ("seqscan", "hashjoin", "mergejoin")
"""Off while we count: small tables are read whole however they are indexed, and what counts is that large ones need not be."""


def touched_by(desk: Desk, role: str, *statements: str | tuple[str, tuple[object, ...]]) -> dict[str, int]:
    """Return the rows and index entries statements touch, by table and index; what they did is taken back."""
    connection = desk.as_role(role)
    with connection.transaction(force_rollback=True):
        for way in WAYS:
            connection.execute(f"SET LOCAL enable_{way} = off")
        so_far = {
            row["relname"]: row["n"] for row in connection.execute(TOUCHED)
        }  # by whoever was here before
        for each in statements:
            statement, parameters = (each, ()) if isinstance(each, str) else each
            answer = connection.execute(statement, parameters).fetchone()
            assert answer is None or answer.get("refused") is None, answer
        return {
            row["relname"]: row["n"] - so_far.get(row["relname"], 0) for row in connection.execute(TOUCHED)
        }
