"""Everybody in a run who is not an executor: each a thread with its own connection, its own chance and its own journal."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psycopg

from tests.simulation.history.operations import End, Journal
from tests.simulation.history.street import ACCOUNTS, MODE

SWITCHES = ("PAUSE", "FLATTEN", "EMERGENCY")
LIMITS = {
    "max_open_positions": ("2", "4", "8", "8"),
    "max_exposure_usd": ("8", "16", "25"),
    "max_instrument_usd": ("6", "12", "15"),
    "max_position_usd": ("3", "5", "5", "5"),
}


@dataclass(slots=True)
class Client:
    """One caller: a call that loses its connection is an ``info``, and the next one has a new connection."""

    name: str
    url: str
    seed: int
    path: Path
    ended: threading.Event
    chance: Random = field(init=False)
    journal: Journal = field(init=False)
    _connection: psycopg.Connection[Any] | None = None

    def __post_init__(self) -> None:
        self.chance = Random(f"{self.seed}/{self.name}")
        self.journal = Journal(self.path, self.name)

    def connection(self) -> psycopg.Connection[Any]:
        """Return a living connection."""
        if self._connection is None or self._connection.closed:
            self._drop()
            self._connection = psycopg.connect(
                self.url, autocommit=True, application_name=f"client_{self.name}"
            )
        return self._connection

    def close(self) -> None:
        """Close the connection, if there is one, and the journal."""
        self._drop()
        self.journal.close()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def ask(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Read; asked again when the connection was lost."""
        while True:
            try:
                return self.connection().execute(statement, parameters).fetchall()
            except psycopg.OperationalError:
                if self.ended.is_set():
                    return []

    def call(self, function: str, value: dict[str, object], statement: str, *parameters: object) -> Any:
        """Do one operation and write down what became of it; returns its answer, None when it did not answer."""
        try:
            connection = self.connection()
        except psycopg.OperationalError:
            return None  # nothing was asked
        name = self.journal.invoke(function, **value)
        try:
            row = connection.execute(statement, parameters).fetchone()
        except psycopg.OperationalError:
            self.journal.complete(name, End.INFO)
            return None
        except psycopg.Error as error:
            self.journal.complete(name, End.FAIL, error.sqlstate)
            return None
        answer = row and row[0]
        self.journal.complete(name, End.OK, answer)
        return answer

    def pause(self, *seconds: float) -> bool:
        """Wait for one of these times; True once the run is over."""
        return self.ended.wait(self.chance.choice(seconds))


def switch(client: Client) -> None:
    """Throw the kill switch and lift it, again and again: for an account that is about to send, where there is one."""
    while not client.pause(0.2, 0.5, 1.0):
        sending = client.ask("SELECT account_id FROM orders WHERE state = 'SUBMITTING' AND mode = %s", MODE)
        account = client.chance.choice([row[0] for row in sending] or ACCOUNTS)
        _control(client, account, "kill_switch", client.chance.choice(SWITCHES))
        client.pause(0.02, 0.1, 0.3)
        _control(client, account, "kill_switch", "OFF")


def limit(client: Client) -> None:
    """Change what is allowed while it is being used."""
    while not client.pause(0.1, 0.3):
        key = client.chance.choice(list(LIMITS))
        _control(client, client.chance.choice(ACCOUNTS), key, client.chance.choice(LIMITS[key]))


def _control(client: Client, account: str, key: str, value: str) -> None:
    client.call(
        "control",
        {"account": account, "key": key, "value": value},
        "SELECT set_control(%s, %s, %s, 'history', 'run')",
        *(account, key, value),
    )


def trip(client: Client) -> None:
    """Trip the breaker of one account or the other."""
    while not client.pause(0.8, 1.5, 3):
        account = client.chance.choice(ACCOUNTS)
        client.call(
            "trip",
            {"account": account},
            "SELECT trip_breaker(%s, %s, 'MANUAL_TRIP', '{}')",
            *(account, MODE),
        )


def leave(client: Client) -> None:
    """Want out of what is held, for one reason or another."""
    while not client.pause(0.1, 0.3):
        held = client.ask("SELECT position_id FROM positions WHERE state = 'MONITORING' AND mode = %s", MODE)
        if held:
            position = client.chance.choice(held)[0]
            reason = client.chance.choice(("STOP_LOSS", "TAKE_PROFIT", "FLATTEN"))
            client.call(
                "ask_exit",
                {"position": position, "reason": reason},
                "SELECT request_exit(%s, %s, 0.4, 0.39)",
                *(position, reason),
            )


def reset(client: Client) -> None:
    """Reset open breakers as soon as the Book lets one; and begin a session now and then, so that losses do not add up."""
    while not client.pause(0.1, 0.3):
        for (account,) in client.ask(
            "SELECT account_id FROM trading_gate WHERE breaker = 'OPEN' AND mode = %s", MODE
        ):
            client.call(
                "reset", {"account": account}, "SELECT reset_breaker(%s, %s, 'me', 'run')", account, MODE
            )
        if client.chance.randint(0, 40) == 0:
            account = client.chance.choice(ACCOUNTS)
            client.call(
                "session", {"account": account}, "SELECT open_session(%s, %s, 'me')", *(account, MODE)
            )


def deposit(client: Client) -> None:
    """Bring money, each time under a name that may have been used before."""
    number = 0
    while True:
        number += client.chance.randint(0, 1)
        account = client.chance.choice(ACCOUNTS)
        client.call(
            "deposit",
            {"account": account, "reference": f"d{number}", "amount": "20"},
            "SELECT book_external(%s, %s, 'DEPOSIT', 20, %s)",
            *(account, MODE, f"d{number}"),
        )
        if client.pause(0.2, 0.5):
            return


ROLES: Sequence[tuple[str, str, Callable[[Client], None]]] = (
    ("switch", "operator", switch),
    ("limit", "operator", limit),
    ("trip", "risk_monitor", trip),
    ("leave", "risk_monitor", leave),
    ("reset", "operator", reset),
    ("deposit", "reconciler", deposit),
)
"""Name, role of the database, what it does."""
