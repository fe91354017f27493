"""What ends a redemption: the receipt and the token balance, each case of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.execution.loops.redemptions import _look
from shared.domain.ids import AccountId, ConditionId, RedemptionId, TokenId, WindowId
from shared.domain.modes import Mode
from shared.domain.readings import PendingRedemption
from shared.domain.redemptions import RedemptionEvent, RedemptionState
from shared.venue.accounts import Balances
from shared.venue.executor import RedemptionReading, RedemptionStage

NOW = datetime(2026, 10, 5, 23, 16, tzinfo=UTC)
UP, DOWN = TokenId("1"), TokenId("2")
PENDING = PendingRedemption(
    redemption_id=RedemptionId("red-1"),
    account_id=AccountId("canary"),
    mode=Mode.LIVE,
    window_id=WindowId("w"),
    condition_id=ConditionId("0x1"),
    up_token=UP,
    down_token=DOWN,
    version="v1",
    neg_risk=False,
    up_shares=Decimal(4),
    down_shares=Decimal(0),
    state=RedemptionState.SUBMITTED,
    ticket="t",
    expected_usdc=Decimal(4),
    epoch=1,
    claimed_at=NOW - timedelta(seconds=5),
    now=NOW,
)


class Wallet:
    """An executor that says what it is told to."""

    def __init__(self, stage: RedemptionStage, held: str) -> None:
        self.stage, self.held = stage, Decimal(held)

    async def redemption_state(self, _ticket: object) -> RedemptionReading:
        return RedemptionReading(self.stage, "", "reverted")

    async def balances(self, tokens: list[TokenId], *, refresh: bool = False) -> Balances:
        assert refresh
        assert tokens == [UP]
        return Balances(Decimal(0), {UP: self.held}, NOW)


async def look(pending: PendingRedemption, stage: RedemptionStage, held: str) -> Any:
    event, _ = await _look(Wallet(stage, held), pending)  # type: ignore[arg-type]
    return event


@pytest.mark.parametrize(
    ("stage", "held", "event"),
    [
        (RedemptionStage.CONFIRMED, "0", RedemptionEvent.PAID),
        (RedemptionStage.CONFIRMED, "0.000001", None),
        (RedemptionStage.PENDING, "0", None),
        (RedemptionStage.FAILED, "4", RedemptionEvent.FAILED),
    ],
)
async def test_with_a_receipt_it_is_confirmed_and_the_tokens_are_gone(
    stage: RedemptionStage, held: str, event: RedemptionEvent | None
) -> None:
    assert await look(PENDING, stage, held) is event


@pytest.mark.parametrize("state", [RedemptionState.CLAIMED, RedemptionState.UNKNOWN])
async def test_without_a_receipt_the_tokens_tell_and_what_is_lost_is_asked_for_again(
    state: RedemptionState,
) -> None:
    lost = replace(PENDING, ticket=None, state=state)
    assert await look(lost, RedemptionStage.PENDING, "0") is RedemptionEvent.PAID
    assert await look(lost, RedemptionStage.PENDING, "4") is None, "it may still be on its way"
    late = replace(lost, claimed_at=NOW - timedelta(seconds=61))
    assert await look(late, RedemptionStage.PENDING, "4") is RedemptionEvent.FAILED
