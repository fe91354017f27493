"""feed_collector: what is true of the markets right now, and a record of it.

Decides   which ticks are real; which windows exist, when they open and close; when a feed is stale, a book in doubt,
          two feeds apart, a clock off; what a recording is worth.
Reads     Binance, PolyBolt, RTDS, Pyth, the CLOB's market channel, Gamma, the venue's clock, its resolutions; windows.
Writes    windows, price_ticks, capture_batches, books_now, order_book_snapshots, oracle_updates, feed_status,
          feed_gaps, feed_divergence_events, feed_completeness, clock_offsets, lag_analysis, lag_signals,
          window_close_events, window_close_samples, window_resolutions, failed_batches, price_bars_1m, tick_archives,
          archive_policy; a day's archive where ARCHIVE_ADDRESS names a folder.
Calls     ensure_partitions, drop_partitions, trip_breaker (capture is lost), raise_alert, beat.
Notifies  market_moved (coalesced, from a statement of its own), window_changed.
Never     holds a signing key; settles a window; writes a tick without the capture lock of its instruments.

A feed is one file of ``feeds``: it turns the feed's events into calls of the ``Tape`` (prices) or the ``Shelf``
(books). ``quality`` judges the recording while it is made, ``retiring`` sees old days into bars and archives.
"""
