"""The gate's facts, in one statement: what execution reads before it decides on an entry (E10).

It is read on the lock session: no pool is waited for (B4), and its plan, which costs eight times what running it does,
is made once a session.
"""

from functools import lru_cache
from itertools import starmap

import msgspec
import psycopg
from sqlalchemy import text

from shared.db.engine import Tx
from shared.db.lock import LockSession
from shared.db.queries import lifecycle
from shared.db.queries.gate_facts import GATE_READ, FactsRow, read_facts
from shared.db.queries.rows import milliseconds, read_fee, read_risk
from shared.db.queries.windows import to_window
from shared.domain.books import Book, Level
from shared.domain.controls import ControlInvalid, Controls, parse_controls
from shared.domain.facts import (
    BalanceFacts,
    BookFacts,
    CounterFacts,
    DeadmanFacts,
    GuardFacts,
    HistoryFacts,
    LossFacts,
    MarketFacts,
)
from shared.domain.ids import (
    AccountId,
    InstanceId,
    Instrument,
    SignalId,
    StrategyId,
    TokenId,
    WindowId,
)
from shared.domain.readings import GateRead
from shared.domain.signals import Signal


async def new_signals(tx: Tx) -> list[SignalId]:
    """Return the signals nobody has decided yet, oldest first."""
    statement = text("SELECT signal_id FROM signals WHERE state = 'NEW' ORDER BY created_at LIMIT 100")
    return [SignalId(row.signal_id) for row in await tx.execute(statement)]


class FactsUnreadable(Exception):
    """What the Book holds of a signal has not the form it must have: somebody wrote what we do not understand."""


async def gate_read(session: LockSession, signal: SignalId) -> GateRead | None:
    """Return the facts of one signal's gate as of now.

    None when there is no such signal, or when the Book could not be read within a second: nothing is decided then (P3).

    Raises:
        LockLost: the session is gone.
        FactsUnreadable: reading it again would bring the same.
    """
    try:
        found = await session.ask(GATE_READ, signal)
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable):
        return None
    if found is None:
        return None
    try:
        return _read(read_facts(found), epoch=session.epoch)
    except (msgspec.ValidationError, ValueError) as error:
        raise FactsUnreadable(str(error)) from error


def _read(row: FactsRow, *, epoch: int) -> GateRead:
    book = _book(row)
    return GateRead(
        now=row.now,
        created_at=row.created_at,
        signal=_signal(row),
        signal_state=row.signal_state,
        window=to_window(row, state=row.window_state),
        guard=GuardFacts(
            leader=row.epoch == epoch,
            reconciled=row.reconciled_at is not None,
            breaker=row.breaker,
            kill_switch=row.kill_switch,
            halted=row.halted,
        ),
        mode_control=row.mode_ceiling,
        controls=_controls(frozenset((row.controls or {}).items())),
        venue_offset=None if row.venue_offset_ms is None else milliseconds(row.venue_offset_ms),
        primary_feed_at=row.primary_at,
        book=book,
        book_facts=None
        if book is None
        else BookFacts(
            continuous=book.continuous,
            received_at=max(book.received_at, row.book_feed_at or book.received_at),
            best_ask=book.best_ask,
        ),
        market=_market(row),
        history=HistoryFacts(row.last_entry_at, row.last_opposite_at, row.last_trade_at),
        counters=_counters(row),
        losses=_losses(row),
        cash_usdc=row.cash,
        venue_balance=_balance(row),
        deadman=DeadmanFacts(resting=row.resting, beaten_at=row.deadman_at),
        heartbeats=row.heartbeats or {},
    )


async def warm_up(session: LockSession) -> str | None:
    """Have a session plan its gate and its claims before the first of them; nothing of it stays in the Book.

    Returns what went wrong, None when nothing did. Raises LockLost.
    """
    await gate_read(session, SignalId(""))
    try:
        await session.prepare(lifecycle.CLAIM_ENTRY)
        problem: str | None = (await session.call("SELECT warm_claims() AS problem", None))["problem"]
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable) as late:
        return str(late)
    return problem


@lru_cache(maxsize=64)
def _controls(rows: frozenset[tuple[str, str]]) -> Controls | None:
    """Return what rows mean: read for every signal, worked out once for the same texts."""
    try:
        return parse_controls(dict(rows))
    except ControlInvalid:
        return None  # what cannot be read closes the gate (P3)


def _book(row: FactsRow) -> Book | None:
    if row.bids is None or row.asks is None or row.source_at is None or row.received_at is None:
        return None
    return Book(
        TokenId(row.token_id),
        tuple(starmap(Level, row.bids)),
        tuple(starmap(Level, row.asks)),
        row.source_at,
        row.received_at,
        bool(row.continuous),
    )


def _signal(row: FactsRow) -> Signal:
    return Signal(
        signal_id=SignalId(row.signal_id),
        account_id=AccountId(row.account_id),
        mode=row.mode,
        strategy_id=StrategyId(row.strategy_id),
        instance_id=InstanceId(row.instance_id),
        window_id=WindowId(row.window_id),
        instrument=Instrument(row.instrument),
        side=row.side,
        token_id=TokenId(row.token_id),
        price=row.price,
        amount_usdc=row.amount_usdc,
        confidence=row.confidence,
        made_at=row.made_at,
        expires_at=row.expires_at,
        risk=read_risk(row.risk),
        evidence=row.evidence,
    )


def _market(row: FactsRow) -> MarketFacts | None:
    fee = read_fee(row.m_fee_rate, row.m_fee_exponent, taker_only=row.m_fee_taker_only)
    if (  # one row, there or not
        row.m_read_at is None
        or row.m_accepting is None
        or row.m_tick is None
        or row.m_min_size is None
        or row.m_version is None
        or row.m_up_token is None
        or row.m_down_token is None
        or fee is None
    ):
        return None
    return MarketFacts(
        read_at=row.m_read_at,
        accepting=row.m_accepting,
        tick=row.m_tick,
        min_size=row.m_min_size,
        fee=fee,
        version=row.m_version,
        up_token=TokenId(row.m_up_token),
        down_token=TokenId(row.m_down_token),
    )


def _counters(row: FactsRow) -> CounterFacts | None:
    if row.open_count is None or row.exposure_usdc is None or row.cash is None:
        return None
    return CounterFacts(
        entered=row.entered,
        window_blocked=row.window_blocked,
        window_orders=row.window_orders,
        position_exists=row.position_exists,
        open_positions=row.open_count,
        exposure_usdc=row.exposure_usdc,
        instrument_usdc=row.instrument_usdc,
        deployed_usdc=row.exposure_usdc,
        held_usdc=row.held_usdc,
        free_capital_usdc=row.cash,
    )


def _balance(row: FactsRow) -> BalanceFacts | None:
    if row.venue_usdc is None or row.venue_read_at is None:
        return None
    return BalanceFacts(row.venue_usdc, row.venue_read_at)


def _losses(row: FactsRow) -> LossFacts | None:
    if row.equity is None:
        return None
    return LossFacts(
        session_pnl_usdc=row.session_realized + row.unrealized,
        daily_pnl_usdc=row.day_realized + row.unrealized,
        day_start_usdc=row.equity - row.day_realized,
        strategy_stop_usdc=row.strategy_stop,
    )
