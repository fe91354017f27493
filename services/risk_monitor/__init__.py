"""risk_monitor: watches what is held, and says when to leave.

Decides   exits (stop, trailing, take profit, kill switch, the window's end); whether a position may be decided at all.
Reads     positions, windows, books_now, the gate, controls, fills, verifications: one fresh read before every decision.
Writes    position_verifications, assertion_results, daily_performance, scheduled_work.
Cancels   everything of a LIVE account at the venue under EMERGENCY, by credentials alone.
Calls     request_exit, note_peak, trip_breaker, raise_alert, beat, verify_ledger, verify_audit_chain.
Listens   market_moved, position_changed, gate_changed.
Never     signs or sells; decides on a book that is broken or stale, or on holdings nobody has verified.
"""
