"""A deployment to be measured: a venue behind a relay, a Book with windows and accounts to trade them, executors.

Every signal needs an account and a window of its own, or the limits would refuse it: a handful of accounts, each with
the fifty positions a person may allow at most, all in windows that stand for one market of the venue.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, cast
from urllib.parse import urlsplit

from psycopg.types.json import Jsonb

from tests.benchmarks.companion import Companion, companion
from tests.benchmarks.ground import Book, Ground
from tests.factories import CLOCK, Desk
from tests.processes import Running, Street, Venue, running, until, venue

WINDOWS = 50
FRESH_S = 2.0
CONTROLS = {
    "max_open_positions": "50", "max_exposure_usd": "1000", "max_instrument_usd": "1000", "max_session_loss": "1000",
    "anti_flip_s": "0", "cooldown_s": "0", "daily_drawdown": "1",
}  # fmt: skip
RISK = {"max_position_usdc": "5", "max_slippage": "0.02", "stop_loss": None, "take_profit": None}


@dataclass(frozen=True, slots=True)
class Place:
    """Where one signal goes."""

    desk: Desk
    window: str

    @property
    def signal_id(self) -> str:
        return f"sig-{self.window}-{self.desk.account}"


@dataclass(frozen=True, slots=True)
class Said:
    """A signal that was committed, by this transaction."""

    signal_id: str
    transaction: str


@dataclass
class Deployment:
    """One Book, its accounts and windows, and the market they trade."""

    book: Book
    streets: list[Street]
    windows: list[str]
    _refreshed_at: float = 0.0
    _places: Iterator[Place] = field(init=False)

    def __post_init__(self) -> None:
        self._places = (Place(street.desk, window) for window in self.windows for street in self.streets)

    @property
    def first(self) -> Street:
        return self.streets[0]

    @property
    def desk(self) -> Desk:
        return self.first.desk

    def epoch(self) -> int:
        """Return the newest epoch."""
        return int(self.desk.one("SELECT max(epoch) AS epoch FROM executor_epochs")["epoch"])

    def next_place(self) -> Place:
        return next(self._places)

    def refresh(self) -> None:
        """Keep feeds, books and watchdogs as fresh as their services would."""
        if CLOCK.monotonic() - self._refreshed_at > FRESH_S:
            self.first.tick()
            self._refreshed_at = CLOCK.monotonic()

    def reconcile(self) -> None:
        """Say of the newest epoch that Book and venue were compared, as the reconciler does for every new one."""
        self.desk.do("reconciler", "SELECT mark_reconciled(%s, '{}')", self.epoch())

    def ask(self) -> Decimal:
        """Return the ask the Book holds."""
        token = self.first.window["up_token"]
        return Decimal(
            self.desk.one("SELECT asks->0->>0 AS ask FROM books_now WHERE token_id = %s", token)["ask"]
        )

    def say(self, place: Place, *, price: Decimal, amount_usdc: Decimal = Decimal("1.5")) -> Said:
        """Commit a signal with its notification, as the signal engine does."""
        with place.desk.as_role("signal_engine").transaction():
            place.desk.signal(
                place.window,
                signal_id=place.signal_id,
                token_id=self.first.window["up_token"],
                price=price,
                amount_usdc=amount_usdc,
                risk=Jsonb(RISK),
            )
            transaction = place.desk.do(
                "signal_engine",
                "SELECT pg_current_xact_id()::text FROM pg_notify('signal_created', %s)",
                place.signal_id,
            )
        return Said(place.signal_id, transaction)

    def committed_at(self, said: Said) -> datetime:
        """Return when the server committed a signal."""
        row = self.desk.one("SELECT pg_xact_commit_timestamp(%s::text::xid) AS at", said.transaction)
        return cast("datetime", row["at"])

    def why_unsent(self, said: Said) -> str | None:
        """Return why the Book says that no order of a signal went out, None while it does not say so."""
        found = self.desk.one(
            "SELECT coalesce(s.refusal, s.state) AS signal, o.state, o.reason FROM signals s"
            " LEFT JOIN orders o USING (signal_id) WHERE signal_id = %s",
            said.signal_id,
        )
        if found["state"] == "NOT_SENT":
            return f"NOT_SENT: {found['reason']}"
        return None if found["signal"] in {"NEW", "ORDERED"} else str(found["signal"])

    def settled(self, said: Said) -> dict[str, Any]:
        """Wait until the signal's order is answered and explained, and nothing of it is under way; returns its row."""

        def look() -> Any:
            rows = self.desk.all(
                "SELECT * FROM orders WHERE signal_id = %s AND recorded_at IS NOT NULL"
                " AND (explained OR state NOT IN ('FILLED', 'LIVE', 'DELAYED'))",
                said.signal_id,
            )
            return rows[0] if rows else None

        found: dict[str, Any] = until("the order is explained", look)
        return found

    def environment(self, clob_url: str, **more: str) -> dict[str, str]:
        """Return the settings of an executor for all accounts, its orders going through ``clob_url``."""
        base = self.first.execution_environment()
        keys = {
            name: key for street in self.streets for name, key in json.loads(street.signing_keys()).items()
        }
        return base | {"SIGNING_KEYS": json.dumps(keys), "CLOB_URL": clob_url} | more

    @contextmanager
    def executing(self, environment: dict[str, str], name: str = "execution") -> Iterator[Running]:
        with running(
            "services.execution", environment | {"INSTANCE": name}, self.first.folder / f"{name}.log"
        ) as process:
            try:
                yield process
            except AssertionError as failed:
                failed.add_note(f"the end of {name}'s log:\n{process.output()[-2000:]}")
                raise

    def lead(self, process: Running, *, after: int) -> int:
        """Wait until an executor leads, and until it has read every market and balance it needs."""
        epoch = self.first.lead(process, after=after)
        until(
            "it has read every market and balance",
            lambda: self.desk.one(
                "SELECT (SELECT count(*) FROM market_facts) >= %s AND"
                " (SELECT count(*) FROM venue_balances WHERE asset = 'USDC') >= %s AS read",
                len(self.windows),
                len(self.streets),
            )["read"],
            within_s=60,
        )
        return epoch


