"""The cells that cannot happen, each with its reason: listed, never counted."""

from tests.simulation.matrix.answers import ANSWERS

_REFUSED_AT_ONCE = frozenset({"refused", "http_425", "http_429", "http_503", "html_403"})
_NOTHING_TRADES = "nothing was placed, so nothing trades: there is nothing to confirm or redeem"
_NOTHING_KEPT = "nothing that was bought stays bought: there is nothing to redeem"
_NOTHING_RESTS = "an order so answered does not rest: there is nothing to cancel"
_NOTHING_LEFT = "the executor records a refusal at once: there is nothing to repair"
_BY_LUCK = (
    "an order so answered never trades: only a second wish might, when the first order is over soon enough"
)
_UNHEARD = "the channel never tells of the trade"


def void_reason(point: str, answer: str) -> str | None:
    """Return why the point is never reached when the venue plays this answer; None when it must be."""
    played = ANSWERS[answer]
    head = point.partition(".")[0]
    redeems = head == "redeem" and played.kind == "order"
    reasons = {
        _NOTHING_TRADES: (head in {"confirm", "trade"} or redeems) and not played.placed,
        _NOTHING_KEPT: redeems and not played.matched,
        _NOTHING_RESTS: head == "cancel" and answer != "resting" and played.kind in {"plain", "order"},
        _NOTHING_LEFT: point == "reconcile.repaired" and answer in _REFUSED_AT_ONCE,
        _BY_LUCK: head == "trade" and answer == "resting",
        _UNHEARD: head == "trade" and answer == "events_lost",
    }
    return next((reason for reason, holds in reasons.items() if holds), None)
