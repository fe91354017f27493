"""The dead man's switch of an API key: once armed, silence cancels every open order. PURE."""

from collections.abc import Callable
from dataclasses import dataclass

from services.simulator.timetable import Timetable


@dataclass(slots=True)
class _Armed:
    expected: str
    beaten_ms: int


class Heartbeats:
    """Armed keys; the first accepted heartbeat arms, expiry disarms."""

    def __init__(
        self,
        timetable: Timetable,
        limit_ms: int,
        fresh_id: Callable[[], str],
        on_silence: Callable[[str], None],
    ) -> None:
        self._timetable, self._limit_ms = timetable, limit_ms
        self._fresh_id, self._on_silence = fresh_id, on_silence
        self._armed: dict[str, _Armed] = {}

    def beat(self, api_key: str, heartbeat_id: str, now_ms: int) -> tuple[bool, str]:
        """Return (accepted, the id expected next); a stale id does not extend the deadline."""
        armed = self._armed.get(api_key)
        if (armed.expected if armed is not None else "") != heartbeat_id:
            return False, armed.expected if armed is not None else ""
        following = self._fresh_id()
        self._armed[api_key] = _Armed(following, now_ms)
        self._timetable.at(now_ms + self._limit_ms, lambda _when: self._sweep(api_key, following))
        return True, following

    def _sweep(self, api_key: str, expected: str) -> None:
        armed = self._armed.get(api_key)
        if armed is not None and armed.expected == expected:
            del self._armed[api_key]
            self._on_silence(api_key)
