"""The metrics every service has; what only one service has is declared in its own ``metrics.py``.

All live in prometheus_client's default registry, so declaring one is enough to expose it on ``/metrics``. Names carry
the service (here ``onebook``) and a base unit; labels come from enums and fixed lists, never from ids or addresses.
"""

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

UP = Gauge("onebook_service_up", "1 while the service's loops run, 0 while it starts or stops.", ["service"])

LOOP_LAST_RUN_S = Gauge(
    "onebook_loop_last_run_timestamp_seconds",
    "When a loop last began a turn, seconds since the epoch.",
    ["loop"],
)
LOOP_DURATION_S = Histogram(
    "onebook_loop_duration_seconds",
    "How long one turn of a loop worked, waiting for its next wake-up left out.",
    ["loop"],
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
EVENT_LOOP_LAG_S = Gauge(
    "onebook_event_loop_lag_seconds", "How late the event loop ran a timer due every half second."
)

NOTIFY_LAG_S = Histogram(
    "onebook_notify_lag_seconds",
    "From sending a notification to ourselves to receiving it: the whole way through Postgres.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5),
)
LISTENER_CONNECTED = Gauge(
    "onebook_listener_connected",
    "1 while a service's notification connection is up, else 0; nothing where there is none.",
    ["listener"],
)
LISTENER_RECONNECTS = Counter(
    "onebook_listener_reconnects_total", "Times the notification connection was made anew."
)

POOL_SIZE = Gauge("onebook_database_pool_size_connections", "Most connections this process's pool may hold.")
POOL_USED = Gauge("onebook_database_pool_used_connections", "Connections of the pool in use right now.")
STATEMENT_TIMEOUTS = Counter(
    "onebook_database_timeouts_total", "Statements the server stopped, by kind.", ["kind"]
)


def render_metrics() -> tuple[str, bytes]:
    """Return the content type and the text Prometheus scrapes."""
    return CONTENT_TYPE_LATEST, generate_latest(REGISTRY)
