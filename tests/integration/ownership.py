"""Who writes which table and calls which function of the Book: everything else is refused to everyone (B15).

A table or function that is not on this page belongs to nobody: a new grant must be written down here to pass.
"""

SERVICES = (
    "feed_collector", "signal_engine", "execution", "risk_monitor", "reconciler", "dashboard", "operator", "backtesting",
)  # fmt: skip

_TABLES = """
windows                       feed_collector=IU reconciler=u
books_now failed_batches      feed_collector=IUD
oracle_updates feed_status feed_divergence_events window_close_events window_resolutions feed_gaps price_bars_1m tick_archives \
feed_completeness window_close_samples clock_offsets archive_policy  feed_collector=IU
price_ticks order_book_snapshots  feed_collector=I
capture_batches               feed_collector=ID
signals                       signal_engine=i
lag_analysis lag_signals      signal_engine=IU feed_collector=IU
resolution_edge_performance   signal_engine=IU
strategy_instances            signal_engine=IU operator=u
market_facts venue_balances venue_clock dry_run_comparisons venue_heartbeats  execution=IU
assertion_results             risk_monitor=I
position_verifications        risk_monitor=I reconciler=I
alert_deliveries daily_performance  risk_monitor=IU
scheduled_work                risk_monitor=IU reconciler=IU feed_collector=IU
reconciliation_runs discrepancies settlement_checks  reconciler=IU
stages registrations          operator=IU
commands                      risk_monitor=u execution=u
"""
_FUNCTIONS = """
take_epoch executor_lock_key warm_claims claim_entry claim_exit claim_cancel claim_redeem refuse_signal record_outcome: execution
record_redemption apply_trade reverse_trade apply_order_evidence resolve_unknown: execution reconciler
request_exit note_peak escalate flag_orphans stop_strategy end_days: risk_monitor
close_alert: feed_collector signal_engine execution risk_monitor reconciler dashboard operator
request_cancel request_cancels: risk_monitor operator
record_cancel: execution
settle mark_reconciled: reconciler
book_external: reconciler operator
trip_breaker raise_alert beat: feed_collector signal_engine execution risk_monitor reconciler dashboard operator
reset_breaker open_account open_session close_session correct adopt_order: operator
set_control request_command: operator dashboard
ensure_partitions drop_partitions replay_batch: feed_collector operator
verify_audit_chain verify_ledger: reconciler risk_monitor operator dashboard
prove_audit_chain prove_ledger drop_old_looks: risk_monitor
"""


def _writes() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for words in (line.split() for line in _TABLES.strip().splitlines()):
        rights = dict(word.split("=") for word in words if "=" in word)
        found |= {table: rights for table in words if "=" not in table}
    return found


def _executes() -> dict[str, set[str]]:
    lines = (line.split(":") for line in _FUNCTIONS.strip().splitlines())
    return {name: set(roles.split()) for names, roles in lines for name in names.split()}


WRITES = _writes()
"""Table → role → I(nsert), U(pdate), D(elete); a small letter: some columns of it. All others change through functions alone."""
EXECUTE = _executes()
"""Function → the roles that may call it."""
