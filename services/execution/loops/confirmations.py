"""Matches are explained by trades, and trades followed until they are final (E8, E9)."""

from datetime import timedelta

from services.execution import actions
from services.execution.loops.desk import Desk
from services.execution.metrics import TRADES
from shared.domain.orders import OrderEvent, OrderState, OrderType
from shared.domain.readings import OpenStory
from shared.observability.logs import get_logger
from shared.runtime.faultpoints import fault_point
from shared.runtime.pulse import LoopPulse
from shared.venue.executor import TradedMarket
from shared.venue.refusals import ReadFailed, Refusal

POLL_S = 0.5
CONFIRM_WITHIN = timedelta(seconds=5)
AT_ONCE = frozenset({OrderType.FAK, OrderType.FOK})
"""Order types of which a match is the end: what is left of another one rests."""
log = get_logger()


async def confirm(desk: Desk, pulse: LoopPulse) -> None:
    """Ask for the trades of every order that is not explained, until asked to stop."""
    while not pulse.stopping.is_set():
        pulse.tick()
        for story in await actions.open_stories(desk.database):
            await _follow(desk, story)
        await desk.wakeups.confirmations.wait(timeout_s=POLL_S)


async def _follow(desk: Desk, story: OpenStory) -> None:
    executor = desk.executors.find(story.mode, story.account_id)
    if executor is None:
        return
    order = story.prepared.order_id
    market = TradedMarket(story.condition_id, story.fee)
    try:
        trades = await executor.trades(story.prepared, market=market, book=story.book)
    except (ReadFailed, Refusal) as problem:
        log.warning("trades_unread", order_id=order, reason=str(problem))
        return
    fault_point("confirm.read")
    if trades:
        for change in await actions.record_trades(desk.database, trades, "trades"):
            if change is not actions.TradeChange.SAME:
                TRADES.labels(change).inc()
        fault_point("confirm.recorded")
    if story.state is OrderState.DELAYED:  # what rests is followed by cancels.py
        await _end(desk, story, matched=bool(trades) and story.prepared.intent.order_type in AT_ONCE)


async def _end(desk: Desk, story: OpenStory, *, matched: bool) -> None:
    """Say what became of an order that neither matched nor died in its answer: nothing is meant to rest (E20)."""
    order = story.prepared.order_id
    if matched:
        event = OrderEvent.MATCHED
    elif story.now < (story.answered_at or story.claimed_at) + CONFIRM_WITHIN:
        return
    else:
        event = OrderEvent.LOST  # after five seconds not knowing is Unknown (E9)
    details = {"reason": "TRADES_READ" if matched else "NOT_CONFIRMED_WITHIN_5_S"}
    await actions.record_evidence(desk.database, order, event=event, source="trades", details=details)
