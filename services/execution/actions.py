"""One function, one transaction, no network: what execution reads and records."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from shared.db.engine import Database, Tx
from shared.db.lock import LockSession
from shared.db.queries import (
    dry_runs,
    exits,
    gate,
    lifecycle,
    orders,
    preflight,
    redemptions,
    resting,
    signals,
    status,
    venue_facts,
)
from shared.domain.books import Book
from shared.domain.breaker import TripReason
from shared.domain.cancels import CancelAnswer, Resting
from shared.domain.clocks import MeasuredClock
from shared.domain.facts import MarketFacts
from shared.domain.ids import AccountId, OrderId, RedemptionId, SignalId, TokenId, WindowId
from shared.domain.modes import Mode
from shared.domain.orders import OrderEvent, OrderState
from shared.domain.prepared import PreparedOrder
from shared.domain.readings import ExitDue, GateRead, OpenStory, PendingRedemption, Redeemable
from shared.domain.redemptions import RedemptionEvent
from shared.domain.signals import Signal
from shared.domain.trades import VenueTrade
from shared.domain.windows import FeeSchedule

Details = Mapping[str, Any]
TradeChange = lifecycle.TradeChange
MarketDue = venue_facts.MarketDue
DeadMan = resting.DeadMan
FactsUnreadable = gate.FactsUnreadable


async def new_signals(database: Database) -> list[SignalId]:
    """Return the signals nobody has decided yet."""
    return await database.retry_read(gate.new_signals)


async def warm_up(session: LockSession) -> str | None:
    """Have the session plan its reads and claims before its first order; returns what went wrong, and nothing stays."""
    return await gate.warm_up(session)


async def read_gate(session: LockSession, signal: SignalId) -> GateRead | None:
    """Return everything the gate looks at, fresh; None where it could not be read or there is no such signal.

    Raises LockLost, FactsUnreadable.
    """
    return await gate.gate_read(session, signal)


async def refuse(database: Database, signal: SignalId, reason: str, verdict: Details) -> bool:
    """Write down why a signal becomes no order."""
    async with database.begin() as tx:
        return await lifecycle.refuse_signal(tx, signal, reason, verdict)


async def refuse_in_conflict(database: Database, signal: Signal, verdict: Details) -> None:
    """Refuse a signal whose claim met another transaction twice; the second such signal in a minute trips (B9)."""
    reason = TripReason.SERIALIZATION_CONFLICT
    async with database.begin() as tx:
        await lifecycle.refuse_signal(tx, signal.signal_id, reason, verdict)  # or the claim did it
        recent = await signals.refused_lately(tx, signal.account_id, signal.mode, reason=reason)
        if recent > 1:
            context = {"signal_id": signal.signal_id, "signals_in_a_minute": recent}
            await lifecycle.trip_breaker(tx, signal.account_id, signal.mode, reason, context)


async def claim_entry(
    session: LockSession,
    prepared: PreparedOrder,
    *,
    reserved_usdc: Decimal,
    cap_usdc: Decimal,
    evidence: Details,
    book: Book | None,
) -> lifecycle.ClaimAnswer:
    """Claim one entry on the lock session: one statement, one transaction (D18)."""
    return await lifecycle.claim_entry(
        session,
        prepared,
        reserved_usdc=reserved_usdc,
        cap_usdc=cap_usdc,
        evidence=evidence,
        book=_evidence(book),
    )


def _evidence(book: Book | None) -> Details | None:
    return None if book is None else orders.book_evidence(book)


async def claim_exit(
    session: LockSession, prepared: PreparedOrder, *, evidence: Details, book: Book | None
) -> lifecycle.ClaimAnswer:
    """Claim one exit on the lock session."""
    return await lifecycle.claim_exit(session, prepared, evidence=evidence, book=_evidence(book))


async def claim_redeem(
    session: LockSession,
    due: Redeemable,
    *,
    redemption: RedemptionId,
    cash_before_usdc: Decimal | None,
) -> lifecycle.RedeemAnswer:
    """Claim one redemption on the lock session."""
    return await lifecycle.claim_redeem(
        session,
        due.account_id,
        due.mode,
        due.window_id,
        redemption=redemption,
        attempt=due.attempts + 1,
        cash_before_usdc=cash_before_usdc,
    )


async def record_answer(
    database: Database, order: OrderId, event: OrderEvent, details: Details
) -> OrderState:
    """Record what a send taught us; repeating it changes nothing."""
    async with database.begin() as tx:
        return await lifecycle.record_outcome(tx, order, event, details)


async def record_trades(database: Database, trades: tuple[VenueTrade, ...], source: str) -> list[TradeChange]:
    """Record trades of one order in one transaction; repeats change nothing."""
    async with database.begin() as tx:
        return [await lifecycle.apply_trade(tx, trade, source) for trade in trades]


async def record_redemption(
    database: Database, redemption: RedemptionId, event: RedemptionEvent, details: Details
) -> None:
    """Record how far a redemption has come."""
    async with database.begin() as tx:
        await lifecycle.record_redemption(tx, redemption, event, details)


async def record_evidence(
    database: Database, order: OrderId, *, event: OrderEvent | None, source: str, details: Details
) -> OrderState:
    """Keep what the venue shows of an order, and move it where that proves something."""
    proves = "NOTHING" if event is None else "PLACED"
    async with database.begin() as tx:
        return await lifecycle.apply_order_evidence(
            tx, order, kind="READING", proves=proves, source=source, event=event, details=details
        )


async def trip(
    database: Database, account: AccountId, mode: Mode, reason: TripReason, context: Details
) -> None:
    """Open the breaker of an account and mode."""
    async with database.begin() as tx:
        await lifecycle.trip_breaker(tx, account, mode, reason, context)


async def alert(
    database: Database, *, kind: str, key: str, account: AccountId, mode: Mode, details: Details
) -> None:
    """Tell a person, once while the cause lasts."""
    async with database.begin() as tx:
        await lifecycle.raise_alert(
            tx, severity="WARNING", kind=kind, dedup_key=key, account=account, mode=mode, details=details
        )


async def beat(database: Database, *, instance: str, healthy: bool, details: Details) -> None:
    """Say that execution lives."""
    async with database.begin() as tx:
        await lifecycle.beat(tx, service="execution", instance=instance, healthy=healthy, details=details)


async def fee_of_order(database: Database, order: OrderId) -> FeeSchedule | None:
    """Return the fee of an order's market; None when the Book never wrote that order."""
    return await database.retry_read(lambda tx: orders.fee_of(tx, order))


