"""Every raw frame and answer the recordings hold, and who hears it: the adapter or parser that would in production."""

import gzip
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import SecretStr

from shared.domain.windows import FeeSchedule
from shared.runtime.clock import SystemClock
from shared.venue.binance import BinanceFeed
from shared.venue.book_keeping import BookState, fold
from shared.venue.credentials import Credentials
from shared.venue.events import (
    BookDelta,
    BookSnapshot,
    ChannelEvent,
)
from shared.venue.market_feed import MarketFeed
from shared.venue.parse import (
    parse_activity,
    parse_balance,
    parse_book,
    parse_json,
    parse_order,
    parse_position,
    parse_trade,
)
from shared.venue.parse_markets import parse_event, parse_market
from shared.venue.polybolt import PolyboltFeed
from shared.venue.pyth import PythFeed
from shared.venue.rtds import RtdsFeed
from shared.venue.user_feed import UserFeed
from shared.venue.wire import WireEventMetadata

NOW = datetime(2026, 11, 20, tzinfo=UTC)
INSTRUMENTS = ("BTC", "ETH", "SOL", "XRP")
FEE = FeeSchedule(Decimal("0.07"), 1)
CREDENTIALS = Credentials(
    "0x", SecretStr("00000000-0000-0000-0000-000000000001"), SecretStr("s"), SecretStr("p")
)
Ear = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Frame:
    """One recorded frame: the ear meant for it, its text, and where it was recorded."""

    ear: str
    text: str
    origin: str


def _adapters() -> dict[str, Any]:
    clock, chance = SystemClock(), random.Random(1)
    return {
        "market": MarketFeed("ws://x", clock, chance)._adapter,
        "user": UserFeed("ws://x", CREDENTIALS, clock, chance, fee_of=lambda _: FEE)._adapter,
        "binance": BinanceFeed("ws://x", clock, chance, instruments=INSTRUMENTS)._adapter,
        "rtds": RtdsFeed("ws://x", clock, chance, instruments=INSTRUMENTS)._adapter,
        "polybolt": PolyboltFeed("ws://x", CREDENTIALS, clock, chance, instruments=INSTRUMENTS)._adapter,
        "pyth": PythFeed("http://x", SecretStr("k"), clock, chance, instruments=INSTRUMENTS)._adapter,
    }


def _hearing(adapter: Any) -> Ear:
    def hear(text: str) -> Any:
        return adapter.hear(text, NOW).events

    return hear


def _keeping(hear: Ear) -> Ear:
    """Return an ear that also keeps the books of what it hears, as the collector would."""

    def heard(text: str) -> Any:
        events: list[ChannelEvent] = hear(text)
        for event in events:
            changes = event.changes if isinstance(event, BookDelta) else [event]
            for token in {change.token_id for change in changes if hasattr(change, "token_id")}:
                state = fold(BookState(token), BookSnapshot(token, "", (), (), None, NOW, NOW))
                fold(fold(state, event), event).book()
        return events

    return heard


