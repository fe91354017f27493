"""The world's side of a run: windows and signals appear, trades arrive, Unknowns are found out, windows are settled."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from tests.simulation.history.clients import Client
from tests.simulation.history.street import ACCOUNTS, MODE, STRATEGIES, Fate, add_signal, add_window, fate

PROOFS = {"venue_closed": True, "order_unknown": True, "no_trade": True, "balance_equal": True}
SIGNALS_AHEAD = 12
UNFINISHED = "('SUBMITTING', 'LIVE', 'DELAYED', 'CANCELLING', 'UNKNOWN')"


@dataclass(slots=True)
class Sent:
    """What the journal says was sent, read on as it grows."""

    path: Path
    seed: int
    fates: dict[str, Fate] = field(default_factory=dict)
    operations: int = 0
    _offset: int = 0

    def look(self) -> list[str]:
        """Return orders sent since the last look."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        whole = text.rfind(b"\n") + 1
        self._offset += whole
        return list(self._read(text[:whole].splitlines()))

    def _read(self, lines: list[bytes]) -> Iterator[str]:
        for row in map(json.loads, lines):
            self.operations += "function" in row and row["function"] != "take_epoch"
            if row.get("function") == "send":
                order = row["value"]["order"]
                self.fates[order] = fate(self.seed, order, row["value"]["side"], row["value"]["amount"])
                yield order


def signals(client: Client) -> None:
    """Open a window every now and then, and make more signals than may pass."""
    owner, made = client.connection(), 0
    windows: list[str] = []
    while not client.pause(0.02, 0.05):
        if made % 5 == 0:
            windows = [*windows[-3:], add_window(owner, made // 5)]
        for _ in range(3):
            window, account = client.chance.choice(windows), client.chance.choice(ACCOUNTS)
            add_signal(
                *(owner, f"s{made:06}", account, client.chance.choice(STRATEGIES), window), ordinal=made
            )
            made += 1


def marks(client: Client) -> None:
    """Say of each new epoch that it was compared: nothing is claimed before."""
    while not client.pause(0.1, 0.5, 1.5):
        for (epoch,) in client.ask("SELECT epoch FROM executor_epochs WHERE reconciled_at IS NULL"):
            client.call("mark", {"epoch": epoch}, "SELECT mark_reconciled(%s, '{}')", epoch)


def channel(client: Client, sent: Sent) -> None:
    """The user channel: trades in any order, some of them twice, never in time."""
    late: list[tuple[str, str]] = []
    while not client.pause(0.03, 0.1):
        for order in sent.look():
            if sent.fates[order].shares > 0:
                final = sent.fates[order].final
                steps = (
                    ("MATCHED", "MINED", "RETRYING", final)
                    if final == "CONFIRMED"
                    else ("MATCHED", "RETRYING", final)
                )
                states = client.chance.sample(steps, 3)
                late += [(order, state) for state in (*states, states[0])]
        client.chance.shuffle(late)
        for _ in range(len(late) // 3):
            trade(client, sent.fates, *late.pop())


def trade(client: Client, fates: dict[str, Fate], order: str, state: str) -> None:
    """Record the order's one trade in one of its states."""
    client.call(
        "trade",
        {"order": order, "trade": f"t-{order[:12]}", "state": state},
        "SELECT apply_trade(%s, 'channel')",
        Jsonb(fates[order].trade(order, state)),
    )


def find_out(client: Client, sent: Sent) -> None:
    """The reconciler: what is unfinished or Unknown becomes fact, by trades, by a reading, or by the four proofs."""
    while not client.pause(0.1, 0.2):
        find_out_once(client, sent)


def find_out_once(client: Client, sent: Sent) -> None:
    """One look at everything that is open."""
    sent.look()
    over = "w.closes_at < clock_timestamp() - interval '0.3 seconds'"
    for order, state, is_over in client.ask(
        f"SELECT order_id, o.state, {over} FROM orders o JOIN windows w USING (window_id)"
        " WHERE o.state IN ('DELAYED', 'UNKNOWN')"
    ):
        known = sent.fates.get(order)
        if known is not None and known.shares > 0:
            trade(client, sent.fates, order, known.final)
            _learn(client, order, state, "MATCHED", {})
        elif known is not None and known.end != "LOST_ABSENT":
            _learn(client, order, state, "KILLED", {})
        elif is_over and state == "UNKNOWN":
            _learn(client, order, state, "PROVED_ABSENT", PROOFS)
    for (order,) in client.ask(
        "SELECT order_id FROM fills WHERE state IN ('MATCHED', 'MINED', 'RETRYING') AND changed_at < now() - interval '1 second'"
    ):
        trade(client, sent.fates, order, sent.fates[order].final)
    for (window,) in client.ask(
        f"SELECT DISTINCT window_id FROM positions JOIN windows w USING (window_id) WHERE {over} AND w.state <> 'RESOLVED'"
    ):
        payout = client.chance.choice((0, 0, 1))
        client.call(
            "settle",
            {"window": window},
            "SELECT settle(%s, %s, %s, 'history', now(), 'UP')",
            *(window, payout, 1 - payout),
        )
    for redemption, expected in client.ask(
        "SELECT redemption_id, expected_usdc FROM redemptions WHERE state IN ('CLAIMED', 'SUBMITTED')"
    ):
        for event, details in (("SUBMITTED", {"ticket": "x"}), ("PAID", {"paid_usdc": str(expected)})):
            client.call(
                "redeemed",
                {"redemption": redemption, "event": event},
                "SELECT record_redemption(%s, %s, %s)",
                *(redemption, event, Jsonb(details)),
            )


def _learn(client: Client, order: str, state: str, event: str, details: dict[str, Any]) -> None:
    value: dict[str, object] = {"order": order, "event": event}
    if state == "UNKNOWN":
        statement = "SELECT resolve_unknown(%s, %s, 'history', %s)"
    else:
        statement = "SELECT apply_order_evidence(%s, 'READING', 'TERMINAL', 'history', %s, %s)"
    client.call("resolve", value, statement, order, event, Jsonb(details))


def is_at_rest(owner: psycopg.Connection[Any], sent: Sent) -> bool:
    """Return True once nothing is open at the venue and every trade is here."""
    open_orders = owner.execute(
        f"SELECT count(*) FROM orders WHERE state IN {UNFINISHED} AND mode = %s", [MODE]
    ).fetchone()
    held = owner.execute(
        "SELECT count(*) FROM positions WHERE state NOT IN ('SETTLEMENT', 'REDEEMING', 'CLOSED', 'VOID') AND mode = %s",
        [MODE],
    ).fetchone()
    bought = {order for order, drawn in sent.fates.items() if drawn.shares > 0}
    here = {
        row[0]
        for row in owner.execute(
            "SELECT order_id FROM fills WHERE state IN ('CONFIRMED', 'FAILED')"
        ).fetchall()
    }
    return open_orders == (0,) and held == (0,) and bought <= here
