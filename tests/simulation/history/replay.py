"""The Book's own events in their order, played again: what held at every single point between them. PURE."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from tests.simulation.history.operations import Operation
from tests.simulation.history.rows import Row, Rows

OUT = frozenset({"CLOSED", "VOID"})
ZERO = Decimal(0)


@dataclass(slots=True)
class Account:
    """One account as the events so far leave it."""

    controls: dict[str, str]
    open_count: int = 0
    holds: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    """Position → what is reserved for it and what it cost."""
    reserved: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    entered: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Position that holds a place → its window and strategy."""

    def limit(self, key: str) -> Decimal:
        return Decimal(self.controls[key])


def timeline(rows: Rows, account: str) -> list[tuple[str, Row]]:
    """Return events and entries in one order: both are written under the account's lock, so their times do not cross."""
    both = [("entry", row) for row in rows.ledger if row["account_id"] == account]
    both += [("event", row) for row in rows.audit if row["account_id"] == account]
    return sorted(both, key=lambda each: (each[1]["at"], each[0] == "event"))


def limits_exceeded(history: Sequence[Operation], rows: Rows) -> Iterator[str]:
    """Every limit in force at the moment of every claim, and one entry at a time per window and strategy (B8, B9)."""
    del history
    position = {row["position_id"]: row for row in rows.positions}
    for name in {row["account_id"] for row in rows.audit}:
        account = Account(dict(rows.defaults))
        for kind, row in timeline(rows, name):
            if kind == "entry":
                _move(account, row)
                if row["kind"] == "claim":
                    yield from _too_much(account, row, position)
            elif row["kind"] == "control_set":
                account.controls[row["details"]["key"]] = row["details"]["new"]
            elif row["kind"] == "entry_claimed":
                yield from _entered(account, row, position)
            elif row["kind"].startswith("position_"):
                _step(account, row, position)


def _move(account: Account, entry: Row) -> None:
    for bucket, amount in ((entry["from_bucket"], -entry["amount"]), (entry["to_bucket"], entry["amount"])):
        if bucket in {"RESERVED", "POSITIONS"}:
            account.holds[entry["position_id"]] += amount
        if bucket == "RESERVED":
            account.reserved[entry["position_id"]] += amount


def _too_much(account: Account, entry: Row, position: dict[str, Row]) -> Iterator[str]:
    instrument = position[entry["position_id"]]["instrument"]
    exposure = sum(account.holds.values())
    mine = sum(
        amount
        for other, amount in account.holds.items()
        if other in position and position[other]["instrument"] == instrument
    )
    for key, value in (
        ("max_exposure_usd", exposure), ("max_session_loss", exposure), ("max_instrument_usd", mine),
        ("max_position_usd", account.holds[entry["position_id"]]),
    ):  # fmt: skip
        if value > account.limit(key):
            yield f"{entry['order_id']}: {key} is {account.limit(key)}, with it {value}"


def _entered(account: Account, event: Row, position: dict[str, Row]) -> Iterator[str]:
    key = (event["window_id"], position[event["position_id"]]["strategy_id"])
    if key in account.entered.values():
        yield f"{event['order_id']}: {key} was entered already"
    if event["window_id"] in {window for window, _ in account.entered.values()}:
        yield f"{event['order_id']}: a position is open in {event['window_id']} already"
    account.entered[event["position_id"]] = key
    account.open_count += 1
    if account.open_count > account.limit("max_open_positions"):
        yield f"{event['order_id']}: {account.open_count} open of {account.limit('max_open_positions')}"


def _step(account: Account, event: Row, position: dict[str, Row]) -> None:
    was, now = event["details"]["from"] in OUT, event["kind"].removeprefix("position_").upper() in OUT
    if now and not was:
        account.open_count -= 1
        account.entered.pop(event["position_id"], None)
    elif was and not now:
        row = position[event["position_id"]]
        account.open_count += 1
        account.entered[event["position_id"]] = (row["window_id"], row["strategy_id"])


def unknown_let_go(history: Sequence[Operation], rows: Rows) -> Iterator[str]:
    """While an order is Unknown its capital, entry and slot stay, nothing is claimed and nobody resets (E6, P4, R1)."""
    del history
    for name in {row["account_id"] for row in rows.audit}:
        account = Account(dict(rows.defaults))
        unknown: dict[str, str] = {}
        for kind, row in timeline(rows, name):
            if kind == "entry":
                _move(account, row)
                freed = row["from_bucket"] == "RESERVED" and row["position_id"] in unknown.values()
                if freed and not row["kind"].startswith("trade_"):
                    yield f"{row['position_id']}: {row['amount']} of an Unknown released by {row['kind']}"
            elif row["kind"] == "order_unknown":
                unknown[row["order_id"]] = row["position_id"]
            elif row["kind"].startswith("order_"):
                unknown.pop(row["order_id"], None)
            elif row["kind"] in {"entry_claimed", "breaker_reset"} and unknown:
                yield f"{row['kind']} although {', '.join(unknown)} is Unknown"
        yield from _held_at_the_end(rows, name, account)


def _held_at_the_end(rows: Rows, name: str, account: Account) -> Iterator[str]:
    entered = {row["order_id"] for row in rows.entries if row["released_at"] is None}
    slots = {row["order_id"] for row in rows.slots}
    for order in rows.orders:
        if order["account_id"] != name or order["state"] != "UNKNOWN" or order["purpose"] != "ENTRY":
            continue
        held = account.reserved[order["position_id"]]
        if held != max(order["reserved_usdc"] - order["eff_usdc"] - order["eff_fee"], ZERO):
            yield f"{order['order_id']} is Unknown, and only {held} of {order['reserved_usdc']} is reserved"
        if order["order_id"] not in entered or order["order_id"] not in slots:
            yield f"{order['order_id']} is Unknown, and its entry or slot is gone"
