"""risk_monitor: watches what is held, and says when to leave.

Decides   exits (stop, trailing, take profit, kill switch, the window's end); whether a position may be decided at all;
          what is verified, orphaned, asserted, lost beyond its limit, due of an open breaker, and worth an alert.
Reads     positions, windows, books_now, the gate, controls, fills, verifications: one fresh read before every decision.
Writes    position_verifications, assertion_results, daily_performance, scheduled_work.
Cancels   everything of a LIVE account at the venue under EMERGENCY, or when its breaker stayed open, without a key.
Calls     request_exit, note_peak, escalate, flag_orphans, stop_strategy, end_days, request_cancels, trip_breaker,
          raise_alert, close_alert, beat, prove_ledger, prove_audit_chain,
          drop_old_looks.
Listens   market_moved, position_changed, order_changed, gate_changed.
Never     signs or sells; decides on a book that is broken or stale, or on holdings nobody has verified.
"""
