"""One function, one transaction, no network: what feed_collector records."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from services.feed_collector.decide import (
    HALF,
    Consensus,
    ListingChange,
    compare_listing,
    has_ids,
    is_surprise,
    window_step,
)
from services.feed_collector.queries import list_gates
from shared.bus.channels import MarketMoved, WindowChanged
from shared.bus.notify import notify
from shared.db.engine import Database, Tx
from shared.db.queries import (
    administration,
    books,
    closes,
    failed_batches,
    feeds,
    lifecycle,
    ticks,
    windows,
)
from shared.domain.breaker import TripReason
from shared.domain.ids import AccountId, Instrument, WindowId
from shared.domain.modes import Mode
from shared.domain.ticks import Source
from shared.domain.windows import TRANSITIONS, Side, Window, WindowEvent, WindowState

CURRENT_AHEAD = timedelta(minutes=5)
CURRENT_BEHIND = timedelta(seconds=30)
RESOLVE_BEHIND = timedelta(days=2)
RESOLUTION_SOURCES = 3
"""Data API, Gamma and CLOB."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What became of what the venue lists: window ids by what was done."""

    changes: Mapping[WindowId, ListingChange]

    def count(self, change: ListingChange) -> int:
        """Return how many listings were of this kind."""
        return sum(1 for each in self.changes.values() if each is change)


async def start(database: Database) -> list[feeds.FeedRow]:
    """Put every stored book in doubt, for whoever kept it is gone, and return how the feeds were (C4)."""
    async with database.begin() as tx:
        await books.doubt_all(tx)
        return await feeds.list_all(tx)


async def open_capture(
    database: Database, instruments: Collection[Instrument]
) -> ticks.CaptureSession | None:
    """Return the connection that may write ticks of these instruments; None while another collector does (T5)."""
    return await ticks.CaptureSession.try_open(database, instruments)


async def save_listings(database: Database, listed: Sequence[Window]) -> Listed:
    """Write what the venue lists: new windows, and what changed of those that are not over (C5).

    Ids that changed are not written: the window takes no more orders, and a person is told.
    """
    changes: dict[WindowId, ListingChange] = {}
    async with database.begin() as tx:
        stored = {
            window.window_id: window
            for window in await windows.find(tx, [window.window_id for window in listed])
        }
        for window in listed:
            known = stored.get(window.window_id)
            change = compare_listing(known, window)
            if change is ListingChange.NEW and not await windows.insert_once(tx, window):
                change = ListingChange.SAME
            elif change is ListingChange.UPDATED and known is not None:
                await windows.update_listing(tx, window, expected=known.state)
            elif change is ListingChange.IDS_CHANGED:
                await _refuse_ids(tx, window)
            changes[window.window_id] = change
            if change in {ListingChange.NEW, ListingChange.UPDATED}:
                await notify(tx, WindowChanged(window.window_id))
    return Listed(changes)


async def _refuse_ids(tx: Tx, window: Window) -> None:
    if not await windows.stop_accepting_if(tx, window.window_id):
        return
    await lifecycle.raise_alert(
        tx,
        severity="CRITICAL",
        kind="window_ids_changed",
        dedup_key=f"window_ids:{window.window_id}",
        details={
            "window_id": window.window_id,
            "condition_id": window.condition_id,
            "up_token": window.up_token,
            "down_token": window.down_token,
        },
    )


async def read_windows(database: Database, venue_now: datetime) -> list[Window]:
    """Return the windows that are open, open soon or have just closed."""
    return await database.retry_read(
        lambda tx: windows.list_current(
            tx, opening_before=venue_now + CURRENT_AHEAD, closed_after=venue_now - CURRENT_BEHIND
        )
    )


async def move_windows(database: Database, current: Sequence[Window], venue_now: datetime) -> list[WindowId]:
    """Open and close the windows whose moment has come; returns those that moved.

    One without its ids stays where it is: it cannot be traded (C5).
    """
    due = [
        (window, event)
        for window in current
        if has_ids(window) and (event := window_step(window, venue_now)) is not None
    ]
    if not due:
        return []
    moved: list[WindowId] = []
    async with database.begin() as tx:
        for window, event in due:
            if await _move(tx, window, event, venue_now):
                moved.append(window.window_id)
                await notify(tx, WindowChanged(window.window_id))
    return moved


