"""Every metric the risk monitor emits."""

from prometheus_client import Counter, Gauge, Histogram

WATCHED = Gauge("risk_monitor_watched_positions", "Positions looked at in the last turn.")
BLIND = Gauge("risk_monitor_blind_positions", "Positions with a price rule that no price may decide now.")
EXITS = Counter("risk_monitor_exits_total", "Exits asked for and granted, by reason.", ["reason"])
BOOK_TO_EXIT_S = Histogram(
    "risk_monitor_book_to_exit_seconds",
    "From the receipt of the book to the request's commit, for exits a price decided.",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
VERIFICATIONS = Counter("risk_monitor_verifications_total", "Position verifications, by result.", ["result"])
CAPITAL_INVARIANT = Gauge(
    "risk_monitor_capital_invariant_ratio",
    "1 while every ledger and audit chain checked last was whole, else 0.",
)
ASSERTIONS = Counter("risk_monitor_assertions_total", "Runtime assertions checked, by result.", ["result"])
CANCELS = Counter(
    "risk_monitor_cancels_total",
    "Times everything was cancelled for an EMERGENCY, by what we learnt.",
    ["event"],
)
OPEN_BREAKERS = Gauge("risk_monitor_breakers_open", "How many breakers are open, PAPER and DRY_RUN included.")
ESCALATIONS = Counter(
    "risk_monitor_escalations_total", "Stages taken because a breaker stayed open.", ["stage"]
)
LOSS_LIMITS = Counter(
    "risk_monitor_loss_limits_total",
    "Loss limits that were reached, by whose and over what.",
    ["of", "scope"],
)
ALERTS_CLOSED = Counter("risk_monitor_alerts_closed_total", "Alerts closed because their cause was gone.")