@contextmanager
def a_venue(ground: Ground) -> Iterator[Venue]:
    """Start a simulated venue that answers, mines and confirms at once."""
    with venue(
        ground.place("venue"), WINDOW_S="600", FIRST_OPEN_IN_S="1", TAKER_HOLD_MS="0", MINED_S="0", CONFIRMED_S="0",
        BALANCE_LAG_S="0",
    ) as made:  # fmt: skip
        yield made


@contextmanager
def relay_to(url: str) -> Iterator[tuple[Companion, str]]:
    """Start a relay in front of an address; yields it and the address through it."""
    place = urlsplit(url)
    with companion("tests.benchmarks.relay", str(place.hostname), str(place.port)) as relay:
        port = relay.hear()
        _, _, host = place.netloc.rpartition("@")
        yield relay, url.replace(host, f"127.0.0.1:{port}", 1)


@contextmanager
def deployed(
    ground: Ground, venue_: Venue, *, accounts: int, name: str = "account", left_s: float = 300
) -> Iterator[Deployment]:
    """Furnish a fresh Book with accounts that may hold fifty positions each, and windows of one market for them."""
    book = ground.book()
    folder = ground.place("deployment")
    with ExitStack() as stack:
        streets = []
        for number in range(accounts):
            desk = stack.enter_context(Desk(book.role_url, book.url, account=f"{name}{number}", mode="LIVE"))
            desk.do("execution", "SELECT pg_advisory_unlock_all()")  # the lock is the process's to win
            for key, value in CONTROLS.items():
                desk.control(key, value)
            home = folder / desk.account
            home.mkdir()
            streets.append(Street(venue_, desk, home))
        market = streets[0].open_market(left_s=left_s)
        for street in streets:
            street.window = streets[0].window
        row = streets[0].desk.one("SELECT * FROM windows WHERE window_id = %s", market)
        same = ("condition_id", "up_token", "down_token", "opens_at", "closes_at", "strike")
        windows = [f"{market}-{number}" for number in range(WINDOWS)]
        for window in windows:
            streets[0].desk.window(window_id=window, **{name: row[name] for name in same})
        yield Deployment(book, streets, windows)
