"""An answer too odd for Postgres is recorded all the same: what cannot be recorded ends the process (E7)."""

import pytest

from services.execution import actions
from shared.domain.ids import OrderId
from shared.domain.orders import OrderEvent, OrderState
from tests.conftest import Connect
from tests.factories import Desk

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("odd", ["\0", "\ud800"])
async def test_what_postgres_does_not_keep_is_kept_as_a_mark(desk: Desk, db: Connect, odd: str) -> None:
    order = desk.enter().order_id
    answer = {"reason": "UNREADABLE", "answer": {"sample": f"<{odd}>", odd: 1}}
    state = await actions.record_answer(await db(role="execution"), OrderId(order), OrderEvent.LOST, answer)
    assert state is OrderState.UNKNOWN
    kept = desk.one("SELECT details FROM order_evidence WHERE order_id = %s AND kind = 'ANSWER'", order)
    assert kept["details"]["answer"] == {"sample": "<\ufffd>", "\ufffd": 1}
