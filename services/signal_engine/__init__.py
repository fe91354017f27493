"""signal_engine: what the strategies say of the open windows, now.

Decides   whether a strategy is asked, and whether what it wishes becomes a signal.
Reads     windows, books_now, price_ticks, feed_status, signals, runtime_controls, strategy_instances: one fresh read.
Writes    signals (insert only), strategy_instances (at the start).
Calls     raise_alert, beat.
Listens   market_moved, window_changed.
Notifies  signal_created, in the transaction of the signal.
Never     sees a balance, a position or a key; signals while the primary feed is stale.
"""
