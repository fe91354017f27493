"""reconciler: finds out what really happened, and says so in the Book.

Decides   what the venue's word proves of an order; what a difference between Book and venue is; how a window went.
Reads     orders, fills, ledger, windows, ticks, epochs; the venue's orders, trades, balances, activity, resolutions.
Writes    reconciliation_runs, discrepancies, settlement_checks, scheduled_work; a window's state.
Calls     apply_trade, apply_order_evidence, resolve_unknown, settle, book_external, mark_reconciled, trip_breaker,
          raise_alert, beat, verify_ledger, verify_audit_chain.
Listens   gate_changed, order_changed, position_changed, window_changed.
Never     places an order; reads signed bodies; holds a signing key; takes an absence for a proof.
"""
