"""Cancelling: an act with three outcomes, by credentials alone; whoever may only cancel holds no key (E16)."""

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from shared.domain.ids import ConditionId, OrderId
from shared.domain.outcomes import Outcome
from shared.runtime.clock import Clock
from shared.venue.accounts import Cancellation
from shared.venue.credentials import Credentials
from shared.venue.outcome import classify_cancel_answer
from shared.venue.urls import VenueUrls
from shared.venue.writes import HttpWrites


class Cancelling:
    """Use as ``async with Cancelling(urls, credentials, clock) as cancelling``.

    A Success lists what was cancelled and what was not; neither says how much had filled before: read the trades.
    """

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

    async def cancel(self, order_id: OrderId) -> Outcome[Cancellation]:
        """Cancel one order; one the venue does not know is a Success with the id not cancelled."""
        return await self._send("/order", {"orderID": order_id}, act="cancel")

    async def cancel_all(self) -> Outcome[Cancellation]:
        """Cancel every resting order of the API key."""
        return await self._send("/cancel-all", None)

    async def cancel_market(self, condition_id: ConditionId) -> Outcome[Cancellation]:
        """Cancel every resting order in one market."""
        return await self._send("/cancel-market-orders", {"market": condition_id})

    async def _send(
        self, path: str, payload: Mapping[str, str] | None, *, act: str = ""
    ) -> Outcome[Cancellation]:
        body = "" if payload is None else json.dumps(payload, separators=(",", ":"))
        headers = self._credentials.headers("DELETE", path, body, self._clock.now())
        answer = await self._writes.send("DELETE", path, headers=headers, body=body, act=act)
        return classify_cancel_answer(
            answer.status, answer.headers, answer.body, answer.fault, began_send=answer.began_send
        )
