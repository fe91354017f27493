"""tick_archives and archive_policy, and the pages of ticks that go into an archive or to a reader (B16)."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import text

from shared.db.engine import Tx
from shared.domain.ids import Instrument, TokenId
from shared.domain.ticks import PriceTick, Source

ALONE = "hashtextextended('tick_archive', 0)"
"""Whoever adds ticks of an old day holds this lock shared; whoever says a day is archived, alone."""
COUNT_LIMIT_MS = 600_000


@dataclass(frozen=True, slots=True)
class StoredTick:
    """A tick as it stands in the Book; ``serial`` orders those of one moment."""

    serial: int
    tick: PriceTick

    @property
    def place(self) -> tuple[datetime, int]:
        """Return where it stands in the order of all ticks."""
        return (self.tick.received_at, self.serial)


@dataclass(frozen=True, slots=True)
class ArchivedDay:
    """One day's archive: where it is, and what it must contain."""

    day: date
    address: str
    rows: int
    file_sha256: str
    content_sha256: str
    size_bytes: int


class DayChanged(Exception):
    """A day got more ticks while it was archived: it has to be archived again."""


async def page(
    tx: Tx, *, after: tuple[datetime, int], until: datetime, limit: int, instrument: Instrument | None = None
) -> list[StoredTick]:
    """Return the next ticks in order of receipt, ``limit`` at most: those beyond ``after`` and before ``until``."""
    wanted = "" if instrument is None else "AND symbol = :symbol"
    statement = text(
        f"""SELECT id, timestamp, symbol, source, price, token_id, source_timestamp, trade_id FROM price_ticks
        WHERE timestamp >= :at AND (timestamp, id) > (:at, :serial) AND timestamp < :until {wanted}
        ORDER BY timestamp, id LIMIT :limit"""  # noqa: S608 one of two texts of this function
    )
    parameters = {"at": after[0], "serial": after[1], "until": until, "limit": limit}
    if instrument is not None:
        parameters["symbol"] = instrument
    return [
        StoredTick(
            row.id,
            PriceTick(
                Instrument(row.symbol),
                Source(row.source),
                row.price,
                row.source_timestamp,
                row.timestamp,
                token_id=None if row.token_id is None else TokenId(row.token_id),
                trade_id=row.trade_id,
            ),
        )
        for row in await tx.execute(statement, parameters)
    ]


async def set_policy(tx: Tx, address: str | None) -> None:
    """Say where days go before they are dropped; None: nowhere. The Book holds whoever drops to it."""
    statement = text(
        """INSERT INTO archive_policy AS kept (one, address) VALUES (true, :address)
        ON CONFLICT (one) DO UPDATE SET address = excluded.address, changed_at = clock_timestamp()
        WHERE kept.address IS DISTINCT FROM excluded.address"""
    )
    await tx.execute(statement, {"address": address})


async def find_policy(tx: Tx) -> str | None:
    """Return where days are archived; None where they are not."""
    address: str | None = await tx.scalar(text("SELECT address FROM archive_policy"))
    return address


async def insert_once(tx: Tx, archived: ArchivedDay) -> bool:
    """Say that a day is archived; False when it is already. Raises DayChanged when it has other ticks by now."""
    await tx.execute(text(f"SET LOCAL statement_timeout = {COUNT_LIMIT_MS}"))
    await tx.execute(text(f"SELECT pg_advisory_xact_lock({ALONE})"))  # a constant of ours
    begin = datetime.combine(archived.day, datetime.min.time())
    counted = await tx.scalar(
        text(
            "SELECT count(*) FROM price_ticks WHERE timestamp >= :begin AT TIME ZONE 'UTC' AND timestamp < :end AT TIME ZONE 'UTC'"
        ),
        {"begin": begin, "end": begin + timedelta(days=1)},
    )
    if counted != archived.rows:
        raise DayChanged(f"{archived.day} has {counted} ticks, its archive {archived.rows}")
    statement = text(
        """INSERT INTO tick_archives (day, address, rows, sha256, content_sha256, bytes)
        VALUES (:day, :address, :rows, :file, :content, :bytes) ON CONFLICT (day) DO NOTHING RETURNING day"""
    )
    parameters = {
        "day": archived.day,
        "address": archived.address,
        "rows": archived.rows,
        "file": archived.file_sha256,
        "content": archived.content_sha256,
        "bytes": archived.size_bytes,
    }
    return (await tx.execute(statement, parameters)).one_or_none() is not None


async def list_archived(tx: Tx, *, since: date, until: date) -> list[ArchivedDay]:
    """Return the archived days from ``since`` to before ``until``, oldest first."""
    statement = text(
        """SELECT day, address, rows, sha256, content_sha256, bytes FROM tick_archives
        WHERE day >= :since AND day < :until ORDER BY day"""
    )
    return [
        ArchivedDay(row.day, row.address, row.rows, row.sha256, row.content_sha256 or "", row.bytes or 0)
        for row in await tx.execute(statement, {"since": since, "until": until})
    ]


async def list_places(tx: Tx) -> set[date]:
    """Return the days whose ticks have a partition: they are in the Book, archived or not."""
    statement = text(
        """SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'price_ticks'::regclass"""
    )
    return set(await tx.scalars(statement))
