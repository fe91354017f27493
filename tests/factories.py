"""Rows that are valid by default: override one field, and the test is about that field.

A ``Desk`` is a small trading desk on one database: each act goes out as the role that may do it, so a test that passes
has proved the grants, too.
"""

import hashlib
import itertools
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, Self

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from shared.db.lock import EXECUTOR_LOCK_KEY
from shared.runtime.clock import SystemClock

CLOCK = SystemClock()
UP_TOKEN = "1" * 70
DOWN_TOKEN = "2" * 70
WATCHDOGS = ("feed_collector", "risk_monitor", "reconciler")


def order_hash(name: object) -> str:
    """A well-formed order id that is a function of a name."""
    return "0x" + hashlib.sha256(str(name).encode()).hexdigest()


@dataclass
class Claim:
    """What a claim answered."""

    refused: str | None
    order_id: str
    position_id: str


@dataclass
class Desk:
    """One account, one strategy, one open window, and an executor that holds the lock and is reconciled."""

    role_url: Callable[[str], str]
    owner_url: str
    account: str = "desk"
    mode: str = "PAPER"
    strategy: str = "canary"
    _stack: ExitStack = field(default_factory=ExitStack)
    _roles: dict[str, psycopg.Connection[dict[str, Any]]] = field(default_factory=dict)
    _names: "itertools.count[int]" = field(default_factory=itertools.count)
    epoch: int = 0

    def __enter__(self) -> Self:
        self.owner = self.connect(self.owner_url)
        self.do("operator", "SELECT open_account(%s, %s)", self.account, "0x" + "11" * 20)
        self.do(
            "reconciler", "SELECT book_external(%s, %s, 'DEPOSIT', 100, 'first')", self.account, self.mode
        )
        for key in ("allowed_instruments", "allowed_strategies"):
            self.control(key, "*")
        self.do(
            "signal_engine",
            "INSERT INTO strategy_instances (instance_id, account_id, strategy_id, code_hash, parameters, enabled_by)"
            " VALUES (%s, %s, %s, 'hash', '{}', 'test')",
            f"{self.account}-{self.strategy}",
            self.account,
            self.strategy,
        )
        self.beat()
        self.take_epoch()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def connect(self, url: str) -> "psycopg.Connection[dict[str, Any]]":
        return self._stack.enter_context(psycopg.connect(url, autocommit=True, row_factory=dict_row))

    def as_role(self, service: str) -> "psycopg.Connection[dict[str, Any]]":
        if service not in self._roles:
            self._roles[service] = self.connect(self.role_url(f"onebook_{service}"))
        return self._roles[service]

    def do(self, service: str, statement: str, *parameters: object) -> Any:
        """Run one statement as a service; returns the first column of its first row, if it has one."""
        cursor = self.as_role(service).execute(statement, parameters)
        if cursor.description is None:
            return None
        row = cursor.fetchone()
        return None if row is None else next(iter(row.values()))

    def one(self, statement: str, *parameters: object) -> dict[str, Any]:
        row = self.owner.execute(statement, parameters).fetchone()
        assert row is not None, statement
        return row

    def all(self, statement: str, *parameters: object) -> list[dict[str, Any]]:
        return self.owner.execute(statement, parameters).fetchall()

    def control(self, key: str, value: str) -> None:
        self.do("operator", "SELECT set_control(%s, %s, %s, 'tester', 'test')", self.account, key, value)

    def beat(self, *services: str) -> None:
        for service in services or WATCHDOGS:
            self.do(service, "SELECT beat(%s, 'one', true)", service)

    def take_epoch(self) -> int:
        assert self.do("execution", "SELECT pg_try_advisory_lock(%s)", EXECUTOR_LOCK_KEY)
        self.epoch = self.do("execution", "SELECT take_epoch('test')")
        assert self.do("reconciler", "SELECT mark_reconciled(%s, '{}')", self.epoch)
        return self.epoch

    def window(
        self, *, opens_in_s: float = -30, closes_in_s: float = 30, state: str = "OPEN", **fields: object
    ) -> str:
        name = f"btc-updown-15m-{next(self._names)}-{self.account}"
        now = CLOCK.now()
        row: dict[str, object] = {
            "window_id": name, "instrument": "BTC", "series": "btc-up-or-down-15m", "interval_s": 60,
            "condition_id": order_hash(name), "up_token": UP_TOKEN, "down_token": DOWN_TOKEN,
            "opens_at": now + timedelta(seconds=opens_in_s), "closes_at": now + timedelta(seconds=closes_in_s),
            "state": state, "rule": "CHAINLINK_TWAP", "lookback_s": 4, "tick": Decimal("0.01"), "min_size": 5,
            "fee_rate": Decimal("0.07"), "fee_exponent": 1, "fee_taker_only": True, "version": "v1", "accepting": True,
        } | fields  # fmt: skip
        names = ", ".join(row)
        self.do(
            "feed_collector",
            f"INSERT INTO windows ({names}) VALUES ({', '.join(['%s'] * len(row))})",
            *row.values(),
        )
        return name

    def signal(self, window: str, *, side: str = "UP", ordinal: int = 0, **fields: object) -> str:
        strategy = fields.pop("strategy_id", self.strategy)
        name = f"sig-{next(self._names)}-{self.account}"
        now = CLOCK.now()
        row: dict[str, object] = {
            "signal_id": name, "account_id": self.account, "mode": self.mode, "strategy_id": strategy,
            "instance_id": f"{self.account}-{self.strategy}", "window_id": window, "instrument": "BTC", "side": side,
            "token_id": UP_TOKEN if side == "UP" else DOWN_TOKEN, "price": Decimal("0.50"), "amount_usdc": Decimal(2),
            "confidence": Decimal("0.6"), "risk": Jsonb({"max_position_usdc": "5", "max_slippage": "0.02"}),
            "evidence": Jsonb({}), "ordinal": ordinal, "made_at": now, "expires_at": now + timedelta(seconds=5),
        } | fields  # fmt: skip
        self.do(
            "signal_engine",
            f"INSERT INTO signals ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})",
            *row.values(),
        )
        return name

    def order(self, signal: str, **fields: object) -> dict[str, object]:
        """An entry for 2 USDC at a limit of 0.52 with a reservation of 2.14; override what the test is about."""
        return {
            "order_id": order_hash(signal), "position_id": f"pos-{signal}", "token_id": UP_TOKEN, "order_type": "FAK",
            "limit_price": "0.52", "maker_amount": "2", "taker_amount": "3.8461", "salt": 1, "timestamp_ms": 1,
            "reserved_usdc": "2.14", "cap_usdc": "5",
        } | fields  # fmt: skip

    def claim(self, signal: str, *, epoch: int | None = None, **fields: object) -> Claim:
        order = self.order(signal, **fields)
        refused = self.do(
            "execution",
            "SELECT refused FROM claim_entry(%s, %s, %s, 'body', '{}')",
            self.epoch if epoch is None else epoch,
            signal,
            Jsonb(order),
        )
        return Claim(refused, str(order["order_id"]), str(order["position_id"]))

    def enter(self, window: str | None = None, **fields: object) -> Claim:
        claim = self.claim(self.signal(window or self.window()), **fields)
        assert claim.refused is None, claim.refused
        return claim

    def record(self, order: str, event: str, **details: object) -> str:
        return str(self.do("execution", "SELECT record_outcome(%s, %s, %s)", order, event, Jsonb(details)))

    def trade(
        self, order: str, name: str, *, shares: str, usdc: str, by: str = "execution", **fields: object
    ) -> str:
        row = self.one("SELECT token_id, side FROM orders WHERE order_id = %s", order)
        trade = {
            "order_id": order, "trade_id": name, "token_id": row["token_id"], "side": row["side"], "shares": shares,
            "price": "0.5", "usdc": usdc, "fee_usdc": "0.05", "state": "CONFIRMED",
            "matched_at": CLOCK.now().isoformat(),
        } | fields  # fmt: skip
        return str(self.do(by, "SELECT apply_trade(%s, 'test')", Jsonb(trade)))

    def hold(self, window: str | None = None, *, shares: str = "4", usdc: str = "2") -> Claim:
        """A position whose entry was filled and confirmed."""
        claim = self.enter(window)
        self.record(claim.order_id, "MATCHED", shares=shares, usdc=usdc, fee_usdc="0.05", trade_ids=["t1"])
        self.trade(claim.order_id, "t1", shares=shares, usdc=usdc)
        return claim

    def exit(self, claim: Claim, *, attempt: int = 1, shares: str = "4", **fields: object) -> Claim:
        order = {
            "order_id": order_hash((claim.position_id, attempt)), "token_id": UP_TOKEN, "order_type": "FAK",
            "limit_price": "0.40", "maker_amount": shares, "taker_amount": "1.6", "salt": 2, "timestamp_ms": 2,
        } | fields  # fmt: skip
        refused = self.do(
            "execution",
            "SELECT refused FROM claim_exit(%s, %s, %s, 'body', '{}')",
            self.epoch,
            claim.position_id,
            Jsonb(order),
        )
        return Claim(refused, str(order["order_id"]), claim.position_id)

    def ask_exit(self, claim: Claim, reason: str = "STOP_LOSS") -> bool:
        return bool(
            self.do("risk_monitor", "SELECT request_exit(%s, %s, 0.4, 0.39)", claim.position_id, reason)
        )

    def position(self, claim: Claim) -> dict[str, Any]:
        return self.one("SELECT * FROM positions WHERE position_id = %s", claim.position_id)

    def order_row(self, claim: Claim) -> dict[str, Any]:
        return self.one("SELECT * FROM orders WHERE order_id = %s", claim.order_id)

    def buckets(self) -> dict[str, Decimal]:
        rows = self.all(
            "SELECT bucket, balance FROM ledger_balances WHERE account_id = %s AND mode = %s",
            self.account,
            self.mode,
        )
        return {row["bucket"]: row["balance"] for row in rows}

    def gate(self) -> dict[str, Any]:
        return self.one(
            "SELECT * FROM trading_gate WHERE account_id = %s AND mode = %s", self.account, self.mode
        )

    def assert_books_agree(self) -> None:
        differences = self.all("SELECT * FROM verify_ledger(%s, %s)", self.account, self.mode)
        assert not differences
        assert sum(self.buckets().values()) == 0
        assert self.one("SELECT verify_audit_chain(%s) AS broken", self.account)["broken"] is None
