"""Reads recorded markets: the sample that PyPI carries and the sets under ONEBOOK_RECORDINGS.

The sample is `polymarket_backtest/data/sample/btc_orderbook.csv` of the MIT-licensed package
polymarket-backtest 0.1.0. The sets are folders with one Parquet file and a `windows.csv`; none is part of Onebook.
"""

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pyarrow import parquet

from services.simulator.recorded import (
    RecordedBook,
    RecordedWindow,
    cents_book,
    named_winner,
    uncrossed,
    up_book,
    whole_window,
)

SAMPLE_PACKAGE = "polymarket_backtest"
SAMPLE_PATH = Path("data", "sample", "btc_orderbook.csv")
M5, M15 = 300, 900


class RecordingMissing(ValueError):
    """A recording cannot be read; the message says what to install or set."""


def read_sample(*, every_s: float = 0.0) -> list[RecordedWindow]:
    """Return the whole windows of the PyPI sample (BTC, 15 minutes), thinned to one book in ``every_s``."""
    # find_spec does not import the package, whose import loads pandas.
    spec = find_spec(SAMPLE_PACKAGE)
    places = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or ()]
    files = [place / SAMPLE_PATH for place in places if (place / SAMPLE_PATH).is_file()]
    if not files:
        raise RecordingMissing(
            "the sample windows are not installed: run `uv sync --group recordings`, or use SIMULATOR_SOURCE=generator"
        )
    with files[0].open(newline="", encoding="utf-8") as opened:
        windows = list(sample_windows(csv.DictReader(opened), every_s=every_s))
    # The newest first: it is undecided longest, with offers on both sides to its last minute, so a short demo sees it.
    return windows[::-1]


def sample_windows(rows: Iterable[Mapping[str, Any]], *, every_s: float = 0.0) -> Iterator[RecordedWindow]:
    """Yield the whole windows among the rows of the sample's CSV; times are the exchange's book times."""
    books: dict[int, list[RecordedBook]] = defaultdict(list)
    for row in rows:
        epoch = int(row["market_slug"].rsplit("-", 1)[1])
        up_ms, down_ms = int(row["up_book_ts"] or 0), int(row["down_book_ts"] or 0)
        at_s = max(up_ms, down_ms) / 1000 - epoch
        books[epoch].append(up_book(at_s, row, down_is_fresher=down_ms > up_ms))
    yield from _windows("sample", M15, books, every_s=every_s)


def read_set(root: Path | None, name: str, *, every_s: float = 0.0) -> list[RecordedWindow]:
    """Return the whole windows of the set ``name`` under ``root``."""
    if name not in READERS:
        raise RecordingMissing(f"no recorded set {name!r}: choose one of {', '.join(sorted(READERS))}")
    if root is None:
        raise RecordingMissing("set ONEBOOK_RECORDINGS to the folder that holds the recorded sets")
    folder = root / name
    if not folder.is_dir():
        raise RecordingMissing(
            f"{folder} is not a folder: set ONEBOOK_RECORDINGS to the folder that holds {name}"
        )
    return list(READERS[name](folder, every_s))


def _bbo_seconds(folder: Path, every_s: float) -> Iterator[RecordedWindow]:
    books: dict[int, list[RecordedBook]] = defaultdict(list)
    for row in _rows(folder / "bbo_1s.parquet"):
        epoch = row["window_epoch"]
        books[epoch].append(up_book(row["ts_s"] - epoch, row, down_is_fresher=False))
    yield from _windows(folder.name, M15, books, every_s=every_s)


def _bbo_updates(folder: Path, every_s: float) -> Iterator[RecordedWindow]:
    books: dict[int, list[RecordedBook]] = defaultdict(list)
    for row in _rows(folder / "bbo_updates.parquet"):
        epoch, up_ms, down_ms = row["window_epoch"], row["up_book_ts_ms"] or 0, row["down_book_ts_ms"] or 0
        at_s = max(up_ms, down_ms) / 1000 - epoch
        books[epoch].append(up_book(at_s, row, down_is_fresher=down_ms > up_ms))
    yield from _windows(folder.name, M15, books, every_s=every_s)


