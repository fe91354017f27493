"""Reads that only signal_engine needs: one fresh view of everything a strategy may see."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

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

_KNOWN_FEEDS = frozenset(source.value for source in Source)
"""A later collector may record more."""
SAMPLES_SPAN = timedelta(minutes=4)
"""No older price is shown to a strategy."""


async def read_situation(tx: Tx, accounts: Collection[AccountId]) -> Situation | None:
    """Return what there is to be asked about now; None while no window is open."""
    statement = text(
        f"""SELECT {COLUMNS}, clock_timestamp() AS now, coalesce(
          (SELECT offset_ms FROM venue_clock WHERE source = 'clob'),
          (SELECT offset_ms FROM feed_status WHERE feed = 'polymarket' AND symbol = '*'), 0) AS offset_ms
        FROM windows WHERE state = 'OPEN' AND closes_at > clock_timestamp() ORDER BY closes_at"""  # noqa: S608
    )
    rows = (await tx.execute(statement)).all()
    if not rows:
        return None
    windows = tuple(to_window(row) for row in rows)
    found = await _surroundings(tx, [window.window_id for window in windows], accounts)
    controls, unreadable = _controls(found.controls, accounts)
    return Situation(
        now=rows[0].now,
        venue_offset=milliseconds(rows[0].offset_ms),
        windows=windows,
        feeds=tuple(
            FeedNow(Source(feed), Instrument(symbol), _moment(at)) for feed, symbol, at in found.feeds
        ),
        past=_past(found.past),
        controls=controls,
        unreadable=unreadable,
        enabled=frozenset(InstanceId(name) for name in found.enabled),
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
    points = await ticks.list_recent(tx, wanted, since=now - SAMPLES_SPAN)
    prices = {
        key: tuple(PricePoint(point.price, point.source_at, point.received_at) for point in found)
        for key, found in points.items()
    }
    return Market(await books.find(tx, tokens), prices)


async def _surroundings(tx: Tx, windows: Sequence[WindowId], accounts: Collection[AccountId]) -> Any:
    """Return feeds, past signals, controls and enabled instances in one round trip: this read is what latency is made of.

    Text, times and whole numbers only: JSON would make binary floats of money.
    """
    statement = text(
        """SELECT
          (SELECT coalesce(jsonb_agg(jsonb_build_array(feed, symbol, last_received_at)), '[]') FROM feed_status) AS feeds,
          (SELECT coalesce(jsonb_agg(jsonb_build_array(account_id, mode, strategy_id, window_id, ordinal, state, refusal,
            decided_at)), '[]') FROM signals WHERE window_id = ANY(:windows) AND account_id = ANY(:accounts)) AS past,
          (SELECT coalesce(jsonb_agg(jsonb_build_array(account_id, key, value)), '[]') FROM runtime_controls
            WHERE account_id = ANY(:accounts)) AS controls,
          (SELECT coalesce(jsonb_agg(instance_id), '[]') FROM strategy_instances
            WHERE enabled AND account_id = ANY(:accounts)) AS enabled"""
    )
    return (await tx.execute(statement, {"windows": list(windows), "accounts": sorted(accounts)})).one()


def _past(rows: Sequence[Sequence[Any]]) -> dict[SignalKey, tuple[PastSignal, ...]]:
    past: dict[SignalKey, list[PastSignal]] = defaultdict(list)
    for account, mode, strategy, window, ordinal, state, refusal, decided_at in rows:
        key = (AccountId(account), Mode(mode), StrategyId(strategy), WindowId(window))
        past[key].append(PastSignal(ordinal, SignalState(state), refusal, _moment(decided_at)))
    return {key: tuple(made) for key, made in past.items()}


def _controls(
    rows: Sequence[Sequence[str]], accounts: Collection[AccountId]
) -> tuple[dict[AccountId, Controls], dict[AccountId, str]]:
    """Return the controls of each account, and of those that cannot be read why."""
    values: dict[AccountId, dict[str, str]] = {account: {} for account in accounts}
    for account, key, value in rows:
        values[AccountId(account)][key] = value
    controls: dict[AccountId, Controls] = {}
    unreadable: dict[AccountId, str] = {}
    for name, given in values.items():
        try:
            controls[name] = parse_controls(given)
        except ControlInvalid as invalid:
            unreadable[name] = str(invalid)
    return controls, unreadable


def _moment(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


async def list_missing(tx: Tx, accounts: Collection[AccountId]) -> list[AccountId]:
    """Return those of these accounts that are not in the Book."""
    rows = await tx.execute(
        text("SELECT account_id FROM accounts WHERE account_id = ANY(:accounts)"),
        {"accounts": sorted(accounts)},
    )
    return sorted(set(accounts) - {AccountId(row.account_id) for row in rows})
