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
        return True, self._arm(api_key, self._fresh_id(), now_ms)

    def beat_anonymously(self, api_key: str, now_ms: int) -> None:
        """Take the older heartbeat, which names no id; the next one that does must name none either."""
        self._arm(api_key, "", now_ms)

    def _arm(self, api_key: str, expected: str, now_ms: int) -> str:
        armed = self._armed[api_key] = _Armed(expected, now_ms)
        self._timetable.at(now_ms + self._limit_ms, lambda _when: self._sweep(api_key, armed))
        return expected

    def _sweep(self, api_key: str, armed: _Armed) -> None:
        if self._armed.get(api_key) is armed:
            del self._armed[api_key]
            self._on_silence(api_key)
