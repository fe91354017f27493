"""The one reader of recorded windows: what a backtest may see of each, from the Book or from a day's archive (B16, S5).

The recorder follows a book from a minute and a half before its window opens, and until then such a book rests at 0.50
on both sides: a strategy that sees it trades on a price nobody could have traded on. So nothing of a token from before
its window's opening leaves this reader, whoever asks (FM14).
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime, timedelta
from functools import partial

from shared.db.engine import Database
from shared.db.queries import recorded
from shared.db.queries.archives import StoredTick
from shared.db.queries.recorded import RecordedWindow, StoredSnapshot
from shared.db.tick_reader import PAGE_ROWS, read_ticks
from shared.domain.ids import Instrument, TokenId
from shared.domain.windows import Window

_NO_LEAD = timedelta(0)


async def list_windows(
    database: Database, *, since: datetime, until: datetime, instrument: Instrument | None = None
) -> list[RecordedWindow]:
    """Return every window that opened at or after ``since`` and was over by ``until``, the tainted ones marked."""
    return await database.retry_read(
        partial(recorded.list_over, since=since, until=until, instrument=instrument)
    )


async def read_window_ticks(
    database: Database, window: Window, *, lead: timedelta = _NO_LEAD
) -> AsyncGenerator[list[StoredTick]]:
    """Yield a window's ticks in order of receipt, in pages, from its opening to its close; the caller closes it.

    They are the underlying's, of every feed, and the window's own tokens'. ``lead`` adds what the feeds of the
    underlying told so long before the opening, as a live strategy has it in view at the open; a token's prices never
    begin before the opening, by their own time or by ours. Raises DayLost and ArchiveDamaged as ``read_ticks`` does.
    """
    tokens = _tokens(window)

    def is_wanted(stored: StoredTick) -> bool:
        tick = stored.tick
        if tick.token_id is None:
            return True
        said_at = tick.source_at or tick.received_at
        return tick.token_id in tokens and min(said_at, tick.received_at) >= window.opens_at

    pages = read_ticks(
        database, since=window.opens_at - lead, until=window.closes_at, instrument=window.instrument
    )
    async with aclosing(pages):
        async for page in pages:
            wanted = [stored for stored in page if is_wanted(stored)]
            if wanted:
                yield wanted


async def read_window_books(database: Database, window: Window) -> AsyncGenerator[list[StoredSnapshot]]:
    """Yield the history of both tokens' books in time order, in pages, from the opening to the close."""
    tokens = _tokens(window)
    after = (window.opens_at, -1)
    while True:
        page = await database.retry_read(
            partial(
                recorded.page_snapshots,
                tokens=tokens,
                instrument=window.instrument,
                after=after,
                until=window.closes_at,
                limit=PAGE_ROWS,
            )
        )
        if page:
            yield page
            after = page[-1].place
        if len(page) < PAGE_ROWS:
            return


def _tokens(window: Window) -> tuple[TokenId, ...]:
    return tuple(token for token in (window.up_token, window.down_token) if token is not None)
