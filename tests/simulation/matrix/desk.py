"""The deployment of one cell: its Book, its wallet at the venue, two executors, a reconciler, and who starts them again.

The harness plays feed collector, signal engine, risk monitor and operator by their roles; the rest are real processes.
"""

import asyncio
import hashlib
import json
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from psycopg.types.json import Jsonb
from pydantic import SecretStr

from shared.runtime.clock import SystemClock
from shared.venue.onboarding import credentials
from shared.venue.trading import order_signer
from shared.venue.urls import VenueUrls
from tests.simulation.matrix.ground import Ground, Server
from tests.simulation.matrix.hands import Hands, Row
from tests.simulation.matrix.strikes import PLAN, Plan
from tests.simulation.matrix.zygote import Forked, fork

ACCOUNT = "cell"
STRATEGY = "canary"
DEPOSIT_USDC = Decimal(100)
CLOCK = SystemClock()
_RESTART_AFTER_S = 0.3
_RECONCILER_THAWS_AFTER_S = 1.5
_THAWS_AT_LATEST_S = 6.0
_BEAT_EVERY_S = 2.0


@dataclass
class CellDesk:
    """One account, one Book, three processes."""

    ground: Ground
    server: Server
    database: str
    folder: Path
    plan: Plan
    window: dict[str, Any] = field(default_factory=dict)
    wallet: str = ""
    restarts: int = 0
    _environment: dict[str, dict[str, str]] = field(default_factory=dict)
    _running: dict[str, Forked] = field(default_factory=dict)
    _start_at: dict[str, float] = field(default_factory=dict)
    _frozen: dict[str, tuple[float, int]] = field(default_factory=dict)
    _thawed: set[str] = field(default_factory=set)
    _beat_at: float = 0.0

    def __post_init__(self) -> None:
        self.hands = Hands(self._url, on_lost=self._revive)

    def _url(self, role: str) -> str:
        return self.server.url(self.database, "postgres" if role == "owner" else f"onebook_{role}")

    # -- before the story ------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Make the account here and at the venue, and start the processes."""
        key = "0x" + hashlib.sha256(str(self.folder).encode()).hexdigest()
        owner = order_signer(SecretStr(key)).address
        made = self.ground.venue.ask(
            "/accounts", {"address": owner, "signature_type": 3, "usdc": str(DEPOSIT_USDC)}
        )
        self.wallet = made["wallet"]
        self._write_account()
        signer = order_signer(SecretStr(key), wallet=self.wallet, signature_type=3)
        urls = self.ground.venue.urls
        login = asyncio.run(credentials(signer, VenueUrls(clob=urls["clob_url"]), CLOCK))
        signing = {
            "private_key": key,
            "wallet": self.wallet,
            "signature_type": 3,
            "relayer_api_key": made["relayer_api_key"],
            "relayer_api_key_address": owner,
        }
        access = {
            "address": login.address,
            "api_key": login.api_key.get_secret_value(),
            "secret": login.secret.get_secret_value(),
            "passphrase": login.passphrase.get_secret_value(),
            "wallet": self.wallet,
            "signature_type": 3,
        }
        common = {**self.ground.venue.environment(), PLAN: self.plan.text(), "LOG_LEVEL": "INFO"}
        executing = {
            "DATABASE_URL": self._url("execution"),
            "TRADING_MODE": "LIVE",
            "CONFIRM_LIVE_TRADING": "true",
            "PREFLIGHT_WAIVED": "durability",
            "SIGNING_KEYS": json.dumps({ACCOUNT: signing}),
        }
        self._environment = {
            "execution-1": {**common, **executing, "INSTANCE": "execution-1"},
            "execution-2": {**common, **executing, "INSTANCE": "execution-2"},
            "reconciler": {
                **common,
                "DATABASE_URL": self._url("reconciler"),
                "ACCOUNT_CREDENTIALS": json.dumps({ACCOUNT: access}),
            },
        }
        for name in self._environment:
            self._start(name)

    def _write_account(self) -> None:
        do = self.hands.do
        do("operator", "SELECT open_account(%s, %s, %s)", ACCOUNT, "0x" + "11" * 20, self.wallet)
        do("reconciler", "SELECT book_external(%s, 'LIVE', 'DEPOSIT', %s, 'first')", ACCOUNT, DEPOSIT_USDC)
        for key, value in (
            ("allowed_instruments", "*"),
            ("allowed_strategies", "*"),
            ("entry_slippage", "0.3"),
        ):
            do("operator", "SELECT set_control(%s, %s, %s, 'matrix', 'matrix')", ACCOUNT, key, value)
        do(
            "signal_engine",
            "INSERT INTO strategy_instances (instance_id, account_id, strategy_id, code_hash, parameters, enabled_by)"
            " VALUES (%s, %s, %s, 'hash', '{}', 'matrix')",
            STRATEGY,
            ACCOUNT,
            STRATEGY,
        )
        self.beat()

    def close(self) -> None:
        for process in self._running.values():
            process.end()
        self._running.clear()
        self.hands.close()

    # -- the supervisor --------------------------------------------------------------------------------------------

    def _start(self, name: str) -> None:
        service = name.partition("-")[0]
        log = self.folder / f"{name}.log"
        self._running[name] = fork(self.ground.zygote, service, self._environment[name], log)

    def supervise(self) -> None:
        """Do what the platform does: restart what died, thaw what was frozen once another has taken over."""
        self._revive()
        now = CLOCK.monotonic()
        for name, process in list(self._running.items()):
            if not process.alive:
                process.end()
                del self._running[name]
                self._start_at[name] = now + _RESTART_AFTER_S
                self.restarts += 1
        for name, at in list(self._start_at.items()):
            if now >= at:
                del self._start_at[name]
                self._start(name)
        self._thaw(now)
        if now >= self._beat_at:
            self.beat()

    def _revive(self) -> None:
        if not self.server.is_alive:
            self.server.revive()

    def hold_executors(self) -> None:
        """Keep both executors dead until they are let go: the reconciler finds everything alone."""
        for name in ("execution-1", "execution-2"):
            if name in self._running:
                self._running.pop(name).end()
            self._start_at[name] = float("inf")

    def let_go(self) -> None:
        for name in self._start_at:
            self._start_at[name] = 0.0

    @property
    def is_holding(self) -> bool:
        return float("inf") in self._start_at.values()

    def kill_leader(self) -> None:
        row = self.hands.one("owner", "SELECT instance FROM executor_epochs ORDER BY epoch DESC LIMIT 1")
        if row["instance"] in self._running:
            self._running[row["instance"]].signal(signal.SIGKILL)

    def _thaw(self, now: float) -> None:
        for strike in self.plan.strikes:
            mark = Path(strike.mark)
            # By its mark, not by its process: the same one may be frozen twice.
            if strike.act != "stop" or strike.mark in self._thawed or not mark.exists():
                continue
            pid = int(mark.read_text().split()[0])
            since, epoch = self._frozen.setdefault(strike.mark, (now, self.epoch()))
            process = next((each for each in self._running.values() if each.pid == pid), None)
            ready = (
                now - since > _RECONCILER_THAWS_AFTER_S
                if process is not None and process.service == "reconciler"
                else self.epoch() > epoch
            )
            if ready or now - since > _THAWS_AT_LATEST_S:
                self._thawed.add(strike.mark)
                if process is not None:
                    process.signal(signal.SIGCONT)

    # -- the roles it plays ----------------------------------------------------------------------------------------

    def epoch(self) -> int:
        return self.hands.do("owner", "SELECT coalesce(max(epoch), 0) FROM executor_epochs") or 0

    def beat(self) -> None:
        self._beat_at = CLOCK.monotonic() + _BEAT_EVERY_S
        for service in ("feed_collector", "risk_monitor"):
            self.hands.do(service, "SELECT beat(%s, 'one', true)", service)

    def write_window(self, window: dict[str, Any]) -> None:
        """Write a window of the venue down as the feed collector would, before it opens."""
        self.window = window
        self.hands.do(
            "feed_collector",
            "INSERT INTO windows (window_id, instrument, series, interval_s, condition_id, up_token, down_token, opens_at,"
            " closes_at, state, rule, lookback_s, tick, min_size, fee_rate, fee_exponent, fee_taker_only, version, accepting,"
            " strike) VALUES (%s, 'BTC', 'btc-up-or-down-15m', 900, %s, %s, %s, %s, %s, 'OPEN', 'CHAINLINK_TWAP', 2, 0.01, 5,"
            " 0.07, 1, true, 'v1', true, %s) ON CONFLICT DO NOTHING",
            window["slug"],
            window["condition_id"],
            window["up_token"],
            window["down_token"],
            _at(window["opens_at_ms"]),
            _at(window["closes_at_ms"]),
            Decimal(window["strike"]),
        )

    def book_of(self, side: str) -> dict[str, list[list[str]]]:
        """Return the venue's book of a side, best level first."""
        token = self.token(side)
        with urlopen(f"{self.ground.venue.urls['clob_url']}/book?token_id={token}", timeout=10) as answer:
            found = json.load(answer)
        return {
            name: sorted(
                ([level["price"], level["size"]] for level in found[name]),
                key=lambda level: Decimal(level[0]),
                reverse=name == "bids",
            )
            for name in ("bids", "asks")
        }

    def token(self, side: str) -> str:
        return str(self.window["up_token" if side == "UP" else "down_token"])

    def tick(self, side: str) -> dict[str, list[list[str]]]:
        """Store one side's book as it is at the venue now, and fresh feeds; returns the book."""
        book, now = self.book_of(side), CLOCK.now()
        self.hands.do(
            "feed_collector",
            "INSERT INTO books_now (token_id, window_id, bids, asks, source_at, received_at, snapshot_at, continuous)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, true) ON CONFLICT (token_id) DO UPDATE SET bids = excluded.bids,"
            " asks = excluded.asks, source_at = excluded.source_at, received_at = excluded.received_at",
            self.token(side),
            self.window["slug"],
            Jsonb(book["bids"]),
            Jsonb(book["asks"]),
            now,
            now,
            now,
        )
        self.hands.do(
            "feed_collector",
            "INSERT INTO feed_status (feed, symbol, last_received_at) SELECT feed, 'BTC', clock_timestamp()"
            " FROM unnest(ARRAY['binance_spot', 'polymarket']) feed"
            " ON CONFLICT (feed, symbol) DO UPDATE SET last_received_at = clock_timestamp()",
        )
        return book

    def say(self, side: str, *, ordinal: int = 0) -> None:
        """Say a signal on the venue's own ask, announced as the signal engine does; without an ask there is none."""
        self.beat()
        asks = self.tick(side)["asks"]
        if not asks:
            return
        now = CLOCK.now()
        signal_id = f"sig-{ordinal}-{self.folder.name}"
        risk = {"max_position_usdc": "5", "max_slippage": "0.3", "stop_loss": None, "take_profit": None}
        self.hands.do(
            "signal_engine",
            "INSERT INTO signals (signal_id, account_id, mode, strategy_id, instance_id, window_id, instrument, side, token_id,"
            " price, amount_usdc, confidence, risk, evidence, ordinal, made_at, expires_at)"
            " VALUES (%s, %s, 'LIVE', %s, %s, %s, 'BTC', %s, %s, %s, 3, 0.6, %s, '{}', %s, %s, %s) ON CONFLICT DO NOTHING",
            signal_id,
            ACCOUNT,
            STRATEGY,
            STRATEGY,
            self.window["slug"],
            side,
            self.token(side),
            Decimal(asks[0][0]),
            Jsonb(risk),
            ordinal,
            now,
            now + timedelta(seconds=5),
        )
        self.hands.do("signal_engine", "SELECT pg_notify('signal_created', %s)", signal_id)

    def ask_exit(self, position: str) -> None:
        """Ask to be out at any price, as the risk monitor does in an emergency."""
        self.hands.do("risk_monitor", "SELECT request_exit(%s, 'EMERGENCY', 0.4, 0.39)", position)

    def arm(self, body: dict[str, Any]) -> None:
        self.ground.venue.ask("/faults", body)

    def truth(self) -> dict[str, Any]:
        """Return everything the venue knows of this wallet."""
        found: dict[str, Any] = self.ground.venue.ask(f"/truth?wallet={self.wallet}")
        return found

    def wallet_truth(self) -> dict[str, Any]:
        """Return the venue's figures of this wallet."""
        found: dict[str, Any] = self.truth()["wallets"][self.wallet]
        return found

    def logs(self) -> str:
        parts = []
        for path in sorted(self.folder.glob("*.log")):
            with suppress(OSError):
                parts.append(f"--- {path.name}\n{path.read_text()[-4000:]}")
        return "\n".join(parts)

    def status(self) -> Row:
        """Return in one read how far the story is."""
        return self.hands.one("owner", _STATUS, self.window.get("slug", ""))