async def _move(tx: Tx, window: Window, event: WindowEvent, venue_now: datetime) -> bool:
    state = TRANSITIONS[window.state, event]
    moved = await windows.set_state_if(tx, window.window_id, expected=window.state, new=state)
    if moved and state is WindowState.OPEN and venue_now >= window.closes_at:
        # Nobody was there while it was open.
        await windows.set_state_if(tx, window.window_id, expected=state, new=WindowState.CLOSED)
    return moved


async def strikes_wanted(database: Database) -> list[WindowId]:
    """Return the windows whose price to beat the venue has not told yet."""
    return await database.retry_read(windows.list_without_venue_strike)


async def set_strike(database: Database, window_id: WindowId, strike: Decimal, *, source: str) -> bool:
    """Write a window's price to beat, USD, and whose it is; False when nothing changed."""
    async with database.begin() as tx:
        changed = await windows.set_strike_if(tx, window_id, strike=strike, source=source)
        if changed:
            await notify(tx, WindowChanged(window_id))
        return changed


async def write_books(database: Database, rows: Sequence[books.BookRow]) -> None:
    """Store the newest books."""
    async with database.begin() as tx:
        await books.write(tx, rows)


async def announce(database: Database, moved: frozenset[WindowId]) -> None:
    """Wake whoever looks at markets: a statement of its own, for a notifying commit is dear (D6)."""
    async with database.begin() as tx:
        await notify(tx, MarketMoved(moved))


async def write_snapshots(database: Database, rows: Sequence[books.SnapshotRow]) -> None:
    """Append a line to the history of each book."""
    async with database.begin() as tx:
        await books.insert_snapshots(tx, rows)


async def write_oracle_changes(database: Database, changes: Sequence[feeds.OracleChange]) -> None:
    """Append the oracle's changes."""
    async with database.begin() as tx:
        await feeds.insert_oracle_changes(tx, changes)


@dataclass(frozen=True, slots=True)
class GapNews:
    """Gaps that began and ended with one writing of the feeds' state."""

    begun: tuple[tuple[Source, Instrument], ...]
    ended: tuple[tuple[Source, Instrument], ...]


async def write_feeds(database: Database, rows: Sequence[feeds.FeedRow], now: datetime) -> GapNews:
    """Store how the feeds are; a silence begins a gap, its end closes it and taints the windows it fell into (C11)."""
    begun: list[tuple[Source, Instrument]] = []
    ended: list[tuple[Source, Instrument]] = []
    async with database.begin() as tx:
        await feeds.write(tx, rows)
        open_gaps = {
            (gap.feed, gap.instrument) for gap in await feeds.list_gaps(tx, since=now) if gap.ended_at is None
        }
        for row in rows:
            key = (row.feed, row.instrument)
            if row.stale_since is not None and key not in open_gaps:
                if await feeds.begin_gap(tx, *key, started_at=row.stale_since):
                    begun.append(key)
                    await windows.taint(tx, instrument=row.instrument, since=row.stale_since)
            elif row.stale_since is not None:
                await windows.taint(tx, instrument=row.instrument, since=row.stale_since)
            elif key in open_gaps:
                await feeds.end_gap(tx, *key, ended_at=row.last_received_at or now)
                ended.append(key)
    return GapNews(tuple(begun), tuple(ended))


async def write_close_sample(database: Database, sample: closes.CloseSample) -> None:
    """Write what everybody said at one moment before a close."""
    async with database.begin() as tx:
        await closes.write_sample(tx, sample)


async def write_dense_samples(database: Database, samples: Sequence[closes.DenseSample]) -> None:
    """Write a second's worth of samples before a close."""
    async with database.begin() as tx:
        await closes.write_dense(tx, samples)


async def unresolved(database: Database, venue_now: datetime) -> list[Window]:
    """Return the windows that are over and whose end nobody has recorded."""
    return await database.retry_read(
        lambda tx: windows.list_unresolved(
            tx, closed_after=venue_now - RESOLVE_BEHIND, sources=RESOLUTION_SOURCES
        )
    )


