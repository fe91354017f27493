"""The cells that cannot happen, each with its reason: listed, never counted."""

from tests.simulation.matrix.answers import ANSWERS


_REFUSED_AT_ONCE = frozenset({"refused", "http_425", "http_429", "http_503", "html_403"})


def void_reason(point: str, answer: str) -> str | None:
    """Return why the point is never reached when the venue plays this answer; None when it must be."""
    played = ANSWERS[answer]
    head = point.partition(".")[0]
    of_order = head in {"confirm", "trade"} or (head == "redeem" and played.kind == "order")
    if of_order and not played.placed:
        return "nothing was placed, so nothing trades: there is nothing to confirm or redeem"
    if head == "redeem" and not played.matched and played.kind == "order":
        return "nothing that was bought stays bought: there is nothing to redeem"
    if head == "cancel" and answer != "resting" and played.kind in {"plain", "order"}:
        return "an order so answered does not rest: there is nothing to cancel"
    if answer == "resting" and (head == "trade" or point == "confirm.recorded"):
        return "it rests until it is cancelled: nothing trades"
    if point == "reconcile.repaired" and answer in _REFUSED_AT_ONCE:
        return "the executor records a refusal at once, and nothing is left to repair"
    if head == "trade" and answer == "events_lost":
        return "the channel never tells of the trade"
    return None
