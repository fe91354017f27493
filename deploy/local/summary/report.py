"""The summary as a person reads it."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_report(summary: Mapping[str, Any], console: Console) -> None:
    """Print what was traded, what it brought, and whether the Book and the venue agree."""
    table = Table(
        title=f"Demo in {summary['mode']}", title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    table.add_column()
    table.add_column()
    table.add_row(
        "windows", f"{summary['windows_traded']} traded, {summary['windows_settled']} settled while watched"
    )
    table.add_row("signals", f"{summary['signals']}: {_states(summary['signals_by_state'])}")
    if summary["refusals"]:
        table.add_row("refused for", _states(summary["refusals"]))
    table.add_row("orders", f"{summary['orders']}: {_states(summary['orders_by_state'])}")
    table.add_row("fills", str(summary["fills"]))
    table.add_row("positions", f"{summary['positions']}: {_states(summary['positions_by_state'])}")
    for account, money in summary["accounts"].items():
        table.add_row(
            account,
            f"gross {money['gross_pnl_usdc']}, fees {money['fees_usdc']}, net {money['net_pnl_usdc']},"
            f" cash {money['cash_usdc']} USDC",
        )
    for account, wallet in summary["simulator"].items():
        table.add_row(
            f"{account} at the venue",
            f"cash {wallet.get('cash_usdc')} USDC, {len(wallet.get('tokens', {}))} worthless tokens",
        )
    table.add_row("net, all", f"{summary['net_pnl_usdc']} USDC")
    if summary["signal_to_sent_ms"]:
        table.add_row(
            "signal to sent",
            "median {median} ms, 99th percentile {p99} ms".format(**summary["signal_to_sent_ms"]),
        )
    if summary["restarts"]:
        table.add_row("restarted", _states(summary["restarts"]))
    console.print(table)
    for words in (*summary["differences"], *summary["problems"]):
        console.print(Text(f"✗ {words}", style="bold red"), soft_wrap=True)
    against = (
        "Book and venue agree to the micro-unit" if summary["simulator"] else "ledger and audit chain verify"
    )
    if summary["ok"]:
        console.print(Text(f"✓ every position is over; {against}", style="bold green"))
    else:
        console.print(
            Text(
                f"✗ {summary['mismatches']} differences, {len(summary['problems'])} problems",
                style="bold red",
            )
        )


def _states(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{times} {name}" for name, times in counts.items()) or "none"
