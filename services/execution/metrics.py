"""Every metric execution emits."""

from prometheus_client import Counter, Gauge, Histogram

LEADING = Gauge("execution_leading", "1 while this process holds the executor's lock.")
EPOCH = Gauge("execution_epoch", "The epoch this process claims under; 0 as a standby.")
SIGNALS = Counter("execution_signals_total", "Signals decided, by what became of them.", ["result"])
SUBMITS = Counter(
    "execution_submits_total", "Orders sent to the venue, by what we learnt.", ["purpose", "event"]
)
TRADES = Counter("execution_trades_total", "Trades recorded, by what they changed.", ["change"])
REDEMPTIONS = Counter("execution_redemptions_total", "Redemptions, by how they stand.", ["event"])
CANCELS = Counter(
    "execution_cancels_total", "Cancels of resting orders, by why and what we learnt.", ["reason", "answer"]
)
HEARTBEATS = Counter(
    "execution_deadman_heartbeats_total", "Heartbeats of the venue's dead-man switch, by answer.", ["answer"]
)
UNSELLABLE = Gauge("execution_unsellable_positions", "Positions to be sold that nobody bids for.")
CLAIM_S = Histogram(
    "execution_claim_seconds",
    "From asking for a claim to its answer: what other claims and other holders of its rows made it wait is in it.",
    ["purpose"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1),
)
SIGNAL_TO_SENT_S = Histogram(
    "execution_signal_to_sent_seconds",
    "From the signal's commit to the start of the send.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
SUBMIT_S = Histogram(
    "execution_submit_seconds",
    "From the start of a send to its answer.",
    ["event"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