def _bbo_binance(folder: Path, every_s: float) -> Iterator[RecordedWindow]:
    """Books and Binance every 3 s; the winner is the venue's own, twice not the one Binance shows."""
    results = {int(row["window_epoch"]): row for row in _labels(folder)}
    rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in _rows(folder / "bbo_binance_3s.parquet"):
        rows[row["window_epoch"]].append(row)
    for epoch, found in rows.items():
        opened = float(results[epoch]["binance_open"])
        binance = [(row["ts_ms"] / 1000 - epoch, row["binance_btcusdt"] / opened - 1) for row in found]
        books = [up_book(row["ts_ms"] / 1000 - epoch, row, down_is_fresher=False) for row in found]
        window = whole_window(
            folder.name,
            epoch,
            M5,
            filter(uncrossed, books),
            winner=named_winner(results[epoch]["outcome_gamma"]),
            every_s=every_s,
            binance=binance,
        )
        if window is not None:
            yield window


def _book_l2(folder: Path, every_s: float) -> Iterator[RecordedWindow]:
    """Eight levels, ten frames a second, of one token a window.

    The recorder did not write down which token; it is shown as UP, and the mirror shows the other case.
    """
    columns = ["window_epoch", "asset_id", "ts_ms", "bid_px", "bid_sz", "ask_px", "ask_sz"]
    by_token: dict[tuple[int, str], list[dict[str, Any]]] = defaultdict(list)
    for row in _rows(folder / "book_l2_top8.parquet", columns):
        by_token[row["window_epoch"], row["asset_id"]].append(row)
    books: dict[int, list[RecordedBook]] = {}
    for (epoch, _token), found in sorted(by_token.items(), key=lambda item: len(item[1])):
        # Of the tokens of a window the one with most frames; the others were sampled for a few seconds.
        thinned = {int((row["ts_ms"] / 1000 - epoch) / (every_s or 0.001)): row for row in found}
        books[epoch] = [
            cents_book(
                row["ts_ms"] / 1000 - epoch,
                zip(row["bid_px"], row["bid_sz"], strict=True),
                zip(row["ask_px"], row["ask_sz"], strict=True),
            )
            for row in thinned.values()
        ]
    yield from _windows(folder.name, M5, dict(sorted(books.items())), every_s=0.0)


def _chainlink_quote(folder: Path, every_s: float) -> Iterator[RecordedWindow]:
    """Chainlink each second with strike and result; of the book only the buy price of the favoured side."""
    results = {int(row["window_epoch"]): row for row in _labels(folder)}
    books: dict[int, list[RecordedBook]] = defaultdict(list)
    reference: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for row in _rows(folder / "quote_chainlink_1s.parquet"):
        epoch, at_s = row["window_epoch"], row["ts_s"] - row["window_epoch"]
        strike = float(results[epoch]["price_to_beat"])
        reference[epoch].append((at_s, row["chainlink_btcusd"] / strike - 1))
        ask = row["quote"]
        if ask is None or ask != ask:  # noqa: PLR0124 - NaN: the favoured side has no seller any more
            ask = 1.0
        if row["quoted_side"] == "DOWN":
            books[epoch].append(cents_book(at_s, [(1 - ask, None)], [(1.01 - ask, None)]))
        else:
            books[epoch].append(cents_book(at_s, [(ask - 0.01, None)], [(ask, None)]))
    for epoch, found in books.items():
        window = whole_window(
            folder.name,
            epoch,
            M5,
            found,
            winner=named_winner(results[epoch]["outcome"]),
            every_s=every_s,
            reference=reference[epoch],
        )
        if window is not None:
            yield window


READERS: Mapping[str, Callable[[Path, float], Iterator[RecordedWindow]]] = MappingProxyType(
    {
        "bbo_btc15m_20260101": _bbo_seconds,
        "bbo_btc15m_20260401": _bbo_updates,
        "bbo_binance_btc5m_20260225": _bbo_binance,
        "book_l2_btc5m_20260416": _book_l2,
        "chainlink_quote_btc5m_20260707": _chainlink_quote,
    }
)
"""The sets that suffice for a replay. ladder_binance_btc5m_20260726 does not: seven moments of the last two
minutes of each window; it only calibrates."""


def _windows(
    source: str, duration_s: int, books: Mapping[int, Iterable[RecordedBook]], *, every_s: float
) -> Iterator[RecordedWindow]:
    for epoch, found in books.items():
        window = whole_window(source, epoch, duration_s, filter(uncrossed, found), every_s=every_s)
        if window is not None:
            yield window


def _rows(path: Path, columns: list[str] | None = None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(path, columns=columns).to_pylist()
    return rows


def _labels(folder: Path) -> list[dict[str, str]]:
    with (folder / "windows.csv").open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))