async def open_stories(database: Database) -> list[OpenStory]:
    """Return the orders the venue still has to explain."""
    return await database.retry_read(orders.open_stories)


async def compare_dry_runs(database: Database) -> int:
    """Set each finished dry run beside what happened; returns how many were new."""
    async with database.begin() as tx:
        return await dry_runs.compare(tx)


async def exits_due(database: Database) -> list[ExitDue]:
    """Return the triggered positions of windows that still trade."""
    return await database.retry_read(exits.exits_due)


async def redeemable(database: Database) -> list[Redeemable]:
    """Return what waits to be redeemed."""
    return await database.retry_read(redemptions.redeemable)


async def pending_redemptions(database: Database) -> list[PendingRedemption]:
    """Return the redemptions under way."""
    return await database.retry_read(redemptions.pending)


async def markets_due(database: Database, *, older_than_s: int) -> list[venue_facts.MarketDue]:
    """Return the windows whose market row is to be read again."""
    return await database.retry_read(lambda tx: venue_facts.markets_due(tx, older_than_s=older_than_s))


async def store_market(
    database: Database, window: WindowId, facts: MarketFacts, *, neg_risk: bool, age_s: Decimal
) -> None:
    """Keep a market row as just read."""
    async with database.begin() as tx:
        await venue_facts.store_market(tx, window, facts, neg_risk=neg_risk, age_s=age_s)


