"""What the venue writes: books, orders and trades as REST and the streams show them. PURE.

Prices and sizes are decimal strings, times strings of milliseconds or seconds as each surface has them.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, Literal

from services.simulator.matching import MICRO
from services.simulator.orders import Leg, Market, Order, Trade

Json = dict[str, Any]
LEGACY_FEE_BPS: Final = "1000"
"""What trades and markets still say; not the effective fee."""


def text(micro: int) -> str:
    """Return micro-units as the shortest decimal string: 520000 -> "0.52"."""
    sign, micro = ("-", -micro) if micro < 0 else ("", micro)
    whole, part = divmod(micro, MICRO)
    return f"{sign}{whole}" if part == 0 else f"{sign}{whole}.{part:06d}".rstrip("0")


def compact(value: object) -> str:
    """Return JSON without spaces, as the venue sends it."""
    return json.dumps(value, separators=(",", ":"))


def cursor(offset_rows: int) -> str:
    """Return the page cursor of an offset: its base64, as the venue has it."""
    return base64.b64encode(str(offset_rows).encode()).decode("ascii")


def offset(page_cursor: str) -> int | None:
    """Return the offset of a page cursor, None for one that is none."""
    try:
        found = base64.b64decode(page_cursor, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return int(found) if found.isdecimal() else None


def outcome(*, is_up: bool) -> str:
    """Outcome label."""
    return "Up" if is_up else "Down"


def book(market: Market, *, is_up: bool) -> Json:
    """Return a full book: bids ascend and asks descend, the best level is the last of each."""
    bids, asks = market.book.levels(is_up=is_up)
    last = market.last_price.get(is_up)
    body: Json = {
        "market": market.condition_id,
        "asset_id": market.token(is_up=is_up),
        "timestamp": str(market.book_ms),
        "hash": "",
        "bids": [{"price": text(price), "size": text(bids[price])} for price in sorted(bids)],
        "asks": [{"price": text(price), "size": text(asks[price])} for price in sorted(asks, reverse=True)],
        "min_order_size": f"{market.window.min_size.normalize():f}",
        "tick_size": text(market.tick),
        "neg_risk": market.window.neg_risk,
        "last_trade_price": text(last) if last is not None else "",
    }
    if market.window.version == "v2":
        body["version"] = "v2"
    # SHA-1 of the compact book with an empty hash in its place, keys in this order (the older client's utilities).
    body["hash"] = hashlib.sha1(compact(body).encode(), usedforsecurity=False).hexdigest()
    return body


def price_changes(market: Market, changed: Mapping[Literal["BUY", "SELL"], list[tuple[int, int]]]) -> Json:
    """Return one price_change frame for changed levels of the UP book, both tokens in it."""
    changes: list[Json] = []
    for is_up in (True, False):
        bid, ask = market.book.best(is_up=is_up)
        fixed = {
            "hash": book(market, is_up=is_up)["hash"],
            "best_bid": text(bid or 0),
            "best_ask": text(ask if ask is not None else MICRO),
        }
        for side, levels in changed.items():
            shown = side if is_up else ("SELL" if side == "BUY" else "BUY")
            changes.extend(
                {
                    "asset_id": market.token(is_up=is_up),
                    "price": text(price if is_up else MICRO - price),
                    "size": text(shares),
                    "side": shown,
                    **fixed,
                }
                for price, shares in levels
            )
    return {
        "market": market.condition_id,
        "price_changes": changes,
        "timestamp": str(market.book_ms),
        "event_type": "price_change",
    }


def order(found: Order) -> Json:
    """Return an order as ``/data/order`` and ``/data/orders`` show it."""
    return {
        "id": found.order_id,
        "status": found.status,
        "owner": found.owner,
        "maker_address": found.maker,
        "market": found.market.condition_id,
        "asset_id": found.token,
        "side": found.side,
        "original_size": text(found.shares),
        "size_matched": text(found.matched),
        "price": text(found.price),
        "outcome": outcome(is_up=found.is_up),
        "expiration": str(found.expires_s),
        "order_type": found.order_type,
        "associate_trades": [trade.trade_id for trade in found.trades],
        "created_at": found.created_ms // 1000,
    }


def order_event(found: Order, kind: str, status: str, now_ms: int) -> Json:
    """Return an order's event of the user channel; a kill has empty amounts, as captured."""
    killed = kind == "CANCELLATION" and found.matched == 0 and found.order_type in ("FOK", "FAK")
    return {
        "event_type": "order",
        "type": kind,
        "id": found.order_id,
        "owner": found.owner,
        "order_owner": found.owner,
        "market": found.market.condition_id,
        "asset_id": found.token,
        "side": found.side,
        "original_size": text(found.shares),
        "size_matched": "" if killed else text(found.matched),
        "price": text(found.price),
        "associate_trades": [trade.trade_id for trade in found.trades] if found.trades else None,
        "outcome": "" if killed else outcome(is_up=found.is_up),
        "created_at": "" if killed else str(found.created_ms // 1000),
        "expiration": str(found.expires_s),
        "order_type": found.order_type,
        "status": status,
        "maker_address": found.maker,
        "timestamp": str(now_ms),
    }


def trade(found: Trade, owner: str) -> Json:
    """Return a trade as ``/data/trades`` shows it to one API key."""
    return {
        **_trade(found, owner),
        "fee_rate_bps": LEGACY_FEE_BPS,
        "status": f"TRADE_STATUS_{found.status}",
        "maker_orders": [_maker_order(found, LEGACY_FEE_BPS)],
    }


def trade_event(found: Trade, owner: str) -> Json:
    """Return a trade's event of the user channel; sent once per status."""
    return {
        "event_type": "trade",
        "type": "TRADE",
        **_trade(found, owner),
        "trade_owner": owner,
        "fee_rate_bps": "",
        "status": found.status,
        "maker_orders": [
            {**_maker_order(found, ""), "outcome_index": 0 if found.maker.is_up else 1},
        ],
        "timestamp": str(found.updated_ms),
    }


def last_trade_price(found: Trade) -> Json:
    """Return the market channel's last_trade_price frame; side and token are the taker's."""
    taker = found.taker
    return {
        "market": found.market.condition_id,
        "asset_id": found.market.token(is_up=taker.is_up),
        "price": text(taker.price),
        "size": text(found.shares),
        "fee_rate_bps": LEGACY_FEE_BPS,
        "side": taker.side,
        "timestamp": str(found.matched_ms),
        "event_type": "last_trade_price",
        "transaction_hash": found.transaction_hash,
    }


def best_bid_ask(market: Market, *, is_up: bool) -> Json:
    """Return the best_bid_ask frame of a token."""
    bid, ask = market.book.best(is_up=is_up)
    return {
        "event_type": "best_bid_ask",
        "market": market.condition_id,
        "asset_id": market.token(is_up=is_up),
        "best_bid": text(bid) if bid is not None else "",
        "best_ask": text(ask) if ask is not None else "",
        "spread": text(ask - bid) if bid is not None and ask is not None else "",
        "timestamp": str(market.book_ms),
    }


def tick_size_change(market: Market, old: int, *, is_up: bool) -> Json:
    """Return the tick_size_change frame of a token."""
    return {
        "event_type": "tick_size_change",
        "market": market.condition_id,
        "asset_id": market.token(is_up=is_up),
        "old_tick_size": text(old),
        "new_tick_size": text(market.tick),
        "timestamp": str(market.book_ms),
    }


def market_resolved(market: Market) -> Json:
    """Return the market_resolved frame."""
    window = market.window
    up_won = window.winner == "UP"
    return {
        "event_type": "market_resolved",
        "id": market.market_id,
        "market": window.condition_id,
        "assets_ids": [window.up_token, window.down_token],
        "winning_asset_id": market.token(is_up=up_won),
        "winning_outcome": outcome(is_up=up_won),
        "timestamp": str(market.resolved_ms or window.resolves_at_ms),
        "tags": ["crypto", "up-or-down"],
    }


def _trade(found: Trade, owner: str) -> Json:
    taker, own = found.taker, _leg_of(found, owner)
    return {
        "id": found.trade_id,
        "taker_order_id": taker.order_id,
        "market": found.market.condition_id,
        "asset_id": found.market.token(is_up=taker.is_up),
        "side": taker.side,
        "size": text(found.shares),
        "price": text(taker.price),
        "match_time": str(found.matched_ms // 1000),
        "last_update": str(found.updated_ms // 1000),
        "outcome": outcome(is_up=taker.is_up),
        "bucket_index": 0,
        "owner": owner,
        "maker_address": own.address,
        "transaction_hash": found.transaction_hash,
        "trader_side": "TAKER" if own is taker else "MAKER",
    }


def _maker_order(found: Trade, fee_rate_bps: str) -> Json:
    maker = found.maker
    return {
        "order_id": maker.order_id,
        "owner": maker.owner or "00000000-0000-0000-0000-000000000000",
        "maker_address": maker.address,
        "matched_amount": text(found.shares),
        "price": text(maker.price),
        "fee_rate_bps": fee_rate_bps,
        "asset_id": found.market.token(is_up=maker.is_up),
        "outcome": outcome(is_up=maker.is_up),
        "side": maker.side,
    }


def _leg_of(found: Trade, owner: str) -> Leg:
    return found.taker if found.taker.owner == owner else found.maker
