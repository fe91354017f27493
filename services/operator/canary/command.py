"""The command ``canary verify``."""

from functools import partial
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from services.operator.canary.judge import CanaryWindow, points
from services.operator.canary.queries import read_windows
from services.operator.console import REFUSED_STATUS, ModeOption, fail, in_book, screen
from shared.db.engine import Database
from shared.domain.modes import Mode

canary_app = typer.Typer(help="the strategy that proves the way of a trade", no_args_is_help=True)


@canary_app.callback()
def _canary() -> None:
    """Keep ``verify`` a command of its own."""


@canary_app.command()
def verify(
    mode: ModeOption = Mode.PAPER,
    windows: Annotated[
        int, typer.Option("--windows", min=1, max=100, help="how many of the newest windows")
    ] = 2,
) -> None:
    """Check the ten points of each window the canary traded; status 1 when one did not hold."""
    found = in_book(lambda database: _read(database, mode, windows))
    if not found:
        fail(f"the canary has spoken in no window that is over, in {mode}")
    broken = 0
    for window in found:
        table = Table(
            title=f"{window.window_id} · {window.account_id} · {window.mode}", title_justify="left", box=None
        )
        for column in ("", "point", "seen"):
            table.add_column(column)
        for point in points(window):
            broken += not point.held
            verdict = Text("✓", style="green") if point.held else Text("✗", style="bold red")
            table.add_row(verdict, f"{point.number}. {point.what}", point.seen)
        screen().print(table)
    if broken:
        raise typer.Exit(REFUSED_STATUS)


async def _read(database: Database, mode: Mode, windows: int) -> list[CanaryWindow]:
    return await database.retry_read(partial(read_windows, mode=mode, windows=windows))
