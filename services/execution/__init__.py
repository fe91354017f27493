"""execution: turns signals and triggered exits into orders at the venue; the only process that may.

Decides   whether a signal passes the gate; the price and size of an order; what an answer means.
Reads     signals, windows, books_now, positions, controls, the gate: one fresh read before every decision.
Writes    market_facts, venue_balances, venue_clock, venue_heartbeats: what it last heard of the venue;
          dry_run_comparisons.
Calls     take_epoch, claim_entry, claim_exit, claim_cancel, claim_redeem, refuse_signal, record_outcome,
          record_cancel, apply_trade, apply_order_evidence, resolve_unknown, record_redemption, trip_breaker,
          raise_alert, beat.
Listens   signal_created, exit_requested, position_changed, order_changed, gate_changed.
Never     runs twice at once; trades without lock and epoch; repeats or re-signs a send; holds a transaction open
          over the network; keeps an order, a position or an entry in memory.
"""
