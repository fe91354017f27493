"""``window-page``: look at one recorded window."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from services.operator.capture import page, queries
from services.operator.capture.queries import Recorded
from services.operator.console import fail, in_book, say
from shared.db.engine import Database


async def read(database: Database, window_id: str | None) -> Recorded | str:
    """Return what was recorded of a window (None: of the last resolved one), or why there is nothing."""
    wanted = window_id or await database.retry_read(queries.newest_closed)
    if wanted is None:
        return "no window is recorded and resolved yet"
    window = await database.retry_read(partial(queries.find_window, window_id=wanted))
    if window is None:
        return f"the Book has no window {wanted}"
    return await database.retry_read(partial(queries.read_recorded, window=window))


def window_page(
    window: Annotated[
        str | None, typer.Argument(help="its id; without one, the last that was resolved")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="the file to write; by default WINDOW.html")] = None,
) -> None:
    """Draw one recorded window: feeds, the average, both books, divergences and the resolution, as one HTML file."""
    recorded = in_book(partial(read, window_id=window))
    if isinstance(recorded, str):
        fail(recorded)
    path = out or Path(f"{recorded.window.window_id}.html")
    try:
        path.write_text(page.draw(recorded))
    except page.NoPlots as reason:
        fail(str(reason))
    ticks = sum(len(points.at) for points in recorded.feeds.values())
    say(f"{path}: {ticks:,} ticks of {len(recorded.feeds)} feeds, {len(recorded.books)} books")
