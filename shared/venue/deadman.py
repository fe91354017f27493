"""The venue's dead-man switch of one API key: fed by credentials alone, armed by its first heartbeat (E20).

While it is armed the venue cancels every open order of the key ten seconds after the last heartbeat it accepted. There
is no way to disarm it but silence. Each heartbeat names the id the last one was answered with; a wrong one is answered
with the id that is expected, and does not count (venue documentation and its SDK 0.14, October 2026).
"""

import json
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Self

from shared.runtime.clock import Clock
from shared.venue.credentials import Credentials
from shared.venue.urls import VenueUrls
from shared.venue.writes import HttpWrites

PATH = "/v1/heartbeats"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a heartbeat was answered; a lost answer is not accepted, and the next one learns the id from the refusal."""

    accepted: bool
    next_id: str | None
    """What the next one must name; None when the answer did not say."""
    detail: str = ""


class DeadManSwitch:
    """Use as ``async with DeadManSwitch(urls, credentials, clock) as switch``."""

    def __init__(self, urls: VenueUrls, credentials: Credentials, clock: Clock) -> None:
        self._clock = clock
        self._credentials = credentials
        self._writes = HttpWrites(urls.clob, clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._writes.__aexit__(kind, error, trace)

    async def feed(self, heartbeat_id: str) -> Heartbeat:
        """Send one heartbeat, and once more at once when the venue expected another id; never raises for the venue."""
        answer = await self._beat(heartbeat_id)
        if not answer.accepted and answer.next_id is not None:
            answer = await self._beat(answer.next_id)
        return answer

    async def _beat(self, heartbeat_id: str) -> Heartbeat:
        body = json.dumps({"heartbeat_id": heartbeat_id}, separators=(",", ":"))
        headers = self._credentials.headers("POST", PATH, body, self._clock.now())
        answer = await self._writes.send("POST", PATH, headers=headers, body=body)
        if answer.fault is not None or answer.status not in {HTTPStatus.OK, HTTPStatus.BAD_REQUEST}:
            return Heartbeat(accepted=False, next_id=None, detail=str(answer.fault or answer.status))
        try:
            said = json.loads(answer.body)
        except (ValueError, RecursionError):
            return Heartbeat(accepted=False, next_id=None, detail="UNREADABLE")
        following = said.get("heartbeat_id") if isinstance(said, dict) else None
        if not isinstance(following, str):
            return Heartbeat(accepted=False, next_id=None, detail="UNREADABLE")
        return Heartbeat(answer.status == HTTPStatus.OK, following, "")
