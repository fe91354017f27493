"""Windows as they were recorded: what a backtest begins with (S5, FM13, FM14).

Every window of a span is listed, whatever became of its recording: one that a silence fell into is marked with the
silences, never left out. Whoever leaves one out has to say so, and why (D23).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from shared.db.engine import Tx
from shared.db.queries.books import SnapshotRow
from shared.db.queries.feeds import Gap
from shared.db.queries.windows import COLUMNS, to_window
from shared.domain.ids import Instrument, TokenId
from shared.domain.ticks import Source
from shared.domain.windows import Window


@dataclass(frozen=True, slots=True)
class RecordedWindow:
    """A window that is over; payouts in USDC per share, None while the venue has not spoken."""

    window: Window
    payout_up: Decimal | None
    payout_down: Decimal | None
    is_tainted: bool
    gaps: Sequence[Gap]
    """The silences of its instrument's feeds that reach into it, oldest first: why it is tainted."""
    completeness: Mapping[Source, tuple[int, int]]
    """Received and expected by feed; empty where nobody counted."""


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """A line of a book's history; ``serial`` orders those of one moment."""

    serial: int
    row: SnapshotRow

    @property
    def place(self) -> tuple[datetime, int]:
        """Return where it stands in the order of all lines."""
        return (self.row.at, self.serial)


async def list_over(
    tx: Tx, *, since: datetime, until: datetime, instrument: Instrument | None = None
) -> list[RecordedWindow]:
    """Return every window that opened at or after ``since`` and was over by ``until``, by its opening."""
    wanted = "" if instrument is None else "AND w.instrument = :symbol"
    statement = text(
        f"""SELECT {COLUMNS}, payout_up, payout_down, tainted, gaps, counted FROM windows w
        CROSS JOIN LATERAL (SELECT coalesce(jsonb_agg(jsonb_build_array(feed, started_at, ended_at) ORDER BY started_at, id), '[]') AS gaps
          FROM feed_gaps g WHERE g.symbol = w.instrument AND g.started_at < w.closes_at
            AND coalesce(g.ended_at, 'infinity') > w.opens_at) g
        CROSS JOIN LATERAL (SELECT coalesce(jsonb_object_agg(feed, jsonb_build_array(received, expected)), '{{}}') AS counted
          FROM feed_completeness c WHERE c.window_id = w.window_id) c
        WHERE w.opens_at >= :since AND w.closes_at <= :until {wanted} ORDER BY w.opens_at, w.window_id"""  # noqa: S608 our own constants
    )
    parameters: dict[str, Any] = {"since": since, "until": until}
    if instrument is not None:
        parameters["symbol"] = instrument
    return [_recorded(row) for row in await tx.execute(statement, parameters)]


async def page_snapshots(
    tx: Tx,
    tokens: Sequence[TokenId],
    *,
    instrument: Instrument,
    after: tuple[datetime, int],
    until: datetime,
    limit: int,
) -> list[StoredSnapshot]:
    """Return the next lines of these tokens' books in time order, beyond ``after`` and before ``until``."""
    statement = text(
        """SELECT id, timestamp, symbol, token_id, best_bid, best_ask, spread, mid_price, bid_depth_100, ask_depth_100,
          bid_depth_500, ask_depth_500 FROM order_book_snapshots
        WHERE symbol = :symbol AND token_id = ANY (:tokens) AND timestamp >= :at AND (timestamp, id) > (:at, :serial)
          AND timestamp < :until
        ORDER BY timestamp, id LIMIT :limit"""
    )
    parameters = {
        "symbol": instrument,
        "tokens": list(tokens),
        "at": after[0],
        "serial": after[1],
        "until": until,
        "limit": limit,
    }
    return [
        StoredSnapshot(
            row.id,
            SnapshotRow(
                at=row.timestamp,
                instrument=Instrument(row.symbol),
                token_id=TokenId(row.token_id),
                best_bid=row.best_bid,
                best_ask=row.best_ask,
                spread=row.spread,
                mid=row.mid_price,
                bid_depth_100=row.bid_depth_100,
                ask_depth_100=row.ask_depth_100,
                bid_depth_500=row.bid_depth_500,
                ask_depth_500=row.ask_depth_500,
            ),
        )
        for row in await tx.execute(statement, parameters)
    ]


def _recorded(row: Any) -> RecordedWindow:
    window = to_window(row)
    return RecordedWindow(
        window=window,
        payout_up=row.payout_up,
        payout_down=row.payout_down,
        is_tainted=row.tainted,
        gaps=tuple(
            Gap(
                Source(feed),
                window.instrument,
                datetime.fromisoformat(started_at),
                None if ended_at is None else datetime.fromisoformat(ended_at),
            )
            for feed, started_at, ended_at in row.gaps
        ),
        completeness={
            Source(feed): (received, expected) for feed, (received, expected) in row.counted.items()
        },
    )
