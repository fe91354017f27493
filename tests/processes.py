"""Real processes for tests: the simulator and the services, started, watched and killed with real signals.

A ``Street`` is the venue (a simulator of its own) and a desk on a fresh Book, with one real market of the simulator
written down as the feed collector would: what a test of execution needs, and nothing that hides it.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from psycopg.types.json import Jsonb

from tests.conftest import REPOSITORY
from tests.factories import CLOCK, Desk, order_hash

WITHIN_S = 25.0
LOOK_EVERY_S = 0.02


def until(what: str, look: Callable[[], Any], *, within_s: float = WITHIN_S) -> Any:
    """Wait for an effect: the first true thing ``look`` returns; fails by name when it does not come."""
    deadline = CLOCK.monotonic() + within_s
    while CLOCK.monotonic() < deadline:
        found = look()
        if found:
            return found
        look_again_after(LOOK_EVERY_S)
    raise AssertionError(f"did not happen within {within_s:g} s: {what}")


def look_again_after(seconds: float) -> None:
    """Let others work between two looks: looking again, not hoping."""
    time.sleep(seconds)


@dataclass
class Running:
    """One process of ours."""

    process: subprocess.Popen[bytes]
    log: Path

    def kill(self, number: int = signal.SIGKILL) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=15)

    def output(self) -> str:
        return self.log.read_text()


@contextmanager
def running(module: str, environment: Mapping[str, str], log: Path, *arguments: str) -> Iterator[Running]:
    """Start ``python -m module``; it is gone when the block ends."""
    base = {
        name: os.environ[name]
        for name in ("PATH", "HOME", "LANG", "ONEBOOK_RECORDINGS")
        if name in os.environ
    }
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**base, "PYTHONPATH": str(REPOSITORY), **environment},
            cwd=REPOSITORY,
            stdout=sink,
            stderr=sink,
        )
    try:
        yield Running(process, log)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait(timeout=15)


@dataclass
class Venue:
    """A running simulator."""

    urls: dict[str, str]

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.urls['control_url']}/_sim{path}", data=data)
        if body is not None:
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def environment(self) -> dict[str, str]:
        return {
            "CLOB_URL": self.urls["clob_url"],
            "GAMMA_URL": self.urls["gamma_url"],
            "DATA_URL": self.urls["data_url"],
            "SITE_URL": self.urls["site_url"],
            "RELAYER_URL": self.urls["relayer_url"],
            "RPC_URL": self.urls["rpc_url"],
            "MARKET_STREAM_URL": self.urls["clob_market_ws_url"],
            "USER_STREAM_URL": self.urls["clob_user_ws_url"],
            "POLYBOLT_URL": self.urls["polybolt_url"],
            "BINANCE_URL": self.urls["binance_url"],
        }

    def current_window(self, *, left_s: float) -> dict[str, Any]:
        """The window that trades now with at least so many seconds left, waited for if need be."""

        def look() -> dict[str, Any] | None:
            answer = self.ask("/windows")
            now = answer["now_ms"]
            return next(
                (
                    window
                    for window in answer["windows"]
                    if window["opens_at_ms"] <= now and window["closes_at_ms"] >= now + left_s * 1000
                ),
                None,
            )

        found: dict[str, Any] = until(f"a window with {left_s} s left", look, within_s=60)
        return found


@contextmanager
def venue(folder: Path, **settings: str) -> Iterator[Venue]:
    """Start a simulator on ports the OS chooses; settings as SIMULATOR_… without the prefix."""
    ready = folder / "ready.json"
    environment = {f"SIMULATOR_{name}": value for name, value in settings.items()}
    with running(
        "services.simulator", environment, folder / "simulator.log", "--port", "0", "--ready-file", str(ready)
    ) as process:
        until("the simulator is ready", lambda: ready.exists() or process.process.poll() is not None)
        assert ready.exists(), process.output()
        yield Venue(json.loads(ready.read_text()))


# Where a test does not ask how an entry ends: a busy machine may be too late for its own claim (NOT_SENT), or may find
# that the book has moved on (KILLED).
LAWFUL_ENDS: Final = frozenset({"FILLED", "KILLED", "NOT_SENT"})


@dataclass
class Street:
    """The venue, a desk, and one real market between them."""

    venue: Venue
    desk: Desk
    folder: Path
    window: dict[str, Any] = field(default_factory=dict)
    wallet: str = ""

    def open_market(self, *, left_s: float = 30) -> str:
        """Write the venue's current window down as the feed collector would; returns its id."""
        self.window = self.venue.current_window(left_s=left_s)
        name = str(self.window["slug"])
        self.desk.window(
            window_id=name,
            condition_id=self.window["condition_id"],
            up_token=self.window["up_token"],
            down_token=self.window["down_token"],
            opens_at=_at(self.window["opens_at_ms"]),
            closes_at=_at(self.window["closes_at_ms"]),
            strike=Decimal(self.window["strike"]),
        )
        self.tick()
        return name

    def book(self, side: str = "UP") -> dict[str, Any]:
        token = self.window["up_token" if side == "UP" else "down_token"]
        with urllib.request.urlopen(
            f"{self.venue.urls['clob_url']}/book?token_id={token}", timeout=10
        ) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def tick(self, *, bids: list[list[str]] | None = None) -> None:
        """Store both tokens' books as they are at the venue now (or with other bids), fresh feeds and live watchdogs."""
        now = CLOCK.now()
        for side in ("UP", "DOWN"):
            book = self.book(side)
            stored = {
                name: sorted(
                    ([level["price"], level["size"]] for level in book[name]),
                    key=_price,
                    reverse=name == "bids",
                )
                for name in ("bids", "asks")
            }
            if bids is not None and side == "UP":
                stored["bids"] = bids
            self.desk.do(
                "feed_collector",
                "INSERT INTO books_now (token_id, window_id, bids, asks, source_at, received_at, snapshot_at, continuous)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, true) ON CONFLICT (token_id) DO UPDATE SET bids = excluded.bids,"
                " asks = excluded.asks, source_at = excluded.source_at, received_at = excluded.received_at",
                book["asset_id"],
                self.window["slug"],
                Jsonb(stored["bids"]),
                Jsonb(stored["asks"]),
                now,
                now,
                now,
            )
        for feed in ("binance_spot", "polymarket"):
            self.desk.do(
                "feed_collector",
                "INSERT INTO feed_status (feed, symbol, last_received_at) VALUES (%s, 'BTC', clock_timestamp())"
                " ON CONFLICT (feed, symbol) DO UPDATE SET last_received_at = clock_timestamp()",
                feed,
            )
        self.desk.beat()

    def favoured(self) -> tuple[str, Decimal]:
        """The side whose ask is above one half, and that ask."""
        for side in ("UP", "DOWN"):
            asks = [Decimal(level["price"]) for level in self.book(side)["asks"]]
            if asks and Decimal("0.5") <= min(asks) <= Decimal("0.95"):
                return side, min(asks)
        return "UP", min(Decimal(level["price"]) for level in self.book("UP")["asks"])

    def say(self, *, side: str | None = None, ordinal: int = 0, **fields: object) -> str:
        """A signal on the venue's own ask, announced as the signal engine does."""
        self.tick()
        favoured, _ = self.favoured()
        chosen = side or favoured
        asks = [Decimal(level["price"]) for level in self.book(chosen)["asks"]]
        risk = fields.pop(
            "risk", {"max_position_usdc": "5", "max_slippage": "0.02", "stop_loss": None, "take_profit": None}
        )
        signal_id = self.desk.signal(
            str(self.window["slug"]),
            side=chosen,
            ordinal=ordinal,
            token_id=self.window["up_token" if chosen == "UP" else "down_token"],
            price=min(asks),
            risk=Jsonb(risk),
            expires_at=CLOCK.now() + timedelta(seconds=5),
            **fields,
        )
        self.desk.do("signal_engine", "SELECT pg_notify('signal_created', %s)", signal_id)
        return signal_id

    def execution_environment(self, **more: str) -> dict[str, str]:
        environment = {
            "DATABASE_URL": self.desk.role_url("onebook_execution"),
            "TRADING_MODE": self.desk.mode,
            **self.venue.environment(),
        }
        if self.desk.mode == "LIVE":
            environment |= {"CONFIRM_LIVE_TRADING": "true", "SIGNING_KEYS": self.signing_keys()}
            environment["PREFLIGHT_WAIVED"] = "durability"  # the server of the tests forgets on purpose
        return environment | more

    @contextmanager
    def executing(self, module: str = "services.execution", **more: str) -> Iterator[Running]:
        """An execution process; the test plays reconciler and says each epoch is compared."""
        with running(module, self.execution_environment(**more), self.folder / "execution.log") as process:
            yield process

    def lead(self, process: Running, *, after: int = 0) -> int:
        """Wait until a new epoch is taken, and say it is reconciled; returns it."""

        def look() -> Any:
            assert process.process.poll() is None, process.output()
            row = self.desk.one("SELECT max(epoch) AS epoch FROM executor_epochs")
            return row["epoch"] if (row["epoch"] or 0) > after else None

        epoch: int = until("the executor leads", look)
        assert self.desk.do("reconciler", "SELECT mark_reconciled(%s, '{}')", epoch)
        until("it knows the venue's clock", lambda: self.desk.all("SELECT 1 FROM venue_clock"))
        if self.window:
            until(
                "it has read the market",
                lambda: self.desk.all("SELECT 1 FROM market_facts WHERE window_id = %s", self.window["slug"]),
            )
        if self.desk.mode == "LIVE":
            until(
                "it has read the balance",
                lambda: self.desk.all("SELECT 1 FROM venue_balances WHERE asset = 'USDC'"),
            )
        return epoch

    def signing_keys(self) -> str:
        """Register and fund this desk's own wallet at the venue (once), and return execution's SIGNING_KEYS."""
        key = order_hash(self.folder)  # one wallet a test: what another left at the venue is none of ours
        address = _address(key)
        made = self.venue.ask(
            "/accounts", {"address": address, "signature_type": 3, "usdc": "0" if self.wallet else "100"}
        )
        self.wallet = made["wallet"]
        return json.dumps(
            {
                self.desk.account: {
                    "private_key": key,
                    "wallet": self.wallet,
                    "signature_type": 3,
                    "relayer_api_key": made["relayer_api_key"],
                    "relayer_api_key_address": address,
                }
            }
        )

    def truth(self) -> dict[str, Any]:
        """What the venue knows of this desk's wallet."""
        found: dict[str, Any] = self.venue.ask("/truth")["wallets"][self.wallet]
        return found

    def order_of(self, signal_id: str) -> dict[str, Any]:
        """The order of a signal once it left SUBMITTING."""

        def look() -> Any:
            rows = self.desk.all(
                "SELECT * FROM orders WHERE signal_id = %s AND state <> 'SUBMITTING'", signal_id
            )
            decided = self.desk.one(
                "SELECT state, refusal, verdict FROM signals WHERE signal_id = %s", signal_id
            )
            assert decided["state"] in {"NEW", "ORDERED"}, (
                decided["refusal"],
                failed_checks(decided["verdict"]),
            )
            return rows[0] if rows else None

        found: dict[str, Any] = until("the signal became an order", look)
        return found

    def position_of(self, signal_id: str, *states: str, within_s: float = WITHIN_S) -> dict[str, Any]:
        def look() -> Any:
            rows = self.desk.all("SELECT * FROM positions WHERE signal_id = %s", signal_id)
            return rows[0] if rows and rows[0]["state"] in states else None

        found: dict[str, Any] = until(f"the position is {' or '.join(states)}", look, within_s=within_s)
        return found


def failed_checks(verdict: dict[str, Any] | None) -> list[Any]:
    """The checks of a gate that did not pass, for a failing test's message."""
    return [check for check in (verdict or {}).get("checks", []) if not check["passed"]]


def _at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)


def _price(level: list[str]) -> Decimal:
    return Decimal(level[0])


def _address(key: str) -> str:
    from eth_account import Account  # noqa: PLC0415 - slow to import, and only LIVE tests need it

    return str(Account.from_key(key).address)
