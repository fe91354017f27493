"""The small world of a run: accounts, windows that come and go, signals, and what the venue will do with each order.

The venue of a run is a function: what becomes of an order follows from the seed and its id, so everybody who learns of
it (the answer, the user channel, a reconciler hours later) learns the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from tests.factories import CLOCK, DOWN_TOKEN, UP_TOKEN, WATCHDOGS, order_hash

MODE = "LIVE"
ACCOUNTS = ("red", "blue", "green", "grey", "white", "black")
STRATEGIES = ("canary", "other")
INSTRUMENTS = ("BTC", "ETH")
SPENDS = {"2": "2.14", "3.50": "3.745", "4.67": "4.9969"}
"""What an entry spends, and what it sets aside."""
WINDOW_S = 5.0
ENDS = (
    *("MATCHED",) * 10, *("PARTLY",) * 3, *("KILLED",) * 3, *("REFUSED",) * 2, *("DELAYED",) * 2, *("LOST_PLACED",) * 2,
    *("FAILS",) * 2, "LOST_ABSENT",
)  # fmt: skip
"""Drawn evenly; an answer that is lost stops an account until somebody finds out, so there are few."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What the venue does with one order."""

    end: str
    shares: Decimal
    usdc: Decimal
    fee_usdc: Decimal
    side: str = "BUY"

    @property
    def final(self) -> str:
        """The last state of its one trade: a match may fail on chain, and then never happened."""
        return "FAILED" if self.end == "FAILS" else "CONFIRMED"

    @property
    def kept(self) -> Decimal:
        """The shares that changed hands in the end."""
        return Decimal(0) if self.end == "FAILS" else self.shares

    def trade(self, order: str, state: str) -> dict[str, str]:
        """The one trade of the order, as apply_trade takes it."""
        return {
            "order_id": order, "trade_id": f"t-{order[:12]}", "token_id": UP_TOKEN, "side": self.side,
            "shares": str(self.shares), "price": "0.5", "usdc": str(self.usdc), "fee_usdc": str(self.fee_usdc),
            "state": state, "matched_at": CLOCK.now().isoformat(),
        }  # fmt: skip

    def answer(self, order: str) -> tuple[str, dict[str, Any]]:
        """The event and the details of the answer to its POST."""
        if self.end in {"MATCHED", "PARTLY", "FAILS"}:
            totals = {
                "shares": str(self.shares),
                "usdc": str(self.usdc),
                "fee_usdc": str(self.fee_usdc),
                "trade_ids": [f"t-{order[:12]}"],
            }
            return "MATCHED", totals
        if self.end in {"KILLED", "REFUSED", "DELAYED"}:
            return self.end, {"reason": "drawn"}
        return "LOST", {"reason": "TIMEOUT"}


def fate(seed: int, order: str, side: str, amount: str) -> Fate:
    """Return what becomes of an order that arrives: one that spends dollars, or one that sells shares."""
    chance = Random(f"{seed}/{order}")
    end = chance.choice(ENDS)
    whole = dict.fromkeys(("MATCHED", "LOST_PLACED", "DELAYED", "FAILS"), Decimal(1))
    part = (whole | {"PARTLY": Decimal(chance.randint(20, 90)) / 100}).get(end, Decimal(0))
    moved = (Decimal(amount) * part).quantize(Decimal("0.01"), rounding="ROUND_DOWN")
    shares, usdc = (moved * 2, moved) if side == "BUY" else (moved, moved * Decimal("0.45"))
    return Fate(end, shares, usdc, (usdc * Decimal("0.035")).quantize(Decimal("0.00001")), side)


def open_street(owner_url: str) -> None:
    """Open the accounts, allow everything, and have the watchdogs beat for a day."""
    with psycopg.connect(owner_url, autocommit=True) as owner:
        for account in ACCOUNTS:
            owner.execute("SELECT open_account(%s, '0x')", [account])
            for key, value in {
                "allowed_instruments": "*", "allowed_strategies": "*", "max_session_loss": "1000",
                "max_exposure_usd": "25", "max_instrument_usd": "15", "max_open_positions": "6",
            }.items():  # fmt: skip
                owner.execute("SELECT set_control(%s, %s, %s, 'history', 'setup')", [account, key, value])
            for strategy in STRATEGIES:
                owner.execute(
                    "INSERT INTO strategy_instances (instance_id, account_id, strategy_id, code_hash, parameters, enabled_by)"
                    " VALUES (%s, %s, %s, 'hash', '{}', 'history')",
                    [f"{account}-{strategy}", account, strategy],
                )
            owner.execute(
                "INSERT INTO position_verifications (account_id, mode, verified, at) VALUES (%s, %s, true, now() + interval '1 day')",
                [account, MODE],
            )
        for service in WATCHDOGS:
            owner.execute(
                "INSERT INTO heartbeats (service, instance, at, healthy) VALUES (%s, 'one', now() + interval '1 day', true)",
                [service],
            )


