"""Every metric feed_collector emits."""

from prometheus_client import Counter, Gauge, Histogram

TICKS = Counter("feed_collector_ticks_total", "Prices received and new, by feed.", ["feed"])
TICKS_STORED = Counter("feed_collector_ticks_stored_total", "Prices committed.")
TICKS_FAILED = Counter("feed_collector_ticks_failed_total", "Prices put aside in failed_batches.")
TICKS_DROPPED = Counter("feed_collector_ticks_dropped_total", "Oldest prices dropped by a full queue.")
TICKS_WAITING = Gauge("feed_collector_waiting_ticks", "Prices in the queue.")
DUPLICATES = Counter("feed_collector_duplicates_total", "Events seen before, by feed.", ["feed"])
OUT_OF_ORDER = Counter(
    "feed_collector_out_of_order_total", "Events older than one before them, by feed.", ["feed"]
)
MALFORMED = Counter("feed_collector_malformed_total", "Frames not understood, by feed.", ["feed"])
FRAMES_MISSED = Counter(
    "feed_collector_missed_frames_total", "Frames a feed's own numbers say we did not get, by feed.", ["feed"]
)
CONNECTIONS = Counter("feed_collector_connections_total", "Times a feed was connected, by feed.", ["feed"])
FEED_AGE_S = Gauge(
    "feed_collector_feed_age_seconds",
    "Since anything was last received, by feed and symbol.",
    ["feed", "symbol"],
)
CLOCK_OFFSET_S = Gauge("feed_collector_clock_offset_seconds", "Their clock minus ours, by source.", ["feed"])
BATCH_S = Histogram(
    "feed_collector_batch_seconds",
    "From the first price's receipt to its batch's commit.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
BATCH_ROWS = Histogram(
    "feed_collector_batch_ticks", "Prices in a batch.", buckets=(1, 2, 5, 10, 20, 50, 100, 500, 1000, 5000)
)
BOOK_S = Histogram(
    "feed_collector_book_seconds",
    "From a book's change received to its row's commit.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1),
)
BOOKS_IN_DOUBT = Gauge(
    "feed_collector_doubtful_books_ratio", "Share of the followed books that are not continuous."
)
CHANGES_LOST = Counter(
    "feed_collector_lost_changes_total", "Times the venue's hash said that a kept book missed a change."
)
RESYNCS = Counter("feed_collector_resyncs_total", "Books read anew after a doubt.", ["result"])
WINDOWS = Gauge("feed_collector_windows", "Windows in the Book that are open or open soon.")
LISTINGS_REFUSED = Counter(
    "feed_collector_listings_refused_total", "Markets we will not trade, by why.", ["kind"]
)
RESOLUTIONS = Counter("feed_collector_resolutions_total", "Results recorded, by source.", ["source"])
CLOSE_SAMPLES = Counter(
    "feed_collector_close_samples_total", "Moments before a close at which every price was written down."
)
SNAPSHOTS = Counter("feed_collector_snapshots_total", "Lines appended to the books' history.")
DIVERGENCES = Counter(
    "feed_collector_divergences_total", "Times two feeds came apart, by feed.", ["fast", "slow"]
)
LAG_S = Gauge(
    "feed_collector_lag_seconds",
    "How far a feed is behind the primary, as last analysed.",
    ["feed", "symbol"],
)
ARCHIVED_DAYS = Counter("feed_collector_archived_days_total", "Days of ticks written to the archive.")
