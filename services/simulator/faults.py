"""The named faults of the fake venue: armed by name, taken where they strike. PURE.

A fault is armed with facts it must match (``{"wallet": "0x…", "side": "BUY"}``) and how often it strikes; a fact it
does not name may be anything. The code that serves a request, a frame, a settlement or a listing asks ``take`` for its
stage; what the fault then does is written there. ``fault_kinds`` is the table.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.simulator.fault_kinds import KINDS, Kind, Stage, is_option
from services.simulator.feed_faults import ACTS

__all__ = ["FOR_EVER", "KINDS", "Armed", "Facts", "Faults", "UnknownFault", "played"]

FOR_EVER: Final = -1
Facts = Mapping[str, str | Collection[str]]
"""What is so about a request, a frame, an order …; a collection is matched by any of its values."""

_CALL: Final = ("host", "method", "path")


class UnknownFault(ValueError):
    """No fault of that name; ``args[0]`` names it."""


@dataclass(slots=True)
class Armed:
    """A fault waiting to strike ``times`` more often (-1: until disarmed)."""

    kind: Kind
    match: Mapping[str, str]
    times: int
    seconds: float
    options: Mapping[str, str] = field(default_factory=dict)
    held: list[str] = field(default_factory=list)


class Faults:
    """What is armed, in order of arming; the first that matches strikes."""

    def __init__(self) -> None:
        self._armed: list[Armed] = []

    def __bool__(self) -> bool:
        """Return whether anything is armed: facts need not be gathered for nobody."""
        return bool(self._armed)

    def arm(
        self,
        name: str,
        *,
        match: Mapping[str, str] | None = None,
        times: int = 1,
        seconds: float = 30.0,
        **options: str,
    ) -> Armed:
        """Arm a fault. ``match`` narrows the kind's own facts; one naming a call (host, method, path) replaces them.

        Raises:
            UnknownFault: no fault of that name, or an option or a value it does not have.
        """
        kind = KINDS.get(name)
        if kind is None:
            raise UnknownFault(name)
        for option, value in options.items():
            if not is_option(kind, option, value):
                raise UnknownFault(f"{name} with {option} {value}")
        given = {key: value.lower() if key == "wallet" else value for key, value in (match or {}).items()}
        wanted = given if any(key in given for key in _CALL) else {**kind.match, **given}
        armed = Armed(kind, wanted, times, seconds, {**kind.options, **options})
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

    def take(self, stage: Stage, **facts: str | Collection[str]) -> Armed | None:
        """Return the fault that strikes now and count it; None lets the world go on."""
        for armed in self._armed:
            if armed.kind.stage == stage and _matches(armed.match, facts):
                if armed.times != FOR_EVER:
                    armed.times -= 1
                    if armed.times <= 0:
                        self._armed.remove(armed)
                return armed
        return None

    def sent(self, text: str, **facts: str | Collection[str]) -> Sequence[str]:
        """Return what a stream sends for one frame: nothing, the frame, the frame twice, or half of it."""
        if not self._armed:
            return (text,)
        armed = self.take("frame", **facts)
        if armed is None:
            return (text,)
        return played(armed, text)

    def frames(self, feed: str, asset: str, text: str) -> Sequence[str]:
        """Return what a price feed sends for one frame; facts are ``channel`` (the feed) and ``asset``."""
        return self.sent(text, channel=feed, asset=asset)

    def line(self, feed: str, asset: str) -> tuple[str, float] | None:
        """Return the name and the seconds of the fault that strikes a price feed's connection now."""
        armed = self.take("line", channel=feed, asset=asset) if self._armed else None
        return None if armed is None else (armed.kind.name, armed.seconds)


def played(armed: Armed, text: str) -> Sequence[str]:
    """Return what is sent for a frame a fault struck."""
    if armed.kind.name in ("held_frames", "shuffled_frames"):
        armed.held.append(text)
        if armed.times > 0:
            return ()
        return armed.held if armed.kind.name == "held_frames" else armed.held[::-1]
    act = ACTS.get(armed.kind.name)
    return () if act is None else act(text)


def _matches(wanted: Mapping[str, str], facts: Facts) -> bool:
    return all(_is(value, facts.get(key, ())) for key, value in wanted.items())


def _is(wanted: str, found: str | Collection[str]) -> bool:
    if not isinstance(found, str):
        return any(_is(wanted, each) for each in found)
    return found.startswith(wanted[:-1]) if wanted.endswith("*") else found == wanted
