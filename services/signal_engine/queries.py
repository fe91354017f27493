"""Reads that only signal_engine needs: one fresh view of everything a strategy may see."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import text

from services.signal_engine.decide import (
    FeedNow,
    Market,
    PastSignal,
    Question,
    SignalKey,
    Situation,
    prices_wanted,
)
from shared.db.engine import Tx
from shared.db.queries import books, ticks
from shared.db.queries.rows import milliseconds
from shared.db.queries.windows import COLUMNS, to_window
from shared.domain.controls import ControlInvalid, Controls, parse_controls
from shared.domain.ids import AccountId, InstanceId, Instrument, StrategyId, WindowId
from shared.domain.modes import Mode
from shared.domain.signals import SignalState
from shared.domain.ticks import Source
from shared.strategies.base import PricePoint

SAMPLES_SPAN = timedelta(minutes=4)
"""No older price is shown to a strategy."""


async def read_situation(tx: Tx, accounts: Collection[AccountId]) -> Situation:
    """Return what there is to be asked about now."""
    clock = (
        await tx.execute(
            text(
                """SELECT clock_timestamp() AS now, coalesce((SELECT offset_ms FROM venue_clock WHERE source = 'clob'),
                  (SELECT offset_ms FROM feed_status WHERE feed = 'polymarket' AND symbol = '*'), 0) AS offset_ms"""
            )
        )
    ).one()
    rows = await tx.execute(
        text(f"SELECT {COLUMNS} FROM windows WHERE state = 'OPEN' AND closes_at > :now ORDER BY closes_at"),  # noqa: S608
        {"now": clock.now},
    )
    windows = tuple(to_window(row) for row in rows)
    if not windows:
        return Situation(clock.now, milliseconds(clock.offset_ms))
    controls, unreadable = await _controls(tx, accounts)
    return Situation(
        now=clock.now,
        venue_offset=milliseconds(clock.offset_ms),
        windows=windows,
        feeds=await _feeds(tx),
        past=await _past(tx, [window.window_id for window in windows], accounts),
        controls=controls,
        unreadable=unreadable,
        enabled=await _enabled(tx, accounts),
    )


async def read_market(tx: Tx, asked: Sequence[Question], now: datetime) -> Market:
    """Return the books and recent prices that these questions are about."""
    tokens = {
        token
        for question in asked
        for token in (question.window.up_token, question.window.down_token)
        if token is not None
    }
    wanted: dict[tuple[Source, Instrument], int] = {}
    for question in asked:
        for source, at_most in prices_wanted(question.window.rule).items():
            key = (source, question.window.instrument)
            wanted[key] = max(wanted.get(key, 0), at_most)
    prices = {
        key: await _prices(tx, *key, since=now - SAMPLES_SPAN, at_most=at_most)
        for key, at_most in wanted.items()
    }
    return Market(await books.find(tx, tokens), prices)


async def _feeds(tx: Tx) -> tuple[FeedNow, ...]:
    rows = await tx.execute(text("SELECT feed, symbol, last_received_at FROM feed_status"))
    return tuple(FeedNow(Source(row.feed), Instrument(row.symbol), row.last_received_at) for row in rows)


async def _past(
    tx: Tx, window_ids: Sequence[WindowId], accounts: Collection[AccountId]
) -> dict[SignalKey, tuple[PastSignal, ...]]:
    rows = await tx.execute(
        text(
            """SELECT account_id, mode, strategy_id, window_id, ordinal, state, refusal, decided_at FROM signals
            WHERE window_id = ANY(:windows) AND account_id = ANY(:accounts)"""
        ),
        {"windows": list(window_ids), "accounts": sorted(accounts)},
    )
    past: dict[SignalKey, list[PastSignal]] = defaultdict(list)
    for row in rows:
        key = (
            AccountId(row.account_id),
            Mode(row.mode),
            StrategyId(row.strategy_id),
            WindowId(row.window_id),
        )
        past[key].append(PastSignal(row.ordinal, SignalState(row.state), row.refusal, row.decided_at))
    return {key: tuple(made) for key, made in past.items()}


async def _controls(
    tx: Tx, accounts: Collection[AccountId]
) -> tuple[dict[AccountId, Controls], dict[AccountId, str]]:
    rows = await tx.execute(
        text("SELECT account_id, key, value FROM runtime_controls WHERE account_id = ANY(:accounts)"),
        {"accounts": sorted(accounts)},
    )
    values: dict[AccountId, dict[str, str]] = {account: {} for account in accounts}
    for row in rows:
        values[AccountId(row.account_id)][row.key] = row.value
    controls: dict[AccountId, Controls] = {}
    unreadable: dict[AccountId, str] = {}
    for account, given in values.items():
        try:
            controls[account] = parse_controls(given)
        except ControlInvalid as invalid:
            unreadable[account] = str(invalid)
    return controls, unreadable


async def _enabled(tx: Tx, accounts: Collection[AccountId]) -> frozenset[InstanceId]:
    rows = await tx.execute(
        text("SELECT instance_id FROM strategy_instances WHERE enabled AND account_id = ANY(:accounts)"),
        {"accounts": sorted(accounts)},
    )
    return frozenset(InstanceId(row.instance_id) for row in rows)


async def _prices(
    tx: Tx, source: Source, instrument: Instrument, *, since: datetime, at_most: int
) -> tuple[PricePoint, ...]:
    points = await ticks.list_recent(tx, instrument, source, since=since, at_most=at_most)
    return tuple(PricePoint(point.price, point.source_at, point.received_at) for point in points)


async def list_missing(tx: Tx, accounts: Collection[AccountId]) -> list[AccountId]:
    """Return those of these accounts that are not in the Book."""
    rows = await tx.execute(
        text("SELECT account_id FROM accounts WHERE account_id = ANY(:accounts)"),
        {"accounts": sorted(accounts)},
    )
    return sorted(set(accounts) - {AccountId(row.account_id) for row in rows})
