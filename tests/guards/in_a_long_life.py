"""Guards of a Book that grows old: proofs that go on, reads that do not grow, answers nobody foresaw."""

from tests.guards.guard import Guard

_PROOFS = "tests/integration/test_proofs.py::"

LONG_LIFE_GUARDS = (
    Guard(
        "what was proved once is proved again",
        "B14",
        "sql:prove_audit_chain",
        "ARRAY['audit', 'audit_again']",
        "ARRAY['audit']",
        _PROOFS + "test_what_was_proved_once_is_not_trusted_for_ever",
    ),
    Guard(
        "a mark is an event nobody has changed since",
        "B14",
        "alembic/sql/0008_long_history/up.sql",
        "IF p_after > 0 AND NOT EXISTS",
        "IF false AND NOT EXISTS",
        _PROOFS + "test_the_marked_event_is_the_one_that_was_proved",
    ),
    Guard(
        "a ledger that does not fold is no mark",
        "R9",
        "sql:prove_ledger",
        "IF v.differences IS NULL AND v.up_to IS NOT NULL THEN",
        "IF v.up_to IS NOT NULL THEN",
        _PROOFS + "test_a_balance_changed_by_hand_is_found_from_the_mark",
    ),
    Guard(
        "the ledger is folded whole again",
        "R9",
        "sql:prove_ledger",
        "m.whole_at IS NULL OR m.whole_at <= clock_timestamp() - p_whole",
        "m.whole_at IS NULL",
        _PROOFS + "test_an_old_entry_changed_by_hand_is_found_when_the_whole_is_folded",
    ),
    Guard(
        "the gate does not add up an account's whole life",
        "E10",
        "shared/db/queries/gate_facts.py",
        "date_trunc('day', now() AT TIME ZONE 'UTC')",
        "date_trunc('day', clock_timestamp() AT TIME ZONE 'UTC')",
        "tests/integration/test_long_history.py::test_what_is_read_again_and_again_touches_no_more_after_long",
    ),
    Guard(
        "no answer is too odd to be recorded",
        "E7",
        "shared/db/queries/documents.py",
        " if _NUL in text else text",
        " if False else text",
        "tests/integration/test_odd_answers.py::test_what_postgres_does_not_keep_is_kept_as_a_mark",
    ),
    Guard(
        "a signal nobody can read ends nobody",
        "P3",
        "services/execution/loops/entries.py",
        "except actions.FactsUnreadable as problem:",
        "except ZeroDivisionError as problem:",
        "tests/integration/test_entries.py::test_a_signal_nobody_can_read_is_refused_and_the_next_is_ordered",
    ),
)
