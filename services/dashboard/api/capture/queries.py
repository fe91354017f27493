"""The recording and its faults, each part one statement; the tables of ticks are never asked."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from services.dashboard.api.capture.schemas import (
    CaptureScreen,
    ClockScreen,
    FeedScreen,
    GapScreen,
    PoolScreen,
    Settled,
    SnapshotScreen,
    TaintScreen,
    TokenCheck,
    Waiting,
    WindowShare,
)
from shared.db.engine import Tx

WINDOWS_SHOWN = 12

# A beat older than ten seconds says nothing of now. Collectors share the symbols out among them, so each names its own.
_BEATS = """
SELECT details FROM heartbeats WHERE service = 'feed_collector' AND at > clock_timestamp() - interval '10 seconds' ORDER BY at DESC
"""
_FEEDS = """
SELECT f.feed, f.symbol, f.last_price AS price, f.stale_since IS NOT NULL AS stale, f.ticks, f.duplicates, f.out_of_order,
       f.malformed + coalesce(every.malformed, 0) AS malformed,
       round(extract(epoch FROM clock_timestamp() - f.last_received_at)::numeric, 3) AS age_s
  FROM feed_status f LEFT JOIN feed_status every ON every.feed = f.feed AND every.symbol = '*'
 WHERE f.symbol <> '*' ORDER BY f.symbol, f.feed
"""
_SHARES = """
SELECT s.symbol, c.feed, w.window_id, w.tainted, c.received, c.expected
  FROM (SELECT DISTINCT symbol FROM feed_status WHERE symbol <> '*') s
 CROSS JOIN LATERAL (
  SELECT window_id, closes_at, tainted FROM windows x WHERE x.instrument = s.symbol AND x.opens_at > now() - interval '2 days'
     AND EXISTS (SELECT FROM feed_completeness k WHERE k.window_id = x.window_id)
   ORDER BY x.opens_at DESC LIMIT :limit) w
  JOIN feed_completeness c ON c.window_id = w.window_id
 ORDER BY w.closes_at, w.window_id
"""
_GAPS = """
SELECT feed, symbol, started_at, round(extract(epoch FROM clock_timestamp() - started_at)::numeric, 1) AS lasts_s
  FROM feed_gaps WHERE ended_at IS NULL ORDER BY started_at, id LIMIT 10
"""
_GAPS_OF_DAY = """
SELECT count(*) AS gaps, round(max(extract(epoch FROM coalesce(ended_at, clock_timestamp()) - started_at))::numeric, 1) AS longest_s
  FROM feed_gaps WHERE ended_at IS NULL OR ended_at > now() - interval '1 day'
"""
_CLOCKS = """
SELECT source, round(offset_ms, 1) AS offset_ms, round(error_ms, 1) AS error_ms, abs(offset_ms) - error_ms > 1000 AS off,
       round(extract(epoch FROM clock_timestamp() - measured_at)::numeric, 1) AS age_s
  FROM clock_offsets ORDER BY source
"""
_SETTLED = """
SELECT count(*) FILTER (WHERE ours = winner) AS agreed,
       count(*) FILTER (WHERE ours <> winner) AS differed,
       count(*) FILTER (WHERE state = 'RESOLVED' AND our_direction IS NOT NULL AND (ours IS NULL OR winner IS NULL)) AS undecided,
       count(*) FILTER (WHERE state = 'RESOLVED' AND our_direction IS NULL) AS unjudged,
       count(*) FILTER (WHERE state = 'UNRESOLVED') AS unresolved,
       coalesce((array_agg(window_id ORDER BY closes_at DESC) FILTER (WHERE ours <> winner))[1:5], '{}') AS differing
  FROM (SELECT window_id, closes_at, state, our_direction, nullif(our_direction, 'UNDECIDED') AS ours,
               CASE WHEN payout_up = 1 THEN 'UP' WHEN payout_down = 1 THEN 'DOWN' END AS winner
          FROM windows WHERE state = 'UNRESOLVED' OR (state = 'RESOLVED' AND closes_at > now() - interval '1 day')) w
"""
_WITHOUT_IDS = """
SELECT window_id FROM windows WHERE state = 'DISCOVERED' AND num_nulls(condition_id, up_token, down_token) > 0
   AND opens_at < clock_timestamp() + interval '1 minute' AND closes_at > clock_timestamp() ORDER BY opens_at, window_id LIMIT 10
"""
_TOKENS = """
SELECT count(*) AS due,
       count(*) FILTER (WHERE same AND read_at > clock_timestamp() - interval '30 seconds') AS validated,
       coalesce(array_agg(window_id ORDER BY window_id) FILTER (WHERE NOT same), '{}') AS differing,
       round(extract(epoch FROM clock_timestamp() - min(read_at))::numeric, 1) AS oldest_s
  FROM (SELECT w.window_id, m.read_at, (m.up_token, m.down_token) = (w.up_token, w.down_token) AS same
          FROM windows w LEFT JOIN market_facts m USING (window_id)
         WHERE w.state = 'OPEN' AND w.closes_at > clock_timestamp()) w
