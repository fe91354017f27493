"""When a resting order must go, and what ends one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from shared.domain.breaker import KillSwitch
from shared.domain.cancels import CancelAnswer, CancelReason, Resting, end_of, is_untold, why_cancel
from shared.domain.modes import Mode
from shared.domain.orders import OrderEvent, OrderState, OrderType
from shared.domain.windows import FeeSchedule

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RESTS = Resting(
    order_id="0x1",
    account_id="desk",
    mode=Mode.LIVE,
    condition_id="0xc",
    fee=FeeSchedule(Decimal("0.07"), 1, True),
    state=OrderState.LIVE,
    order_type=OrderType.GTC,
    requested=False,
    kill_switch=KillSwitch.OFF,
    closes_at=NOW + timedelta(minutes=5),
    changed_at=NOW,
    last_cancel_at=None,
    last_answer=None,
    now=NOW,
)
CANCELLING = replace(RESTS, state=OrderState.CANCELLING)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"kill_switch": KillSwitch.PAUSE}, None),
        ({"kill_switch": KillSwitch.FLATTEN}, None),
        ({"requested": True}, CancelReason.REQUESTED),
        ({"kill_switch": KillSwitch.EMERGENCY}, CancelReason.EMERGENCY),
        ({"order_type": OrderType.FAK}, CancelReason.NOT_MEANT_TO_REST),
        ({"order_type": OrderType.FOK}, CancelReason.NOT_MEANT_TO_REST),
        ({"order_type": OrderType.GTD}, None),
        ({"closes_at": NOW + timedelta(seconds=3)}, CancelReason.WINDOW_ENDS),
        ({"closes_at": NOW + timedelta(seconds=3, microseconds=1)}, None),
        ({"requested": True, "state": OrderState.CANCELLING}, None),
        ({"requested": True, "last_cancel_at": NOW - timedelta(milliseconds=999)}, None),
        ({"requested": True, "last_cancel_at": NOW - timedelta(seconds=1)}, CancelReason.REQUESTED),
    ],
)
def test_an_order_rests_until_a_rule_says_it_must_go(change, reason):
    assert why_cancel(replace(RESTS, **change)) is reason


@pytest.mark.parametrize(
    ("order", "event", "all_traded", "ends"),
    [
        (CANCELLING, OrderEvent.KILLED, True, OrderEvent.KILLED),
        (CANCELLING, OrderEvent.MATCHED, True, OrderEvent.MATCHED),
        (CANCELLING, OrderEvent.MATCHED, False, None),
        (CANCELLING, OrderEvent.RESTS, True, OrderEvent.RESTS),
        (replace(CANCELLING, last_answer=CancelAnswer.CANCELLED), OrderEvent.RESTS, True, None),
        (
            replace(CANCELLING, last_answer=CancelAnswer.NOT_CANCELLED),
            OrderEvent.RESTS,
            True,
            OrderEvent.RESTS,
        ),
        (CANCELLING, OrderEvent.REFUSED, True, None),
        (RESTS, OrderEvent.RESTS, True, None),
        (RESTS, OrderEvent.EXPIRED, True, OrderEvent.EXPIRED),
        (RESTS, OrderEvent.KILLED, True, OrderEvent.KILLED),
    ],
)
def test_an_order_ends_by_its_own_reading_once_its_trades_are_here(order, event, all_traded, ends):
    assert end_of(order, event, all_traded=all_traded) is ends


@pytest.mark.parametrize(
    ("state", "age_s", "untold"),
    [(OrderState.CANCELLING, 9.9, False), (OrderState.CANCELLING, 10, True), (OrderState.LIVE, 60, False)],
)
def test_a_cancel_nobody_can_read_the_end_of_is_not_known(state, age_s, untold):
    order = replace(RESTS, state=state, changed_at=NOW - timedelta(seconds=age_s))
    assert is_untold(order) is untold