async def save_resolutions(database: Database, window: Window, said: Sequence[windows.Told]) -> list[str]:
    """Record what the venue's sources say of a window's end; returns those that had not spoken before.

    Settling is the reconciler's, who is woken.
    """
    async with database.begin() as tx:
        await closes.count_attempt(tx, window.window_id)
        new = [
            each.source for each in said if await windows.insert_resolution_once(tx, window.window_id, each)
        ]
        if new:
            await _write_result(tx, window)
            await notify(tx, WindowChanged(window.window_id))
        return new


async def _write_result(tx: Tx, window: Window) -> None:
    """Fill the close row, unless the sources contradict one another: then a person looks, and nothing is written."""
    told = await windows.list_resolutions(tx, window.window_id)
    if len({each.payout_up for each in told}) != 1:
        await lifecycle.raise_alert(
            tx,
            severity="CRITICAL",
            kind="resolutions_disagree",
            dedup_key=f"resolutions_disagree:{window.window_id}",
            details={"said": {each.source: str(each.payout_up) for each in told}},
        )
        return
    first = told[0]
    consensus = await closes.find_consensus(tx, window.window_id)
    said = None if consensus is None else Consensus(Side(consensus[0]), consensus[1])
    result = closes.CloseResult(
        payout_up=first.payout_up,
        direction="SPLIT" if first.payout_up == HALF else ("UP" if first.payout_up == 1 else "DOWN"),
        source=first.source,
        resolved_at=next((each.resolved_at for each in told if each.resolved_at is not None), None),
        surprise=is_surprise(said, first.payout_up),
    )
    await closes.write_result(
        tx, window.window_id, instrument=window.instrument, closes_at=window.closes_at, result=result
    )


async def put_aside(database: Database, batch: ticks.TickBatch, error: str) -> None:
    """Put a batch aside that could not be stored (C3)."""
    async with database.begin() as tx:
        await failed_batches.keep(tx, batch, error)


async def is_put_aside(database: Database, batch_id: str) -> bool:
    """Return whether a batch was put aside although nobody answered."""
    return await database.retry_read(lambda tx: failed_batches.is_kept(tx, batch_id))


async def forget_batches(database: Database) -> None:
    """Delete the names of old batches, and the batches that were replayed a week ago (C3)."""
    async with database.begin() as tx:
        await ticks.forget_batches(tx)
        await failed_batches.forget_replayed(tx)


async def trip_all(database: Database, context: Mapping[str, Any]) -> int:
    """Stop every account: what the market did is not on record any more (C3). Returns how many gates this shut."""
    tripped = 0
    async with database.begin() as tx:
        for account, mode in await list_gates(tx):
            tripped += await lifecycle.trip_breaker(
                tx, account, mode, TripReason.DATA_CAPTURE_UNRECOVERABLE, context
            )
    return tripped


async def open_breakers(database: Database) -> list[tuple[AccountId, Mode]]:
    """Return the accounts and modes whose breaker is open."""
    return await database.retry_read(lambda tx: list_gates(tx, tripped=True))


async def ensure_partitions(database: Database) -> int:
    """Make today's tick partition and the next days'; returns how many were missing (C12)."""
    async with database.begin() as tx:
        return await administration.ensure_partitions(tx)


async def forget_books(database: Database) -> int:
    """Delete the books of windows that are long over."""
    async with database.begin() as tx:
        return await books.forget_closed(tx)


async def alert(
    database: Database, *, severity: str, kind: str, key: str, details: Mapping[str, Any]
) -> None:
    """Put an alert in the outbox."""
    async with database.begin() as tx:
        await lifecycle.raise_alert(tx, severity=severity, kind=kind, dedup_key=key, details=details)


async def beat(database: Database, *, instance: str, healthy: bool, details: Mapping[str, Any]) -> None:
    """Say that the collector lives and whether it is fit (R11)."""
    async with database.begin() as tx:
        await lifecycle.beat(
            tx, service="feed_collector", instance=instance, healthy=healthy, details=details
        )


async def gaps_of_day(database: Database, now: datetime) -> list[feeds.Gap]:
    """Return the gaps of the last 24 hours, for /health."""
    return await database.retry_read(lambda tx: feeds.list_gaps(tx, since=now - timedelta(days=1)))
