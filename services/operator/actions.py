"""What a person does to the Book: one function, one transaction, each with a name and a reason behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from services.operator import queries
from shared.db.engine import Database
from shared.db.queries import administration, lifecycle
from shared.domain.breaker import KillSwitch, TripReason
from shared.domain.ids import AccountId
from shared.domain.modes import Mode


@dataclass(frozen=True, slots=True)
class Person:
    """Who acts, and why: written into history with the change."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What verifying one account's books found: nothing in either field is good."""

    account: AccountId
    mode: Mode
    differences: tuple[administration.LedgerDifference, ...]
    broken_event: int | None


async def open_account(
    database: Database, account: AccountId, *, paper_wallet: str, wallet: str | None
) -> bool:
    """Open an account in every mode; False when it stood already (its wallet is updated)."""
    async with database.begin() as tx:
        return await administration.open_account(tx, account, paper_wallet=paper_wallet, wallet=wallet)


async def fund(
    database: Database,
    account: AccountId,
    mode: Mode,
    *,
    amount_usdc: Decimal,
    reference: str,
    person: Person,
) -> bool:
    """Book a deposit (negative: a withdrawal) once a reference; False when it was booked before."""
    async with database.begin() as tx:
        return await lifecycle.book_external(
            tx,
            account,
            mode,
            kind="DEPOSIT" if amount_usdc > 0 else "WITHDRAWAL",
            amount_usdc=amount_usdc,
            reference=reference,
            evidence={"by": person.name, "reason": person.reason},
        )


async def correct(
    database: Database,
    account: AccountId,
    mode: Mode,
    *,
    amount_usdc: Decimal,
    reference: str,
    person: Person,
    dry_run: bool,
) -> str:
    """Book a correction to CASH, or only say what it would book."""
    async with database.begin() as tx:
        return await administration.correct(
            tx,
            account,
            mode,
            amount_usdc=amount_usdc,
            reference=reference,
            actor=person.name,
            reason=person.reason,
            dry_run=dry_run,
        )


async def open_session(database: Database, account: AccountId, mode: Mode, *, operator: str) -> int:
    """Open a session that lasts until a person closes it; returns its id."""
    async with database.begin() as tx:
        return await administration.open_session(tx, account, mode, operator=operator)


async def close_session(database: Database, account: AccountId, mode: Mode, *, operator: str) -> bool:
    """Close the running session; False when there is none."""
    async with database.begin() as tx:
        return await administration.close_session(tx, account, mode, operator=operator)


async def set_control(
    database: Database, account: AccountId, *, key: str, value: str, person: Person
) -> str | None:
    """Set a runtime control of one account; returns the value before."""
    async with database.begin() as tx:
        return await lifecycle.set_control(
            tx, account, key=key, value=value, actor=person.name, reason=person.reason
        )


async def throw_switch(
    database: Database, accounts: Sequence[AccountId], switch: KillSwitch, person: Person
) -> dict[AccountId, str | None]:
    """Set the kill switch of these accounts (none given: of all) together; returns what each was before."""
    async with database.begin() as tx:
        names = list(accounts) or await queries.list_accounts(tx)
        return {
            name: await lifecycle.set_control(
                tx,
                name,
                key="kill_switch",
                value=switch.value,
                actor=person.name,
                reason=person.reason,
            )
            for name in names
        }


async def trip(database: Database, account: AccountId, mode: Mode, person: Person) -> bool:
    """Open the breaker by hand; False when it was open already."""
    async with database.begin() as tx:
        context = {"by": person.name, "why": person.reason}  # "reason" is the trip's own
        return await lifecycle.trip_breaker(tx, account, mode, TripReason.MANUAL_TRIP, context)


async def reset(database: Database, account: AccountId, mode: Mode, person: Person) -> None:
    """Close the breaker; the Book refuses while an order may be live or Unknown."""
    async with database.begin() as tx:
        await lifecycle.reset_breaker(tx, account, mode, operator=person.name, reason=person.reason)


async def ensure_partitions(database: Database, *, days_ahead: int) -> int:
    """Make the tick partitions of today and the days ahead; returns how many were missing."""
    async with database.begin() as tx:
        return await administration.ensure_partitions(tx, days_ahead=days_ahead)


async def drop_partitions(database: Database, *, keep_days: int) -> list[str]:
    """Drop the tick partitions past retention; returns their names."""
    async with database.begin() as tx:
        return await administration.drop_partitions(tx, keep_days=keep_days)


async def prove(database: Database) -> list[Proof]:
    """Verify the ledger of every account and mode with movements, and every account's audit chain, as of one moment."""
    async with database.begin() as tx:
        await queries.take_time(tx)  # everything from the beginning, and a person waits for it
        proofs = []
        for account, mode in await queries.list_books(tx):
            differences = await administration.verify_ledger(tx, account, mode)
            broken = await administration.verify_audit_chain(tx, account)
            proofs.append(Proof(account, mode, tuple(differences), broken))
        return proofs
