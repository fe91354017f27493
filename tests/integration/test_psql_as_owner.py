"""Who owns the Book may not take back a step or rewrite what happened either (B12, B14)."""

import itertools

import psycopg
import pytest

from tests.factories import Desk

pytestmark = pytest.mark.integration

STATES = (
    "SELECT DISTINCT unnest(array[from_state, to_state]) AS state FROM state_transitions WHERE entity = %s"
)


@pytest.mark.parametrize("entity", ["signal", "order", "fill", "position", "window", "redemption"])
def test_every_step_that_is_not_in_its_table_is_refused_even_to_the_owner(desk: Desk, entity: str) -> None:
    window = desk.window()
    desk.hold(window)
    desk.owner.execute(
        "INSERT INTO redemptions (redemption_id, account_id, mode, window_id, attempt, expected_usdc, epoch)"
        " VALUES ('r', %s, %s, %s, 1, 1, %s)",
        [desk.account, desk.mode, window, desk.epoch],
    )
    states = [row["state"] for row in desk.all(STATES, entity)]
    legal = {
        (row["from_state"], row["to_state"])
        for row in desk.all("SELECT * FROM state_transitions WHERE entity = %s", entity)
    }
    illegal = [pair for pair in itertools.permutations(states, 2) if pair not in legal]
    assert len(illegal) + len(legal) == len(states) * (len(states) - 1)
    with desk.owner.transaction(force_rollback=True):
        for constraint in desk.all(
            "SELECT conname AS name FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'c'",
            f"{entity}s",
        ):
            desk.owner.execute(f"ALTER TABLE {entity}s DROP CONSTRAINT {constraint['name']}")
        for start, goal in illegal:
            desk.owner.execute("SET LOCAL session_replication_role = replica")
            desk.owner.execute(f"UPDATE {entity}s SET state = %s", [start])
            desk.owner.execute("SET LOCAL session_replication_role = origin")
            with (
                pytest.raises(psycopg.Error, match=f"illegal {entity} transition {start} -> {goal}"),
                desk.owner.transaction(),
            ):
                desk.owner.execute("SET LOCAL ROLE onebook_owner")
                desk.owner.execute(f"UPDATE {entity}s SET state = %s", [goal])


HISTORY = {
    "audit_events", "ledger_entries", "fill_history", "breaker_history", "control_history", "order_evidence",
    "external_movements",
}  # fmt: skip


def test_history_is_appended_to_and_never_rewritten_even_by_the_owner(desk: Desk) -> None:
    rows = desk.all(
        "SELECT c.relname AS name, bit_or(tgtype) AS kinds FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid"
        " WHERE tgfoid = '_refuse_rewrite'::regproc AND tgenabled = 'O' GROUP BY 1"
    )
    update_delete_truncate = 8 | 16 | 32
    kept = {row["name"] for row in rows if row["kinds"] & update_delete_truncate == update_delete_truncate}
    assert kept >= HISTORY
    desk.hold()
    desk.do("risk_monitor", "SELECT trip_breaker(%s, %s, 'MANUAL_TRIP', '{}')", desk.account, desk.mode)
    desk.owner.execute("SET ROLE onebook_owner")
    for table in HISTORY:
        column = desk.one(
            "SELECT attname AS name FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND attidentity = ''"
            " ORDER BY attnum LIMIT 1",
            table,
        )["name"]
        for attack in (
            f"DELETE FROM {table}",
            f"UPDATE {table} SET {column} = {column}",
            f"TRUNCATE {table} CASCADE",
            f"MERGE INTO {table} t USING (SELECT 1) x ON true WHEN MATCHED THEN DELETE",
        ):
            with pytest.raises(psycopg.Error, match="append-only"):
                desk.owner.execute(attack)
