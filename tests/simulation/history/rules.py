"""Every rule a history is judged by."""

from collections.abc import Mapping, Sequence

from tests.simulation.history import checker, replay
from tests.simulation.history.operations import Operation
from tests.simulation.history.rows import Rows

RULES: Mapping[str, checker.Rule] = {
    "entered twice": checker.entered_twice,
    "claimed after a stop": checker.claimed_after_a_stop,
    "claimed by the past": checker.claimed_by_the_past,
    "epochs out of order": checker.epochs_out_of_order,
    "claimed before compared": checker.claimed_before_compared,
    "sent wrongly": checker.sent_wrongly,
    "not durable": checker.not_durable,
    "lost at the venue": checker.lost_at_the_venue,
    "sold too much": checker.sold_too_much,
    "moved from nowhere": checker.moved_from_nowhere,
    "limit exceeded": replay.limits_exceeded,
    "unknown let go": replay.unknown_let_go,
}


def check(history: Sequence[Operation], rows: Rows) -> list[checker.Violation]:
    """Return everything a run did that it must never do."""
    return checker.judge(history, rows, RULES)