def _at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)


_STATUS = """
SELECT (SELECT epoch FROM executor_epochs ORDER BY epoch DESC LIMIT 1) AS epoch,
       (SELECT reconciled_at IS NOT NULL FROM executor_epochs ORDER BY epoch DESC LIMIT 1) AS reconciled,
       EXISTS (SELECT FROM venue_clock) AS clock,
       EXISTS (SELECT FROM venue_balances WHERE asset = 'USDC' AND read_at > clock_timestamp() - interval '5 seconds') AS balance,
       EXISTS (SELECT FROM market_facts m WHERE m.window_id = w.window_id) AS market,
       w.state AS window,
       coalesce(w.opens_at <= clock_timestamp(), false) AS opened,
       coalesce(w.closes_at <= clock_timestamp(), false) AS closed,
       ARRAY(SELECT purpose || ' ' || state FROM orders ORDER BY claimed_at) AS orders,
       ARRAY(SELECT state || ' ' || position_id FROM positions) AS positions,
       (SELECT count(*) FROM orders WHERE state IN ('SUBMITTING', 'LIVE', 'DELAYED', 'CANCELLING', 'UNKNOWN')) AS possibly_live,
       (SELECT count(*) FROM orders WHERE state = 'FILLED' AND NOT explained) AS unexplained,
       (SELECT count(*) FROM fills WHERE state IN ('MATCHED', 'MINED', 'RETRYING')) AS unsettled,
       (SELECT count(*) FROM fills) AS fills,
       (SELECT count(*) FROM fills WHERE side = 'BUY' AND state IN ('MINED', 'CONFIRMED')) AS mined,
       (SELECT count(*) FROM positions WHERE state NOT IN ('CLOSED', 'VOID')) AS open_positions,
       (SELECT count(*) FROM redemptions WHERE state IN ('CLAIMED', 'SUBMITTED', 'UNKNOWN')) AS redeeming,
       ARRAY(SELECT state || coalesce(' ' || refusal, '') FROM signals ORDER BY ordinal) AS signals,
       (SELECT balance FROM ledger_balances WHERE bucket = 'CASH' AND mode = 'LIVE') AS cash
  FROM (SELECT 1) one LEFT JOIN windows w ON w.window_id = %s"""
