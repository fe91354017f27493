"""Rows the gate reads, as their owners write them."""

from typing import Any

from psycopg.types.json import Jsonb

from tests.factories import CLOCK, DOWN_TOKEN, UP_TOKEN, Desk

BIDS, ASKS = [["0.48", "10"], ["0.47", "5"]], [["0.50", "20"], ["0.51", "30"]]


def book(desk: Desk, token: str = UP_TOKEN, **fields: object) -> None:
    now = CLOCK.now()
    row: dict[str, Any] = {
        "token_id": token, "window_id": "w", "bids": Jsonb(BIDS), "asks": Jsonb(ASKS), "source_at": now,
        "received_at": now, "snapshot_at": now, "continuous": True,
    } | fields  # fmt: skip
    desk.do(
        "feed_collector",
        f"INSERT INTO books_now ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})",
        *row.values(),
    )


def venue_clock(desk: Desk) -> None:
    desk.do(
        "execution",
        "INSERT INTO venue_clock (source, offset_ms, measured_at) VALUES ('clob', -12.5, clock_timestamp())",
    )


def market(desk: Desk, window: str) -> Any:
    return desk.do(
        "execution",
        "INSERT INTO market_facts (window_id, read_at, accepting, tick, min_size, fee_rate, fee_exponent, fee_taker_only,"
        " neg_risk, version, up_token, down_token) VALUES (%s, clock_timestamp(), true, 0.001, 7, 0.07, 1, true, false,"
        " 'v1', %s, %s) RETURNING read_at",
        window,
        UP_TOKEN,
        DOWN_TOKEN,
    )


def heard(desk: Desk, feed: str, symbol: str) -> Any:
    return desk.do(
        "feed_collector",
        "INSERT INTO feed_status (feed, symbol, last_received_at) VALUES (%s, %s, clock_timestamp())"
        " RETURNING last_received_at",
        feed,
        symbol,
    )