async def store_balances(
    database: Database,
    account: AccountId,
    mode: Mode,
    *,
    usdc: Decimal,
    tokens: Mapping[TokenId, Decimal],
    age_s: Decimal,
) -> None:
    """Keep what the venue says we hold."""
    async with database.begin() as tx:
        await venue_facts.store_balance(tx, account, mode, asset="USDC", balance=usdc, age_s=age_s)
        for token, balance in sorted(tokens.items()):
            await venue_facts.store_balance(tx, account, mode, asset=token, balance=balance, age_s=age_s)


async def store_clock(database: Database, source: str, *, offset_ms: Decimal) -> None:
    """Keep a clock's offset."""
    async with database.begin() as tx:
        await venue_facts.store_clock(tx, source, offset_ms=offset_ms)


async def database_now(database: Database) -> datetime:
    """Return Postgres's clock."""
    return await database.retry_read(venue_facts.database_now)


async def held_tokens(database: Database, account: AccountId, mode: Mode) -> list[TokenId]:
    """Return the tokens whose balances are worth reading."""
    return await database.retry_read(lambda tx: orders.held_tokens(tx, account, mode))


async def accounts(database: Database) -> list[status.AccountRow]:
    """Return every account."""
    return await database.retry_read(status.accounts)


async def gates(database: Database, mode: Mode) -> list[status.GateRow]:
    """Return the gate of every account in a mode."""
    return await database.retry_read(lambda tx: status.gates(tx, mode))


async def open_modes(database: Database) -> set[Mode]:
    """Return the modes that have rows whose story is not over."""
    return await database.retry_read(status.open_modes)


async def primary_feed_age_s(database: Database) -> Decimal | None:
    """Return the seconds since the primary feed was last heard, the freshest symbol's."""
    return await database.retry_read(status.primary_feed_age_s)


async def resting_orders(database: Database) -> list[Resting]:
    """Return the orders that rest or are being cancelled."""
    return await database.retry_read(resting.resting)


async def claim_cancel(session: LockSession, order: OrderId, reason: str) -> str | None:
    """Write a cancel down before it is sent; returns why not (E16)."""
    return await resting.claim_cancel(session, order, reason)


async def record_cancel(
    database: Database, order: OrderId, answer: CancelAnswer, details: Details
) -> OrderState:
    """Record the answer to a cancel."""
    async with database.begin() as tx:
        return await resting.record_cancel(tx, order, answer, details)


async def record_end(database: Database, order: OrderId, event: OrderEvent, details: Details) -> OrderState:
    """Record what the order's own reading at the venue proves of one that rested."""
    proves = "PLACED" if event in {OrderEvent.RESTS, OrderEvent.DELAYED} else "TERMINAL"
    async with database.begin() as tx:
        return await lifecycle.apply_order_evidence(
            tx, order, kind="ORDER_READ", proves=proves, source="execution", event=event, details=details
        )


async def dead_men(database: Database, accounts: list[AccountId]) -> list[DeadMan]:
    """Return the dead-man switch of each of these accounts, and whether anything rests under it."""
    return await database.retry_read(lambda tx: resting.dead_men(tx, accounts))


async def keep_heartbeat(
    database: Database, account: AccountId, *, heartbeat_id: str, accepted: bool, armed: bool
) -> None:
    """Keep what the venue expects of the next heartbeat, for whoever leads then."""
    async with database.begin() as tx:
        await resting.keep_heartbeat(tx, account, heartbeat_id=heartbeat_id, accepted=accepted, armed=armed)


async def preflight_facts(
    database: Database, accounts: list[AccountId]
) -> tuple[TokenId | None, dict[AccountId, Decimal], list[MeasuredClock]]:
    """Return a token to ask about, what a position of each account may cost, USDC, and the clocks as measured."""

    async def read(tx: Tx) -> tuple[TokenId | None, dict[AccountId, Decimal], list[MeasuredClock]]:
        caps = {account: await preflight.position_cap_usdc(tx, account) for account in accounts}
        return await preflight.any_token(tx), caps, await preflight.measured_clocks(tx)

    return await database.retry_read(read)
