"""The named faults of the fake venue: one table, armed by name, taken where they strike. PURE.

A fault is armed with facts it must match (``{"path": "/order"}``) and how often it strikes. The code that serves a
request, a frame, a settlement or a listing asks ``take`` for its stage; what the fault then does is written there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

Stage = Literal["request", "answer", "frame", "settlement", "listing"]
FOR_EVER: Final = -1

_ORDER_POST: Final = MappingProxyType({"method": "POST", "path": "/order"})


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault the venue knows."""

    name: str
    stage: Stage
    does: str
    match: Mapping[str, str] = field(default_factory=dict)


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind("timeout_not_placed", "request", "never answers, nothing processed", _ORDER_POST),
            Kind(
                "late_arrival",
                "request",
                "hangs `seconds`, then processes; the caller is long gone",
                _ORDER_POST,
            ),
            Kind("http_425", "request", "425, engine restarting, nothing processed", _ORDER_POST),
            Kind("http_429", "request", "429 with Retry-After, nothing processed", _ORDER_POST),
            Kind("http_500", "request", "500, nothing processed", _ORDER_POST),
            Kind("http_503", "request", "503, trading disabled, nothing processed", _ORDER_POST),
            Kind("html_403", "request", "403 with Cloudflare's HTML, nothing processed", _ORDER_POST),
            Kind("accept_then_timeout", "answer", "processed, but never answered", _ORDER_POST),
            Kind("accept_then_reset", "answer", "processed, then the connection is cut", _ORDER_POST),
            Kind("http_500_after_accept", "answer", "processed, answered 500", _ORDER_POST),
            Kind("unreadable_answer", "answer", "processed, answered 200 with no JSON", _ORDER_POST),
            Kind("duplicate_event", "frame", "the frame is sent twice"),
            Kind("drop_event", "frame", "the frame is not sent"),
            Kind("silent_socket", "frame", "no frame is sent; pings are answered"),
            Kind("malformed_frame", "frame", "the frame is cut in half"),
            Kind("match_then_failed", "settlement", "MATCHED, then FAILED: the fill did not happen"),
            Kind("match_then_retrying", "settlement", "MATCHED, RETRYING, then MINED and CONFIRMED late"),
            Kind("unknown_market_version", "listing", "the next window is listed with version v9"),
            Kind("unknown_fee_type", "listing", "the next window is listed with an unknown fee type"),
        )
    }
)


class UnknownFault(ValueError):
    """No fault of that name; ``args[0]`` names it."""


@dataclass(slots=True)
class Armed:
    """A fault waiting to strike ``times`` more often (-1: until disarmed)."""

    kind: Kind
    match: Mapping[str, str]
    times: int
    seconds: float


class Faults:
    """What is armed, in order of arming; the first that matches strikes."""

    def __init__(self) -> None:
        self._armed: list[Armed] = []

    def arm(
        self, name: str, *, match: Mapping[str, str] | None = None, times: int = 1, seconds: float = 30.0
    ) -> Armed:
        """Arm a fault; ``match`` replaces the kind's own facts; raise UnknownFault for a name not in the table."""
        kind = KINDS.get(name)
        if kind is None:
            raise UnknownFault(name)
        armed = Armed(kind, kind.match if match is None else dict(match), times, seconds)
        self._armed.append(armed)
        return armed

    def disarm(self, name: str | None = None) -> int:
        """Take back every armed fault, or those of one name; return how many."""
        kept = [armed for armed in self._armed if name is not None and armed.kind.name != name]
        gone = len(self._armed) - len(kept)
        self._armed = kept
        return gone

    def armed(self) -> Iterator[Armed]:
        """Yield what still waits to strike."""
        return iter(self._armed)

    def take(self, stage: Stage, **facts: str) -> Armed | None:
        """Return the fault that strikes now and count it; None lets the world go on."""
        for armed in self._armed:
            if armed.kind.stage == stage and _matches(armed.match, facts):
                if armed.times != FOR_EVER:
                    armed.times -= 1
                    if armed.times <= 0:
                        self._armed.remove(armed)
                return armed
        return None

    def sent(self, text: str, **facts: str) -> Sequence[str]:
        """Return what a stream sends for one frame: nothing, the frame, the frame twice, or half of it."""
        if not self._armed:
            return (text,)
        armed = self.take("frame", **facts)
        if armed is None:
            return (text,)
        if armed.kind.name == "duplicate_event":
            return (text, text)
        if armed.kind.name == "malformed_frame":
            return (text[: len(text) // 2],)
        return ()

    def frames(self, feed: str, asset: str, text: str) -> Sequence[str]:
        """Return what a price feed sends for one frame; facts are ``channel`` (the feed) and ``asset``."""
        return self.sent(text, channel=feed, asset=asset)


def _matches(wanted: Mapping[str, str], facts: Mapping[str, str]) -> bool:
    return all(
        facts.get(key, "").startswith(value[:-1]) if value.endswith("*") else facts.get(key) == value
        for key, value in wanted.items()
    )