_MARKET_TERMS = WireEventMetadata()
_ADAPTERS = _adapters()
EARS: Mapping[str, Ear] = MappingProxyType(
    {
        **{name: _hearing(adapter) for name, adapter in _ADAPTERS.items()},
        "market": _keeping(_hearing(_ADAPTERS["market"])),
        "rest book": lambda text: parse_book(parse_json(text), NOW),
        "rest order": lambda text: parse_order(parse_json(text)),
        "rest trade": lambda text: parse_trade(
            parse_json(text), api_key="00000000-0000-0000-0000-000000000001", fee_of=lambda _: FEE
        ),
        "rest balance": lambda text: parse_balance(parse_json(text)),
        "rest position": lambda text: parse_position(parse_json(text)),
        "rest activity": lambda text: parse_activity(parse_json(text)),
        "gamma market": lambda text: parse_market(parse_json(text), _MARKET_TERMS, "", NOW),
        "gamma event": lambda text: parse_event(parse_json(text), NOW),
    }
)
"""Name -> what hears a frame; raises a Refusal, or something it must not."""
_SESSION_EARS = {
    "polymarket_clob": "market",
    "binance": "binance",
    "polymarket_rtds_chainlink": "rtds",
    "pyth_proxy": "pyth",
    "coinbase": "binance",  # a feed we do not read: everybody must refuse it
}
_MESSAGES = {
    "ws_user_trade_msg": "user",
    "ws_market_": "market",
    "ws_user_": "user",
    "ws_": "market",
    "rtds_": "rtds",
    "http_open_order": "rest order",
    "http_trade_report": "rest trade",
    "http_balance": "rest balance",
    "clob_book_response": "rest book",
    "gamma_event": "gamma event",
    "gamma_market": "gamma market",
}
# PolyBolt was never recorded: its documented frames stand for it.
_POLYBOLT_PRICE = (
    '{"v":1,"channel":"price.crypto","seq":2,"ts":1788973001000,"payload":{"symbol":"btcusd","value":64126.0,'
    '"full_accuracy_value":"64126.00000000","timestamp":1788973001000,"source":"pyth"}}'
)
_POLYBOLT_HISTORY = (
    '{"v":1,"channel":"price.crypto","seq":1,"ts":1788973000000,"snapshot":true,"payload":{"symbol":"btcusd",'
    '"source":"pyth","data":[{"timestamp":1788972880000,"value":64123.5,"full_accuracy_value":"64123.50000000"}]}}'
)
_POLYBOLT_AVERAGE = (
    '{"v":1,"channel":"price.crypto.twap","seq":3,"ts":1788973001000,"dropped":2,"payload":{"symbol":"btcusd",'
    '"window_seconds":60,"full_accuracy_value":"64126.0","timestamp":1788973001000,"source":"chainlink"}}'
)
_POLYBOLT = (
    '{"op":"authed","rid":"login"}',
    '{"op":"subscribed","channel":"price.crypto.twap","rid":"s1"}',
    _POLYBOLT_HISTORY,
    _POLYBOLT_PRICE,
    _POLYBOLT_AVERAGE,
    '{"op":"error","code":"auth_required","channel":"price.crypto","rid":"twap-BTC"}',
)


def recorded_frames(folder: Path) -> Iterator[Frame]:
    """Yield every frame of the recordings, in the order of the files."""
    yield from _sessions(folder / "raw_ws_20260428" / "raw_messages.jsonl.gz")
    for path in sorted(folder.glob("book_l2_*/raw_frames_*.jsonl.gz")):
        for row in _lines(path):
            yield Frame("market", json.dumps(row["raw"]), path.name)
    for path in sorted(folder.glob("binance_spot_raw_*/*.gz")):
        with gzip.open(path, "rt") as file:
            for line in file:
                yield Frame("binance", line.partition(" ")[2].strip(), path.name)
    yield from _messages(folder / "messages")
    for text in _POLYBOLT:
        yield Frame("polybolt", text, "documented")


def _sessions(path: Path) -> Iterator[Frame]:
    for row in _lines(path):
        yield Frame(_SESSION_EARS[row["source"]], row["payload"], f"{path.name} {row['source']}")


def _messages(folder: Path) -> Iterator[Frame]:
    for line in (folder / "rtds_frames_20260905.jsonl").read_text().splitlines():
        yield Frame("rtds", json.loads(line)["frame"], "rtds_frames_20260905.jsonl")
    for path in sorted((folder / "nautilus_test_data").glob("*.json")):
        ear = next((ear for prefix, ear in _MESSAGES.items() if path.name.startswith(prefix)), None)
        if ear is not None:
            yield Frame(ear, path.read_text(), path.name)
    for row in _lines(folder / "gamma_markets_updown_20260311.jsonl.gz"):
        yield Frame("gamma market", json.dumps(row.get("raw", row)), "gamma_markets_updown_20260311")
    for name, ear in (
        ("clob_book", "rest book"),
        ("data_positions", "rest position"),
        ("data_activity", "rest activity"),
        ("data_trades", "rest trade"),
        ("gamma_event_crypto_updown", "gamma event"),
        ("gamma_market_updown", "gamma market"),
    ):
        found = json.loads((folder / "rest_hugompt" / f"{name}.json").read_text())
        for row in found if isinstance(found, list) else [found]:
            yield Frame(ear, json.dumps(row), f"{name}.json")


def _lines(path: Path) -> Iterator[Any]:
    with gzip.open(path, "rt") as file:
        for line in file:
            yield json.loads(line)
