"""What the dashboard measures of itself."""

from prometheus_client import Counter, Histogram

OVERVIEW_S = Histogram(
    "dashboard_overview_seconds",
    "How long one reading of the overview took, all its statements together.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
OVERVIEW_FAILURES = Counter(
    "dashboard_overview_failures_total", "Overviews that could not be read from the Book."
)
