"""Between a person and the Book: open it, do one thing, say plainly what came of it, end with a status.

0: done. 1: refused, or something is wrong. 2: the command or a setting cannot be meant.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Annotated, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from services.operator import queries
from services.operator.config import OperatorSettings
from shared.db.engine import CommitUnknown, Database
from shared.domain.modes import Mode
from shared.domain.money import MICRO, parse
from shared.observability.logs import configure_logs
from shared.observability.redaction import redact
from shared.runtime.service import StartRefused
from shared.runtime.settings import load_settings

REFUSED_STATUS = 1
ANSWER_WITHIN_S = 60.0
WIDE = 200
"""Columns of a screen nobody looks at: what is read by a program or a file is not cut off."""

T = TypeVar("T")


def parse_usdc(text: str) -> Decimal:
    """Return exact dollars; raises BadParameter for what is no number or no whole count of micro-units."""
    try:
        amount = parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if amount % MICRO:
        raise typer.BadParameter(f"{text} has more than six decimals: USDC are counted in millionths")
    return amount


def _parse_name(text: str) -> str:
    if not text.strip():
        raise typer.BadParameter("it must not be empty: the Book keeps it for ever")
    return text.strip()


def _parse_mode(text: str) -> Mode:
    try:
        return Mode(text.strip().upper())
    except ValueError:
        raise typer.BadParameter(f"there is no mode {text!r}; there are {', '.join(Mode)}") from None


By = Annotated[str, typer.Option("--by", parser=_parse_name, metavar="NAME", help="who does this")]
Reason = Annotated[str, typer.Option("--reason", parser=_parse_name, metavar="TEXT", help="why")]
ModeOption = Annotated[
    Mode, typer.Option("--mode", parser=_parse_mode, metavar="MODE", help="PAPER, DRY_RUN, LIVE or BACKTEST")
]


def in_book(act: Callable[[Database], Awaitable[T]], *, within_s: float = ANSWER_WITHIN_S) -> T:
    """Return what ``act`` returns for the Book of DATABASE_URL; ends the program with a clear line when it cannot."""
    settings = load_settings(OperatorSettings)
    redact(*settings.secrets())
    configure_logs("operator", level="ERROR", stream=sys.stderr)

    async def run() -> T:
        database = await Database.connect(settings.database_url, application_name="operator")
        try:
            async with asyncio.timeout(within_s):
                return await act(database)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except StartRefused as refused:
        fail(str(refused))
    except TimeoutError:
        fail(f"the Book gave no answer within {within_s:g} s; look before doing it again")
    except CommitUnknown:
        fail(
            "the connection was lost while the change was being committed: look with `status` before doing it again"
        )
    except Exception as error:
        words = queries.words_of(error)
        if words is None:
            raise
        fail(words)


def fail(message: str) -> NoReturn:
    """Say on stderr why not, and end with status 1."""
    screen(error=True).print(Text(message, style="bold red"), soft_wrap=True)
    raise typer.Exit(REFUSED_STATUS)


def say(message: str) -> None:
    """Say what was done."""
    screen().print(Text(message), soft_wrap=True)


def say_data(data: object) -> None:
    """Print JSON for a program; money in it is text already."""
    sys.stdout.write(json.dumps(data, default=str, indent=2) + "\n")


def screen(*, error: bool = False) -> Console:
    """Return the terminal as wide as it is, or a wide page where there is none."""
    console = Console(stderr=error, highlight=False)
    return console if console.is_terminal else Console(stderr=error, highlight=False, width=WIDE)
