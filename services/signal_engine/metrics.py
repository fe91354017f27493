"""Every metric signal_engine emits."""

from prometheus_client import Counter, Gauge, Histogram

EVALUATIONS = Counter("signal_engine_evaluations_total", "Times a strategy was asked.", ["strategy"])
SIGNALS = Counter("signal_engine_signals_total", "Signals made.", ["strategy"])
FAILURES = Counter("signal_engine_strategy_failures_total", "Times a strategy raised.", ["strategy"])
REFUSED_STRATEGIES = Counter(
    "signal_engine_refused_strategies_total", "Modules of the folder found at the start that cannot run."
)
PRIMARY_FRESH = Gauge(
    "signal_engine_primary_fresh_ratio", "0 while a stale primary feed halts signals, else 1."
)
TURN_S = Histogram(
    "signal_engine_turn_seconds",
    "From waking to having asked every strategy, reads included.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1),
)
BOOK_TO_SIGNAL_S = Histogram(
    "signal_engine_book_to_signal_seconds",
    "From the receipt of the book a signal was made on to the signal's commit.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
