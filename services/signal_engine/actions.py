"""One function, one transaction, no network: what signal_engine reads and writes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from services.signal_engine.decide import Instance, Market, Question, Situation, questions
from services.signal_engine.queries import list_missing, read_market, read_situation
from shared.bus.channels import SignalCreated
from shared.bus.notify import notify
from shared.db.engine import Database, Tx
from shared.db.queries import lifecycle, signals, status
from shared.domain.breaker import BreakerState
from shared.domain.ids import AccountId
from shared.domain.modes import Mode
from shared.domain.signals import Signal
from shared.strategies.loader import LoadedStrategy

SERVICE = "signal_engine"


@dataclass(frozen=True, slots=True)
class Sight:
    """One fresh read: the situation, who is to be asked, and what they are shown; None where nobody is."""

    situation: Situation | None
    """None while no window is open."""
    asked: Sequence[Question]
    market: Market | None


async def look(database: Database, instances: Sequence[Instance], ceiling: Mode) -> Sight:
    """Return what there is to be decided now, all of it read anew (P1)."""
    accounts = {instance.account_id for instance in instances}

    async def read(tx: Tx) -> Sight:
        situation = await read_situation(tx, accounts)
        if situation is None:
            return Sight(None, (), None)
        asked = questions(situation, instances, ceiling)
        market = await read_market(tx, asked, situation.now) if asked else None
        return Sight(situation, asked, market)

    return await database.retry_read(read)


async def make(database: Database, signal: Signal, *, ordinal: int) -> bool:
    """Write a signal once and wake the executor; False when it stands already, by us or by another engine (T5)."""
    async with database.begin() as tx:
        created = await signals.insert_once(tx, signal, ordinal=ordinal)
        if created:
            await notify(tx, SignalCreated(signal.signal_id))
        return created


async def register(database: Database, account: AccountId, loaded: LoadedStrategy) -> Instance:
    """Register a strategy at its code and parameters for an account, once (B17)."""
    declaration = loaded.declaration
    row = signals.InstanceRow(
        instance_id=loaded.instance_id(account),
        account_id=account,
        strategy_id=loaded.strategy_id,
        code_hash=loaded.code_hash,
        parameters=declaration.parameters,
        hypothesis=declaration.hypothesis,
    )
    async with database.begin() as tx:
        await signals.register_once(tx, row, by=SERVICE)
    return Instance(account, row.instance_id, declaration)


async def missing_accounts(database: Database, accounts: Collection[AccountId]) -> list[AccountId]:
    """Return those of these accounts that nobody has opened."""
    return await database.retry_read(lambda tx: list_missing(tx, accounts))


async def open_breakers(database: Database, accounts: Collection[AccountId], mode: Mode) -> list[AccountId]:
    """Return those of these accounts whose breaker is open in this mode."""
    gates = await database.retry_read(lambda tx: status.gates(tx, mode))
    return [
        gate.account_id for gate in gates if gate.account_id in accounts and gate.breaker is BreakerState.OPEN
    ]


async def primary_age_s(database: Database) -> Decimal | None:
    """Return the seconds since the primary feed was last heard; None when it never was."""
    return await database.retry_read(status.primary_feed_age_s)


async def alert(database: Database, *, kind: str, key: str, details: Mapping[str, Any]) -> None:
    """Put an error in the outbox."""
    async with database.begin() as tx:
        await lifecycle.raise_alert(tx, severity="ERROR", kind=kind, dedup_key=key, details=details)


async def beat(database: Database, *, instance: str, healthy: bool, details: Mapping[str, Any]) -> None:
    """Say that the engine lives and whether it is fit (R11)."""
    async with database.begin() as tx:
        await lifecycle.beat(tx, service=SERVICE, instance=instance, healthy=healthy, details=details)
