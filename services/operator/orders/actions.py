"""What a person does about one order: each function is one transaction."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.operator.actions import Person
from services.operator.orders import queries
from shared.db.engine import Database
from shared.db.queries import resting
from shared.domain.ids import AccountId, InstanceId, OrderId
from shared.domain.modes import Mode
from shared.domain.orders import OrderEvent
from shared.domain.trades import VenueTrade


async def request_cancel(database: Database, order: OrderId, person: Person) -> bool:
    """Ask the executor to cancel an order; False when it is over, or was asked for before."""
    async with database.begin() as tx:
        return await resting.request_cancel(tx, order, reason=person.reason, by=person.name)


async def allow_instance(database: Database, instance: InstanceId, *, enabled: bool, person: Person) -> None:
    """Let a strategy's signals become orders, or not; who and when stand in its row."""
    async with database.begin() as tx:
        await queries.allow_instance(tx, instance, enabled=enabled, by=person.name)


async def adopt(
    database: Database,
    account: AccountId,
    *,
    order: Mapping[str, Any],
    event: OrderEvent,
    trades: Sequence[VenueTrade],
    person: Person,
    dry_run: bool,
) -> Mapping[str, Any]:
    """Adopt an order in LIVE, or only say what that would do."""
    async with database.begin() as tx:
        return await resting.adopt_order(
            tx,
            account,
            Mode.LIVE,
            order=order,
            event=event,
            trades=trades,
            actor=person.name,
            reason=person.reason,
            dry_run=dry_run,
        )
