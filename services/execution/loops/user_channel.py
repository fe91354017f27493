"""The venue's own word on our orders and trades, as it happens; what it misses is read by confirmations.py (E8)."""

from dataclasses import replace

from services.execution import actions
from services.execution.loops.desk import Desk
from services.execution.metrics import TRADES
from shared.domain.fees import taker_fee
from shared.domain.ids import AccountId
from shared.observability.logs import get_logger
from shared.runtime.faultpoints import fault_point
from shared.venue.events import Connected, OrderUpdate, TradeSeen, Unreadable

log = get_logger()


async def hear(desk: Desk, account: AccountId) -> None:
    """Record every trade of one live account at once, and look at its orders whenever the channel stirs."""
    async with desk.executors.user_feed(account, desk.clock) as feed:
        async for event in feed:
            match event:
                case TradeSeen():
                    await _record(desk, event)
                case OrderUpdate() | Connected():
                    pass  # no replay after a reconnect: the trades are read anew
                case Unreadable():
                    log.warning(
                        "user_frame_unreadable", account_id=account, kind=event.kind, reason=event.reason
                    )
                case _:
                    continue
            desk.wakeups.confirmations.add_everything()


async def _record(desk: Desk, seen: TradeSeen) -> None:
    fee = await actions.fee_of_order(desk.database, seen.trade.order_id)
    if fee is None:
        # An order the Book never wrote: the reconciler's comparison finds it and stops trading (X2).
        log.error("trade_of_unknown_order", order_id=seen.trade.order_id, trade_id=seen.trade.trade_id)
        return
    trade = seen.trade
    if not seen.fee_known and trade.is_taker:
        trade = replace(trade, fee_usdc=taker_fee(trade.shares, trade.price, fee))
    fault_point("trade.heard")
    changes = await actions.record_trades(desk.database, (trade,), "user_channel")
    fault_point("trade.recorded")
    TRADES.labels(changes[0]).inc()
