"""The faults the fake venue knows, by name: one table. PURE.

``stage`` says where a fault strikes, ``match`` what it strikes unless it is told otherwise, ``options`` what else can
be said when arming it, with the values it has when nothing is said.

stage       asked by                          facts
request     HTTP, before anything is done     host method path wallet side order_type
answer      HTTP, after everything is done    the same
intake      the engine, order well-formed     wallet side order_type market
match       the engine, order taken in        the same
settlement  the chain, per trade              wallet side market
balance     reads of balances                 wallet asset (COLLATERAL or a token)
frame       streams                           channel event market; user channel: wallet side status too;
                                              market channel: connection (1, 2 … as they came);
                                              price feeds: channel asset
line        streams, before a frame           the same
listing     a new market                      asset slug

A match that names no call (host, method, path) concerns POST /order where the kind has these facts; nothing armed is an
order accepted and filled. Placed though it timed out is accept_then_timeout; reset after accepting accept_then_reset;
a 200 nobody can read unreadable_answer; events lost, repeated, reordered drop_event, duplicate_event, reorder_events.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, Literal

from services.simulator.refusal_texts import REFUSALS

Stage = Literal["request", "answer", "intake", "match", "settlement", "balance", "frame", "line", "listing"]

_USER: Final = MappingProxyType({"channel": "user"})
_ORDER_POST: Final = MappingProxyType({"method": "POST", "path": "/order"})
_REGION: Final = MappingProxyType({"method": "GET", "path": "/api/geoblock"})
_TIME: Final = MappingProxyType({"method": "GET", "path": "/time"})


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault the venue knows."""

    name: str
    stage: Stage
    does: str
    match: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)


