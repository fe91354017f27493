"""Every metric the reconciler emits."""

from prometheus_client import Counter, Gauge, Histogram

RUNS = Counter(
    "reconciler_runs_total", "Comparisons of an account with the venue, by result.", ["kind", "result"]
)
MISMATCHES = Gauge(
    "reconciler_mismatches_open", "Differences the last comparison of all accounts found; 0 when clean."
)
REPAIRS = Counter(
    "reconciler_repairs_total", "Facts recorded because the venue showed them first here.", ["what"]
)
COMPARISON_S = Histogram(
    "reconciler_comparison_seconds",
    "How long one comparison of one account took.",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20),
)
EPOCH_RECONCILED = Gauge("reconciler_reconciled_epoch", "The newest epoch this process has compared.")
SETTLED = Counter(
    "reconciler_windows_settled_total", "Windows resolved by the venue's word, by our own view.", ["ours"]
)
CLOSE_TO_SETTLED_S = Histogram(
    "reconciler_close_to_settled_seconds",
    "From a window's close to its settlement in the Book.",
    buckets=(1, 2, 5, 10, 20, 30, 60, 90, 120, 180, 300, 600, 1800),
)
UNRESOLVED = Gauge("reconciler_unresolved_windows", "Windows that are over and have no result yet.")
