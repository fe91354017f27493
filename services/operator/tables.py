"""The page of ``status``: a table for each question."""

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal

from rich.table import Table
from rich.text import Text

from services.operator.doctor import HEARTBEAT_AGE_MAX_S
from services.operator.queries import AccountState, Event, Heartbeat, OpenPosition, OrderLine

_ID_SHOWN = 14


def status_page(
    states: Sequence[AccountState],
    positions: Sequence[OpenPosition],
    orders: Sequence[OrderLine],
    heartbeats: Sequence[Heartbeat],
    events: Sequence[Event],
) -> list[Table]:
    """Return the tables from what matters most to what happened last."""
    return [_states(states), _positions(positions), _orders(orders), _heartbeats(heartbeats), _events(events)]


def _table(title: str, left: Iterable[str], right: Iterable[str] = (), last: Iterable[str] = ()) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in left:
        table.add_column(column, style=None)
    for column in right:
        table.add_column(column, justify="right")
    for column in last:
        table.add_column(column)
    return table


def _states(states: Sequence[AccountState]) -> Table:
    table = _table(
        "Accounts, USDC by the ledger",
        ("account", "mode", "breaker", "kill switch", "ceiling"),
        ("deposited", "cash", "reserved", "positions", "receivable", "gross", "fees", "net", "open"),
    )
    for each in states:
        breaker = Text("CLOSED", style="green")
        if each.breaker != "CLOSED":
            breaker = Text(f"OPEN {each.breaker_reason}", style="bold red")
        switch = Text(each.kill_switch, style="green" if each.kill_switch == "OFF" else "bold yellow")
        money = (each.deposited, each.cash, each.reserved, each.positions, each.receivable, each.gross_pnl)
        table.add_row(
            each.account,
            each.mode,
            breaker,
            switch,
            f"{each.mode_ceiling}{' HALTED' if each.halted else ''}",
            *(f"{amount:f}" for amount in money),
            f"{each.fees:f}",
            _signed(each.net_pnl),
            str(each.open_count),
        )
    return table


def _positions(positions: Sequence[OpenPosition]) -> Table:
    table = _table(
        f"Open positions: {len(positions)}",
        ("account", "mode", "position", "state", "window", "side"),
        ("shares", "cost", "bid"),
        ("exit",),
    )
    for each in positions:
        bid = "nobody bids" if each.bid is None else f"{each.bid:f}"
        table.add_row(
            each.account,
            each.mode,
            each.position_id,
            each.state,
            each.window_id,
            each.side,
            f"{each.shares:f}",
            f"{each.cost_usdc:f}",
            bid,
            each.exit_reason or "",
        )
    return table


def _orders(orders: Sequence[OrderLine]) -> Table:
    table = _table(
        "Newest orders",
        ("time (UTC)", "account", "mode", "order", "purpose", "state", "window"),
        ("limit", "shares", "USDC", "fee"),
    )
    for each in orders:
        state = f"{each.state} {each.reason}" if each.reason else each.state
        table.add_row(
            each.claimed_at.strftime("%H:%M:%S.%f")[:-3],
            each.account,
            each.mode,
            each.order_id[:_ID_SHOWN],
            f"{each.purpose} {each.side}",
            state,
            each.window_id,
            f"{each.limit_price:f}",
            f"{each.shares:f}",
            f"{each.usdc:f}",
            f"{each.fee_usdc:f}",
        )
    return table


def _heartbeats(heartbeats: Sequence[Heartbeat]) -> Table:
    table = _table("Who is alive", ("service", "instance", "fit"), ("seconds ago",))
    for each in heartbeats:
        silent = each.age_s > HEARTBEAT_AGE_MAX_S
        fit = (
            Text("silent", style="bold red")
            if silent
            else Text("yes", style="green")
            if each.healthy
            else Text("no", style="red")
        )
        table.add_row(each.service, each.instance, fit, f"{each.age_s:.1f}")
    return table


def _events(events: Sequence[Event]) -> Table:
    table = _table("Newest events", ("time (UTC)", "account", "mode", "event", "by", "details"))
    for each in events:
        table.add_row(
            each.at.strftime("%H:%M:%S.%f")[:-3],
            each.account,
            each.mode,
            each.kind,
            each.actor.removeprefix("onebook_"),
            json.dumps(each.details, ensure_ascii=False),
        )
    return table


def _signed(amount: Decimal) -> Text:
    return Text(f"{amount:+f}", style="green" if amount >= 0 else "red")
