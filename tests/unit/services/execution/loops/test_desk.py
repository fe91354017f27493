"""An answer that cannot be recorded ends the process (E7), whatever else fails beside it."""

from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from services.execution import actions
from services.execution.decide import Answer
from services.execution.loops import desk as sending
from services.execution.loops.desk import RecordingFailed
from shared.domain.orders import OrderEvent

PREPARED: Any = SimpleNamespace(
    order_id="0x1", intent=SimpleNamespace(purpose="ENTRY", account_id="a", mode="LIVE")
)
DESK: Any = SimpleNamespace(database=None)


@pytest.mark.parametrize("trips", [True, False], ids=["it trips", "the trip is lost, too"])
async def test_an_answer_the_book_refuses_trips_and_ends_the_process_though_the_trip_may_fail(
    monkeypatch: pytest.MonkeyPatch, *, trips: bool
) -> None:
    tripped = []

    async def refuse(*_: object) -> None:
        raise psycopg.errors.CheckViolation("no")

    async def trip(*_: object) -> None:
        tripped.append(True)
        if not trips:
            raise psycopg.errors.AdminShutdown("gone")

    monkeypatch.setattr(actions, "record_answer", refuse)
    monkeypatch.setattr(actions, "trip", trip)
    with pytest.raises(RecordingFailed):
        await sending._record(DESK, PREPARED, Answer(OrderEvent.MATCHED, {}), {})
    assert tripped == [True]