def add_window(owner: psycopg.Connection[Any], number: int) -> str:
    """Write a window that is open now and over in a few seconds; returns its id."""
    name = f"w{number:05}"
    now = CLOCK.now()
    owner.execute(
        "INSERT INTO windows (window_id, instrument, series, interval_s, condition_id, up_token, down_token, opens_at,"
        " closes_at, state, rule, lookback_s, version) VALUES (%s, %s, 's', 60, %s, %s, %s, %s, %s, 'OPEN', 'CHAINLINK_TWAP',"
        " 4, 'v1')",
        [
            *(name, INSTRUMENTS[number % 2], order_hash(name), UP_TOKEN, DOWN_TOKEN),
            *(now - timedelta(seconds=1), now + timedelta(seconds=WINDOW_S)),
        ],
    )
    return name


def add_signal(
    engine: psycopg.Connection[Any], name: str, account: str, strategy: str, window: str, *, ordinal: int
) -> None:
    """Write a signal that lives as long as its window."""
    now = CLOCK.now()
    engine.execute(
        "INSERT INTO signals (signal_id, account_id, mode, strategy_id, instance_id, window_id, instrument, side, token_id,"
        " price, amount_usdc, confidence, risk, evidence, ordinal, made_at, expires_at) VALUES (%s, %s, %s, %s, %s, %s, %s,"
        " 'UP', %s, 0.5, 2, 0.6, %s, '{}', %s, %s, %s)",
        [
            *(name, account, MODE, strategy, f"{account}-{strategy}", window),
            *(INSTRUMENTS[int(window[1:]) % 2], UP_TOKEN),
            Jsonb({"max_position_usdc": "5", "max_slippage": "0.02"}),
            *(ordinal, now, now + timedelta(seconds=WINDOW_S)),
        ],
    )


def new_signals(connection: psycopg.Connection[Any], *, hopeful: bool) -> Sequence[dict[str, Any]]:
    """Return signals nobody decided yet, newest first; when hopeful, those alone that nothing known stands against."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT s.signal_id, s.account_id, s.strategy_id, s.window_id FROM signals s JOIN windows w USING (window_id)"
            " JOIN trading_gate g USING (account_id, mode) WHERE s.state = 'NEW' AND s.expires_at > clock_timestamp()"
            " AND (NOT %s OR (g.breaker = 'CLOSED' AND g.kill_switch = 'OFF' AND w.closes_at > clock_timestamp() + interval '3.2 s'"
            " AND NOT EXISTS (SELECT FROM active_positions p WHERE (p.account_id, p.window_id) = (s.account_id, s.window_id))))"
            " ORDER BY s.made_at DESC LIMIT 20",
            [hopeful],
        ).fetchall()


def entry(signal: str, spends: str) -> dict[str, str]:
    """An entry of so many dollars, as claim_entry takes it."""
    return {
        "order_id": order_hash(signal), "position_id": f"pos-{signal}", "token_id": UP_TOKEN, "order_type": "FAK",
        "limit_price": "0.52", "maker_amount": spends,
        "taker_amount": str((Decimal(spends) / Decimal("0.52")).quantize(Decimal("0.0001"), rounding="ROUND_DOWN")),
        "salt": "1", "timestamp_ms": "1", "reserved_usdc": SPENDS[spends], "cap_usdc": "5",
    }  # fmt: skip


def leavable(connection: psycopg.Connection[Any]) -> Sequence[dict[str, Any]]:
    """Return positions that somebody wants sold, with the shares of them that are mined."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT position_id, account_id, exit_attempts, (SELECT coalesce(sum(shares), 0) FROM fills f WHERE f.side = 'BUY'"
            " AND f.position_id = p.position_id AND f.state IN ('MINED', 'CONFIRMED')) - sold_shares AS shares FROM positions p"
            " WHERE state LIKE '%%_TRIGGERED' AND mode = %s LIMIT 20",
            [MODE],
        ).fetchall()


def leave(position: str, attempt: int, shares: Decimal) -> dict[str, str]:
    """An exit of so many shares, as claim_exit takes it."""
    return {
        "order_id": order_hash((position, attempt)), "token_id": UP_TOKEN, "order_type": "FAK", "limit_price": "0.40",
        "maker_amount": str(shares), "taker_amount": str((shares * Decimal("0.40")).quantize(Decimal("0.0001"))),
        "salt": "1", "timestamp_ms": "1",
    }  # fmt: skip
