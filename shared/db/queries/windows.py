"""The windows table: what the venue lists, and where each window stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from sqlalchemy import text

from shared.db.engine import Tx
from shared.db.queries.rows import read_fee
from shared.domain.ids import ConditionId, Instrument, TokenId, WindowId
from shared.domain.windows import SettlementRule, Window, WindowState

COLUMNS = """window_id, instrument, series, interval_s, condition_id, up_token, down_token, opens_at, closes_at, state, rule,
    lookback_s, tick, min_size, fee_rate, fee_exponent, fee_taker_only, neg_risk, version, accepting, strike"""
"""What ``to_window`` needs of a row."""


class Told(Protocol):
    """What a source says of a window's end, whoever asked it; payouts in USDC per share."""

    @property
    def source(self) -> str: ...
    @property
    def payout_up(self) -> Decimal: ...
    @property
    def payout_down(self) -> Decimal: ...
    @property
    def resolved_at(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class ResolutionRow:
    """What one source said of a window's end, USDC per share."""

    source: str
    payout_up: Decimal
    payout_down: Decimal
    resolved_at: datetime | None


def to_window(row: Any, *, state: str | None = None) -> Window:
    """Return the domain value of a row that has COLUMNS; ``state`` where the row calls the window's own otherwise."""
    return Window(
        window_id=WindowId(row.window_id),
        instrument=Instrument(row.instrument),
        series=row.series,
        interval_s=row.interval_s,
        opens_at=row.opens_at,
        closes_at=row.closes_at,
        state=WindowState(row.state if state is None else state),
        rule=SettlementRule(row.rule),
        lookback_s=row.lookback_s,
        condition_id=None if row.condition_id is None else ConditionId(row.condition_id),
        up_token=None if row.up_token is None else TokenId(row.up_token),
        down_token=None if row.down_token is None else TokenId(row.down_token),
        tick=row.tick,
        min_size=row.min_size,
        fee=read_fee(row.fee_rate, row.fee_exponent, taker_only=row.fee_taker_only),
        neg_risk=row.neg_risk,
        version=row.version,
        accepting=row.accepting,
        strike=row.strike,
    )


async def find(tx: Tx, window_ids: Sequence[WindowId]) -> list[Window]:
    """Return those of these windows that are in the Book."""
    statement = text(f"SELECT {COLUMNS} FROM windows WHERE window_id = ANY(:ids)")  # noqa: S608 our own constant
    return [to_window(row) for row in await tx.execute(statement, {"ids": list(window_ids)})]


async def list_current(tx: Tx, *, opening_before: datetime, closed_after: datetime) -> list[Window]:
    """Return the windows that are still to be opened or closed, and those just closed, soonest close first.

    One that never got its ids is left out once it is over: it can never open.
    """
    statement = text(
        f"""SELECT {COLUMNS} FROM windows
        WHERE (state = 'OPEN' OR (state = 'DISCOVERED' AND opens_at <= :opening_before
            AND (closes_at > :closed_after OR num_nulls(condition_id, up_token, down_token) = 0))
          OR (state = 'CLOSED' AND closes_at > :closed_after))
        ORDER BY closes_at, window_id"""  # noqa: S608 our own constant
    )
    rows = await tx.execute(statement, {"opening_before": opening_before, "closed_after": closed_after})
    return [to_window(row) for row in rows]


async def list_unresolved(tx: Tx, *, closed_after: datetime, sources: int) -> list[Window]:
    """Return the windows that are over, not settled, and of whose end fewer than ``sources`` have told; oldest first."""
    statement = text(
        f"""SELECT {COLUMNS} FROM windows w WHERE state IN ('CLOSED', 'UNRESOLVED') AND closes_at > :closed_after
          AND (SELECT count(*) FROM window_resolutions r WHERE r.window_id = w.window_id) < :sources
        ORDER BY closes_at, window_id"""  # noqa: S608 our own constant
    )
    rows = await tx.execute(statement, {"closed_after": closed_after, "sources": sources})
    return [to_window(row) for row in rows]


async def insert_once(tx: Tx, window: Window) -> bool:
    """Insert a window as DISCOVERED; False when it is there already."""
    statement = text(
        """INSERT INTO windows (window_id, instrument, series, interval_s, condition_id, up_token, down_token, opens_at,
          closes_at, rule, lookback_s, tick, min_size, fee_rate, fee_exponent, fee_taker_only, neg_risk, version, accepting)
        VALUES (:window_id, :instrument, :series, :interval_s, :condition_id, :up_token, :down_token, :opens_at,
          :closes_at, :rule, :lookback_s, :tick, :min_size, :fee_rate, :fee_exponent, :fee_taker_only, :neg_risk, :version,
          :accepting)
        ON CONFLICT (window_id) DO NOTHING RETURNING window_id"""
    )
    return (await tx.execute(statement, _parameters(window))).one_or_none() is not None


async def update_listing(tx: Tx, window: Window, *, expected: WindowState) -> bool:
    """Overwrite what the venue says of a window that is still in ``expected``; False when it is not.

    Strike, state and result are not touched; ids are, so the caller has judged them.
    """
    statement = text(
        """UPDATE windows SET condition_id = :condition_id, up_token = :up_token, down_token = :down_token,
          opens_at = :opens_at, closes_at = :closes_at, interval_s = :interval_s, rule = :rule, lookback_s = :lookback_s,
          tick = :tick, min_size = :min_size, fee_rate = :fee_rate, fee_exponent = :fee_exponent,
          fee_taker_only = :fee_taker_only, neg_risk = :neg_risk, version = :version, accepting = :accepting,
          changed_at = clock_timestamp()
        WHERE window_id = :window_id AND state = :expected RETURNING window_id"""
    )
    result = await tx.execute(statement, {**_parameters(window), "expected": expected})
    return result.one_or_none() is not None


async def stop_accepting_if(tx: Tx, window_id: WindowId) -> bool:
    """Say that a window takes no orders; False when the Book said so already."""
    statement = text(
        """UPDATE windows SET accepting = false, changed_at = clock_timestamp()
        WHERE window_id = :id AND accepting RETURNING window_id"""
    )
    return (await tx.execute(statement, {"id": window_id})).one_or_none() is not None


async def set_state_if(tx: Tx, window_id: WindowId, *, expected: WindowState, new: WindowState) -> bool:
    """Move one window if it is still in ``expected``; False when someone moved it first.

    The schema refuses one whose ids are missing.
    """
    statement = text(
        """UPDATE windows SET state = :new, changed_at = clock_timestamp()
        WHERE window_id = :id AND state = :expected RETURNING window_id"""
    )
    result = await tx.execute(statement, {"id": window_id, "expected": expected, "new": new})
    return result.one_or_none() is not None


async def set_strike_if(tx: Tx, window_id: WindowId, *, strike: Decimal, source: str) -> bool:
    """Write the price to beat, USD; the venue's word replaces ours, and nothing replaces the venue's.

    False when nothing changed.
    """
    statement = text(
        """UPDATE windows SET strike = :strike, strike_source = :source, changed_at = clock_timestamp()
        WHERE window_id = :id AND strike_source IS DISTINCT FROM 'venue' AND (strike IS NULL OR :source = 'venue')
        RETURNING window_id"""
    )
    result = await tx.execute(statement, {"id": window_id, "strike": strike, "source": source})
    return result.one_or_none() is not None


async def list_without_venue_strike(tx: Tx) -> list[WindowId]:
    """Return the windows that are under way or just over, and whose price to beat is not the venue's yet."""
    statement = text(
        """SELECT window_id FROM windows WHERE state IN ('OPEN', 'CLOSED') AND strike_source IS DISTINCT FROM 'venue'
          AND closes_at > now() - interval '10 minutes' ORDER BY opens_at"""
    )
    return [WindowId(row.window_id) for row in await tx.execute(statement)]


async def insert_resolution_once(tx: Tx, window_id: WindowId, said: Told) -> bool:
    """Record what a source said of a window's end, the first time it says it."""
    statement = text(
        """INSERT INTO window_resolutions (window_id, source, payout_up, payout_down, resolved_at)
        VALUES (:id, :source, :up, :down, :at) ON CONFLICT (window_id, source) DO NOTHING RETURNING source"""
    )
    parameters = {
        "id": window_id,
        "source": said.source,
        "up": said.payout_up,
        "down": said.payout_down,
        "at": said.resolved_at,
    }
    return (await tx.execute(statement, parameters)).one_or_none() is not None


async def list_resolutions(tx: Tx, window_id: WindowId) -> list[ResolutionRow]:
    """Return what each source has said of a window's end."""
    statement = text(
        """SELECT source, payout_up, payout_down, resolved_at FROM window_resolutions WHERE window_id = :id
        ORDER BY read_at, source"""
    )
    rows = await tx.execute(statement, {"id": window_id})
    return [ResolutionRow(row.source, row.payout_up, row.payout_down, row.resolved_at) for row in rows]


async def taint(tx: Tx, *, instrument: Instrument, since: datetime) -> int:
    """Mark the windows of an instrument that ran during a gap that began at ``since``; returns how many."""
    statement = text(
        """UPDATE windows SET tainted = true WHERE instrument = :instrument AND NOT tainted
          AND opens_at <= clock_timestamp() AND closes_at > :since"""
    )
    return int((await tx.execute(statement, {"instrument": instrument, "since": since})).rowcount)


def _parameters(window: Window) -> dict[str, Any]:
    fee = window.fee
    return {
        "window_id": window.window_id,
        "instrument": window.instrument,
        "series": window.series,
        "interval_s": window.interval_s,
        "condition_id": window.condition_id,
        "up_token": window.up_token,
        "down_token": window.down_token,
        "opens_at": window.opens_at,
        "closes_at": window.closes_at,
        "rule": window.rule,
        "lookback_s": window.lookback_s,
        "tick": window.tick,
        "min_size": window.min_size,
        "fee_rate": None if fee is None else fee.rate,
        "fee_exponent": None if fee is None else fee.exponent,
        "fee_taker_only": None if fee is None else fee.taker_only,
        "neg_risk": window.neg_risk,
        "version": window.version,
        "accepting": window.accepting,
    }
