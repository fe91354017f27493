"""What the venue plays in a cell, by name: the simulator's faults, pointed at one wallet and one act."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

_LATE_S = 2.2
"""Later than our patience with an answer (2 s), while the window still trades."""
_HANGS_S = 4.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One way for the venue to answer. ``kind`` says what it concerns: any write, an order, or what is read later."""

    name: str
    kind: str
    faults: tuple[Mapping[str, Any], ...] = ()
    placed: bool = True
    """Whether an order so answered ever reaches the book."""
    matched: bool = True
    """Whether it trades, and keeps what it traded."""
    more: Mapping[str, Any] = field(default_factory=dict)


def _write(name: str, fault: str, *, placed: bool, **options: Any) -> Answer:
    return Answer(name, "write", ({"name": fault, **options},), placed=placed, matched=placed)


def _order(name: str, fault: str, *, placed: bool = True, matched: bool = True, **options: Any) -> Answer:
    return Answer(name, "order", ({"name": fault, **options},), placed=placed, matched=matched)


def _event(name: str, fault: str, **options: Any) -> Answer:
    return Answer(name, "event", ({"name": fault, "times": -1, **options},))


_ALL = (
    Answer("accepted_filled", "plain"),
    _order("partly_filled", "partly_filled"),
    _order("resting", "resting", matched=False, seconds=1.5),
    _order("delayed", "delayed", seconds=0.5),
    _order("refused", "refused", placed=False, matched=False),
    _write("timeout_placed", "accept_then_timeout", placed=True, seconds=_HANGS_S),
    _write("timeout_not_placed", "timeout_not_placed", placed=False, seconds=_HANGS_S),
    _write("late_arrival", "late_arrival", placed=True, seconds=_LATE_S),
    _write("http_425", "http_425", placed=False, seconds=1),
    _write("http_429", "http_429", placed=False, seconds=1),
    _write("http_500", "http_500", placed=False),
    _write("http_503", "http_503", placed=False),
    _write("html_403", "html_403", placed=False),
    _write("idle_closed", "idle_closed", placed=False),
    _write("unreadable_200", "unreadable_answer", placed=True),
    _write("reset_after_accept", "accept_then_reset", placed=True),
    _order("duplicated", "duplicated"),
    _order("match_then_failed", "match_then_failed", matched=False),
    _event("events_lost", "drop_event"),
    _event("events_repeated", "duplicate_event"),
    _event("events_reordered", "reorder_events", seconds=0.7),
    Answer("stale_balances", "balance", ({"name": "stale_balance", "times": -1, "seconds": 2.5},)),
)
RESTS = _order("rests", "resting", matched=False, seconds=6)
"""What a cancel needs: an order that rests although it was not meant to, until its window is over."""
ANSWERS: Mapping[str, Answer] = MappingProxyType({answer.name: answer for answer in _ALL})


def arming(answer: Answer, act: str, wallet: str) -> Iterator[dict[str, Any]]:
    """Yield what the simulator is told, so that this answer meets one act (entry, exit, cancel, redeem) of one wallet."""
    if act == "cancel" and answer.name == "resting":
        return  # it rests already
    for fault in answer.faults:
        yield {**fault, "match": {**_match(answer.kind, act), "wallet": wallet.lower()}}


def _match(kind: str, act: str) -> dict[str, str]:
    if kind == "event":
        return {"channel": "user"}
    if kind == "balance":
        return {}
    if kind == "write" and act == "redeem":
        return {"host": "relayer", "method": "POST", "path": "/submit"}
    if kind == "write" and act == "cancel":
        return {"host": "clob", "method": "DELETE", "path": "/order"}
    return {"side": "SELL" if act == "exit" else "BUY"}
