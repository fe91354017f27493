"""Silences in price_ticks: what is not there."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from shared.db.engine import Tx
from shared.domain.ids import Instrument
from shared.domain.ticks import Source


@dataclass(frozen=True, slots=True)
class Hole:
    """A silence of one feed of one instrument between two ticks; ``until`` None: nothing came since."""

    feed: Source
    instrument: Instrument
    since: datetime
    until: datetime | None


async def list_recorded(tx: Tx) -> list[tuple[Source, Instrument]]:
    """Return the feeds that ever spoke and should never be silent: a book may be, its gaps are the collector's word."""
    statement = text(
        "SELECT feed, symbol FROM feed_status WHERE symbol <> '*' AND feed <> :book ORDER BY 1, 2"
    )
    rows = await tx.execute(statement, {"book": Source.POLYMARKET.value})
    return [(Source(row.feed), Instrument(row.symbol)) for row in rows]


async def list_holes(
    tx: Tx, feed: Source, instrument: Instrument, *, since: datetime, until: datetime, longer_than: timedelta
) -> list[Hole]:
    """Return every silence over ``longer_than`` that lasts into [since, until), oldest first.

    It walks the index from each tick to the last one within ``longer_than``: a day is at most a few thousand probes,
    however many ticks it has. What was recorded before ``since`` and fell silent counts; what never began does not.
    """
    statement = text(
        """WITH RECURSIVE walk AS (
          SELECT begun.at, NULL::timestamptz AS silent_since FROM (SELECT coalesce(
            (SELECT timestamp FROM price_ticks WHERE symbol = :symbol AND source = :feed AND timestamp <= :since
             ORDER BY timestamp DESC LIMIT 1),
            (SELECT timestamp FROM price_ticks WHERE symbol = :symbol AND source = :feed AND timestamp > :since
             AND timestamp < :until ORDER BY timestamp LIMIT 1)) AS at) begun WHERE begun.at IS NOT NULL
          UNION ALL
          SELECT next.at, CASE WHEN next.is_near THEN NULL ELSE walk.at END FROM walk CROSS JOIN LATERAL (
            SELECT coalesce(near.at, far.at) AS at, near.at IS NOT NULL AS is_near FROM (VALUES (1)) one
            LEFT JOIN LATERAL (SELECT timestamp AS at FROM price_ticks WHERE symbol = :symbol AND source = :feed
              AND timestamp > walk.at AND timestamp <= walk.at + :longer ORDER BY timestamp DESC LIMIT 1) near ON true
            LEFT JOIN LATERAL (SELECT timestamp AS at FROM price_ticks WHERE near.at IS NULL AND symbol = :symbol
              AND source = :feed AND timestamp > walk.at AND timestamp < :until ORDER BY timestamp LIMIT 1) far ON true) next
          WHERE walk.at IS NOT NULL AND walk.at + :longer < :until)
        SELECT silent_since, at FROM walk WHERE silent_since IS NOT NULL AND (at IS NULL OR at > :since) ORDER BY 1"""
    )
    parameters = {
        "feed": feed.value,
        "symbol": instrument,
        "since": since,
        "until": until,
        "longer": longer_than,
    }
    rows = await tx.execute(statement, parameters)
    return [Hole(feed, instrument, row.silent_since, row.at) for row in rows]