"""
_OF_DAY = """
SELECT count(*) AS windows, count(*) FILTER (WHERE tainted) AS tainted FROM windows
 WHERE state IN ('OPEN', 'CLOSED', 'UNRESOLVED', 'RESOLVED') AND closes_at > now() - interval '1 day'
"""
_TAINTED_BY = """
SELECT g.feed, count(DISTINCT w.window_id) AS windows
  FROM windows w JOIN feed_gaps g ON g.symbol = w.instrument AND g.started_at < w.closes_at AND coalesce(g.ended_at, 'infinity') > w.opens_at
 WHERE w.tainted AND w.state IN ('OPEN', 'CLOSED', 'UNRESOLVED', 'RESOLVED') AND w.closes_at > now() - interval '1 day'
 GROUP BY g.feed ORDER BY 2 DESC, 1
"""
_PUT_ASIDE = "SELECT count(*) FROM failed_batches WHERE replayed_at IS NULL"
_POOLS = """
SELECT service, instance, (details->>'pool_used')::integer AS used, (details->>'pool_size')::integer AS size FROM heartbeats
 WHERE at > clock_timestamp() - interval '10 seconds' AND details ? 'pool_size' ORDER BY service, instance
"""
_SERVER = """
SELECT sum(numbackends)::integer AS server_used, current_setting('max_connections')::integer AS server_size FROM pg_stat_database
"""


async def read_feeds(tx: Tx) -> list[FeedScreen]:
    """Return every feed of every symbol, and its newest windows."""
    rates = _gathered(await _beats(tx), "per_second")
    shares: dict[tuple[str, str], list[WindowShare]] = {}
    for row in await _rows(tx, _SHARES, limit=WINDOWS_SHOWN):
        share = WindowShare(row["window_id"], row["received"], row["expected"], row["tainted"])
        shares.setdefault((row["feed"], row["symbol"]), []).append(share)
    return [
        FeedScreen(
            **row,
            per_second=_rate(rates, f"{row['feed']}/{row['symbol']}"),
            windows=shares.get((row["feed"], row["symbol"]), []),
        )
        for row in await _rows(tx, _FEEDS)
    ]


async def read_capture(tx: Tx) -> CaptureScreen:
    """Return what is known of the recording's faults."""
    beats = await _beats(tx)
    rates, wanted = _gathered(beats, "per_second"), _gathered(beats, "snapshots_wanted")
    (of_day,) = await _rows(tx, _OF_DAY)
    (gaps_of_day,) = await _rows(tx, _GAPS_OF_DAY)
    (settled,) = await _rows(tx, _SETTLED)
    (tokens,) = await _rows(tx, _TOKENS)
    (server,) = await _rows(tx, _SERVER)
    return CaptureScreen(
        waiting=_waiting(beats, await tx.scalar(text(_PUT_ASIDE))) if beats else None,
        snapshots=[
            SnapshotScreen(symbol, _rate(rates, f"order_book_snapshots/{symbol}"), lines)
            for symbol, lines in sorted(wanted.items())
        ],
        gaps=[GapScreen(**row) for row in await _rows(tx, _GAPS)],
        gaps_of_day=gaps_of_day["gaps"],
        longest_gap_s=gaps_of_day["longest_s"],
        clocks=[ClockScreen(**row) for row in await _rows(tx, _CLOCKS)],
        settled=Settled(**settled),
        without_ids=[row["window_id"] for row in await _rows(tx, _WITHOUT_IDS)],
        tokens=TokenCheck(**tokens),
        windows_of_day=of_day["windows"],
        tainted_of_day=of_day["tainted"],
        tainted_by=[TaintScreen(**row) for row in await _rows(tx, _TAINTED_BY)],
        pools=[PoolScreen(**row) for row in await _rows(tx, _POOLS)],
        **server,
    )


async def _beats(tx: Tx) -> list[Mapping[str, Any]]:
    return [row["details"] for row in await _rows(tx, _BEATS)]


def _gathered(beats: list[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """Return what all collectors together say under a name; the newest beat's word first."""
    found: dict[str, Any] = {}
    for details in reversed(beats):
        found |= details.get(name, {})
    return found


def _rate(rates: Mapping[str, str], name: str) -> Decimal | None:
    return Decimal(rates[name]) if name in rates else None


def _waiting(beats: list[Mapping[str, Any]], put_aside: int) -> Waiting:
    return Waiting(
        queued=sum(details.get("ticks_waiting", 0) for details in beats),
        dropped=sum(details.get("ticks_dropped", 0) for details in beats),
        put_aside=put_aside,
    )


async def _rows(tx: Tx, statement: str, **parameters: int) -> list[dict[str, Any]]:
    result = await tx.execute(text(statement), parameters)
    return [dict(row) for row in result.mappings()]
