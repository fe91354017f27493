"""A day of ticks as one Parquet file and its manifest (B16).

The manifest says what must be in the file: how many rows of each feed, the file's hash, and a hash of the rows
themselves that does not depend on how a file is made. A file is read only if it is the archived one.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from shared.db.queries.archives import ArchivedDay, StoredTick
from shared.domain.ids import Instrument, TokenId
from shared.domain.ticks import PriceTick, Source

FORMAT = "onebook ticks 1"
BATCH_ROWS = 50_000
_MOMENT = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("timestamp", _MOMENT, nullable=False),
        pa.field("symbol", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("price", pa.decimal128(20, 8), nullable=False),
        pa.field("token_id", pa.string()),
        pa.field("source_timestamp", _MOMENT),
        pa.field("trade_id", pa.string()),
    ]
)
_WRITING: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 9,
    "use_dictionary": ["symbol", "source", "token_id", "price"],
    "column_encoding": {
        "id": "DELTA_BINARY_PACKED",
        "timestamp": "DELTA_BINARY_PACKED",
        "source_timestamp": "DELTA_BINARY_PACKED",
        "trade_id": "DELTA_BYTE_ARRAY",
    },
}


class ArchiveDamaged(Exception):
    """An archive is not what its manifest says, or is missing."""


def folder_of(address: str) -> Path:
    """Return the folder an address means: a path or a file:// URL. Raises ValueError for anything else."""
    parts = urlsplit(address)
    if parts.scheme not in {"", "file"}:
        raise ValueError(
            f"{parts.scheme}:// is no place for an archive: give a folder, which may be a mounted volume"
        )
    return Path(unquote(parts.path))


@dataclass(slots=True)
class Tally:
    """What a sequence of ticks contains, counted and hashed as it passes."""

    rows: int = 0
    feeds: Counter[str] = field(default_factory=Counter)
    _hash: Any = field(default_factory=hashlib.sha256)

    def add(self, ticks: Sequence[StoredTick]) -> None:
        """Count ticks in their order."""
        self.rows += len(ticks)
        self.feeds.update(f"{each.tick.source.value}/{each.tick.instrument}" for each in ticks)
        self._hash.update("".join(map(_line, ticks)).encode())

    @property
    def sha256(self) -> str:
        digest: str = self._hash.hexdigest()
        return digest


class DayWriter:
    """Writes one day; ``finish`` puts file and manifest in place together, or nothing is there."""

    def __init__(self, address: str, day: date) -> None:
        self.day = day
        self.tally = Tally()
        self._address = address
        folder = folder_of(address)
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"ticks-{day:%Y%m%d}.parquet"
        self._draft = self._path.with_suffix(".parquet.part")
        self._writer = pq.ParquetWriter(self._draft, SCHEMA, **_WRITING)

    def add(self, ticks: Sequence[StoredTick]) -> None:
        """Append ticks, in order."""
        self.tally.add(ticks)
        self._writer.write_table(_table(ticks))

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._writer.close()
        self._draft.unlink(missing_ok=True)

    def finish(self) -> ArchivedDay:
        """Close the file, read it back row by row, and put it in place with its manifest; raises ArchiveDamaged."""
        self._writer.close()
        digest = _sha256(self._draft)
        again = Tally()
        for ticks in _read(self._draft):
            again.add(ticks)
        if (again.rows, again.sha256) != (self.tally.rows, self.tally.sha256):
            self._draft.unlink()
            raise ArchiveDamaged(
                f"{self._draft.name}: {again.rows} rows came back of {self.tally.rows} written"
            )
        archived = ArchivedDay(
            day=self.day,
            address=self._address,
            rows=self.tally.rows,
            file_sha256=digest,
            content_sha256=self.tally.sha256,
            size_bytes=self._draft.stat().st_size,
        )
        manifest = {
            "format": FORMAT,
            "day": self.day.isoformat(),
            "file": self._path.name,
            "rows": archived.rows,
            "bytes": archived.size_bytes,
            "sha256": digest,
            "content_sha256": archived.content_sha256,
            "feeds": dict(sorted(self.tally.feeds.items())),
        }
        self._draft.replace(self._path)
        self._path.with_suffix(".json").write_text(json.dumps(manifest, indent=2) + "\n")
        return archived


def read_day(archived: ArchivedDay) -> Iterator[list[StoredTick]]:
    """Yield a day's ticks in order of receipt; raises ArchiveDamaged for a file that is not the archived one."""
    path = folder_of(archived.address) / f"ticks-{archived.day:%Y%m%d}.parquet"
    if not path.exists():
        raise ArchiveDamaged(f"{path} is missing; it had {archived.rows} rows")
    found = _sha256(path)
    if found != archived.file_sha256:
        raise ArchiveDamaged(f"{path} has changed: its hash is {found}, archived was {archived.file_sha256}")
    yield from _read(path)


def _read(path: Path) -> Iterator[list[StoredTick]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            yield [_tick(row) for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)]


def _tick(row: tuple[Any, ...]) -> StoredTick:
    serial, at, symbol, source, price, token, source_at, trade = row
    return StoredTick(
        serial,
        PriceTick(
            Instrument(symbol),
            Source(source),
            price,
            source_at,
            at,
            token_id=None if token is None else TokenId(token),
            trade_id=trade,
        ),
    )


def _table(ticks: Sequence[StoredTick]) -> pa.Table:
    columns: Iterable[list[Any]] = (
        [each.serial for each in ticks],
        [each.tick.received_at for each in ticks],
        [each.tick.instrument for each in ticks],
        [each.tick.source.value for each in ticks],
        [each.tick.price for each in ticks],
        [each.tick.token_id for each in ticks],
        [each.tick.source_at for each in ticks],
        [each.tick.trade_id for each in ticks],
    )
    arrays = [pa.array(column, type=kind.type) for column, kind in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _line(each: StoredTick) -> str:
    """Return a row as text, the same whatever it was read from."""
    tick = each.tick
    source_at = "" if tick.source_at is None else tick.source_at.isoformat()
    return (
        f"{each.serial}|{tick.received_at.isoformat()}|{tick.instrument}|{tick.source.value}|{tick.price:.8f}"
        f"|{tick.token_id or ''}|{source_at}|{tick.trade_id or ''}\n"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