_REQUEST: Final = (
    Kind("timeout_not_placed", "request", "never answers, nothing processed", _ORDER_POST),
    Kind("late_arrival", "request", "hangs `seconds`, then processes; the caller is long gone", _ORDER_POST),
    Kind("idle_closed", "request", "the connection had just been closed while idle", _ORDER_POST),
    Kind("http_425", "request", "425, engine restarting, nothing processed", _ORDER_POST),
    Kind("http_429", "request", "429 with Retry-After, nothing processed", _ORDER_POST),
    Kind("http_500", "request", "500, nothing processed", _ORDER_POST),
    Kind(
        "http_503",
        "request",
        "503 with the `text` named (disabled, trading_is_disabled, cancel_only, post_only), nothing processed",
        _ORDER_POST,
        {"text": "disabled"},
    ),
    Kind("duplicated_not_placed", "request", "400 Duplicated, nothing processed", _ORDER_POST),
    Kind("html_403", "request", "403 with Cloudflare's HTML, nothing processed", _ORDER_POST),
)
_ANSWER: Final = (
    Kind("accept_then_timeout", "answer", "processed, but never answered", _ORDER_POST),
    Kind("accept_then_reset", "answer", "processed, then the connection is cut", _ORDER_POST),
    Kind("http_500_after_accept", "answer", "processed, answered 500", _ORDER_POST),
    Kind("duplicated", "answer", "processed, answered 400 Duplicated", _ORDER_POST),
    Kind("unreadable_answer", "answer", "processed, answered 200 with no JSON", _ORDER_POST),
    Kind("region_blocked", "answer", "the site says that nobody may trade from this address", _REGION),
    Kind("clock_ahead", "answer", "the venue's time is `seconds` ahead", _TIME),
)
_INTAKE: Final = (
    Kind("refused", "intake", "400 with the `text` named, as in refusal_texts", options={"text": "balance"}),
)
_MATCH: Final = (
    Kind("partly_filled", "match", "only a `share` of the order meets anyone", options={"share": "0.5"}),
    Kind(
        "delayed",
        "match",
        "answered `delayed`; `seconds` later matched as usual, or killed: `result`",
        options={"result": "matched"},
    ),
    Kind("resting", "match", "answered `live`, nothing fills; a FAK or FOK is killed `seconds` later"),
    Kind("late_fill", "match", "answered `live`, fills `seconds` later"),
)
_SETTLEMENT: Final = (
    Kind("match_then_failed", "settlement", "MATCHED, then FAILED: the fill did not happen"),
    Kind("match_then_retrying", "settlement", "MATCHED, RETRYING, then MINED and CONFIRMED late"),
    Kind(
        "mined_then_reorganised",
        "settlement",
        "MINED, RETRYING, then MINED and CONFIRMED, or FAILED: `result`",
        options={"result": "confirmed"},
    ),
    Kind("phantom_lock", "settlement", "FAILED, but its money counts as matched for `seconds` more"),
)
_BALANCE: Final = (Kind("stale_balance", "balance", "the balance shown is `seconds` old"),)
_FRAME: Final = (
    Kind("duplicate_event", "frame", "the frame is sent twice"),
    Kind("drop_event", "frame", "the frame is not sent"),
    Kind("silent_socket", "frame", "no frame is sent; pings are answered"),
    Kind("malformed_frame", "frame", "the frame is cut in half"),
    Kind("delay_event", "frame", "the user's event is sent `seconds` later", _USER),
    Kind("reorder_events", "frame", "the user's event is sent after the next one, or `seconds` later", _USER),
)
_FEED: Final = (
    Kind("held_frames", "frame", "frames wait until the last one struck, then come at once"),
    Kind("shuffled_frames", "frame", "frames wait until the last one struck, then come newest first"),
    Kind("array_frame", "frame", "the frame is the one element of an array"),
    Kind("old_price_change", "frame", "a price_change in the form of 2025", {"event": "price_change"}),
    Kind("no_best_prices", "frame", "a price_change with empty best prices", {"event": "price_change"}),
    Kind("empty_book", "frame", "a snapshot without a level", {"event": "book"}),
    Kind("foreign_word", "frame", "a frame of a kind nobody knows, then the frame"),
    Kind("extra_fields", "frame", "the frame has a field nobody knows"),
    Kind("other_provider", "frame", "PolyBolt's source is another one in silence", {"channel": "polybolt*"}),
    Kind("cut_line", "line", "the connection is cut without a word (1006)"),
    Kind("draining", "line", "the connection is closed for maintenance (4003)", {"channel": "polybolt*"}),
    Kind("day_cut", "line", "the connection is closed, as after 24 hours (1001)"),
    Kind(
        "server_shutdown",
        "line",
        "Binance says serverShutdown, and closes `seconds` later",
        {"channel": "binance*"},
    ),
)
_LISTING: Final = (
    Kind("unknown_market_version", "listing", "the next window is listed with version v9"),
    Kind(
        "protocol_v2", "listing", "the next window is listed as a Protocol V2 market: position ids, domain 3"
    ),
    Kind("hidden_tokens", "listing", "the CLOB does not know the next window's tokens for `seconds`"),
    Kind("unknown_fee_type", "listing", "the next window is listed with an unknown fee type"),
)

KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        kind.name: kind
        for kinds in (_REQUEST, _ANSWER, _INTAKE, _MATCH, _SETTLEMENT, _BALANCE, _FRAME, _FEED, _LISTING)
        for kind in kinds
    }
)

_RESULTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {"delayed": ("matched", "killed"), "mined_then_reorganised": ("confirmed", "failed")}
)


def is_option(kind: Kind, option: str, value: str) -> bool:
    """Return whether a fault has an option, and the option can have a value."""
    if option not in kind.options:
        return False
    match option:
        case "text":
            return value in REFUSALS and (
                kind.name == "refused" or REFUSALS[value][0] == HTTPStatus.SERVICE_UNAVAILABLE
            )
        case "result":
            return value in _RESULTS[kind.name]
        case _:
            return value.replace(".", "", 1).isdecimal() and 0 < Decimal(value) <= 1
