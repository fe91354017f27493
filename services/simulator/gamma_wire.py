"""Markets, events and series as the fake Gamma writes them. PURE."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from services.simulator.matching import MICRO
from services.simulator.orders import Market
from services.simulator.wire import LEGACY_FEE_BPS, Json, outcome

_NAMES: Final = {"btc": "Bitcoin", "eth": "Ethereum", "sol": "Solana", "xrp": "XRP", "doge": "Dogecoin"}
_RECURRENCE: Final = {"5m": "daily", "15m": "daily", "4h": "daily", "1h": "hourly"}


def iso(at_ms: int) -> str:
    """Return a moment as Gamma writes it: 2026-10-05T23:00:00Z, with milliseconds where there are any."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds" if at_ms % 1000 else "seconds").replace("+00:00", "Z")


def number(value: Decimal) -> int | float:
    """Return a JSON number."""
    return int(value) if value == value.to_integral_value() else float(value)


def market(found: Market, now_ms: int) -> Json:
    """Return a market object; lists inside are JSON in strings, as Gamma has them."""
    window = found.window
    body: Json = {
        "id": found.market_id,
        "question": window.question,
        "conditionId": window.condition_id,
        "questionID": window.question_id,
        "slug": window.slug,
        "resolutionSource": f"https://data.chain.link/streams/{window.asset}-usd-twap-60s-streams",
        "startDate": iso(window.listed_at_ms),
        "eventStartTime": iso(window.opens_at_ms),
        "endDate": iso(window.closes_at_ms),
        "outcomes": json.dumps(["Up", "Down"]),
        "outcomePrices": json.dumps(outcome_prices(found, now_ms)),
        "active": True,
        "closed": found.resolved_ms is not None,
        "archived": False,
        "restricted": True,
        "enableOrderBook": True,
        "acceptingOrders": found.accepts(now_ms),
        "acceptingOrdersTimestamp": iso(window.listed_at_ms),
        "umaResolutionStatuses": "[]",
        "negRisk": window.neg_risk,
        "version": window.version,
        **_ids(found),
        "events": [{"id": found.event_id, "slug": window.slug, "title": window.question}],
        **_trading_terms(found),
        **_prices(found),
    }
    if found.resolved_ms is not None:
        if window.version == "v2":
            body["resolutionStatus"] = "resolved"
        body |= {
            "umaResolutionStatus": "resolved",
            "automaticallyResolved": True,
            "closedTime": iso(found.resolved_ms),
            "umaEndDate": iso(found.resolved_ms),
        }
    return body


def _ids(found: Market) -> Json:
    """Return the ids of a market's outcomes: tokens as JSON in a string, or positions as a real list."""
    tokens = [found.window.up_token, found.window.down_token]
    if found.window.version != "v2":
        return {"clobTokenIds": json.dumps(tokens)}
    return {
        "positionIds": tokens,
        "resolutionStatus": "active",
        "onchainEventId": found.condition_id,
        "requestId": found.window.question_id,
    }


def _trading_terms(found: Market) -> Json:
    """Return tick, size, fees and the settling average of a market."""
    window = found.window
    config = f"{window.asset}-{window.duration}-twap-{window.lookback_s}"
    return {
        "orderPriceMinTickSize": number(Decimal(found.tick) / MICRO),
        "orderMinSize": number(window.min_size),
        "makerBaseFee": int(LEGACY_FEE_BPS),
        "takerBaseFee": int(LEGACY_FEE_BPS),
        "feesEnabled": window.fee_rate > 0,
        "feeType": window.fee_type,
        "feeSchedule": {
            "exponent": window.fee_exponent,
            "rate": number(window.fee_rate),
            "takerOnly": window.fee_taker_only,
            "rebateRate": 0.2,
        },
        "makerRebatesFeeShareBps": 10000,
        "rewardsMinSize": 50,
        "rewardsMaxSpread": 4.5,
        "cryptoMarketConfigId": config,
        "cryptoMarketConfig": {
            "id": config,
            "asset": window.asset,
            "duration": window.duration,
            "twapEnabled": True,
            "twapLookbackSeconds": window.lookback_s,
        },
    }


def _prices(found: Market) -> Json:
    """Return best prices and the last trade of UP, as far as there are any."""
    bid, ask = found.book.best(is_up=True)
    body: Json = {}
    if bid is not None and ask is not None:
        body |= {
            "bestBid": number(Decimal(bid) / MICRO),
            "bestAsk": number(Decimal(ask) / MICRO),
            "spread": number(Decimal(ask - bid) / MICRO),
        }
    last = found.last_price.get(True)
    if last is not None:
        body["lastTradePrice"] = number(Decimal(last) / MICRO)
    return body


def outcome_prices(found: Market, now_ms: int) -> list[str]:
    """Return the cached indication while open, near-certain between close and resolution, 1 and 0 after it."""
    up_won = found.window.winner == "UP"
    if found.resolved_ms is not None:
        return ["1", "0"] if up_won else ["0", "1"]
    if now_ms >= found.window.closes_at_ms:
        return ["0.9995", "0.0005"] if up_won else ["0.0005", "0.9995"]
    bid, ask = found.book.best(is_up=True)
    middle = (Decimal((bid or 0) + (ask if ask is not None else MICRO)) / 2 / MICRO).normalize()
    return [f"{middle:f}", f"{(1 - middle).normalize():f}"]


def event(found: Market, now_ms: int) -> Json:
    """Return the event of a market; its metadata holds the price to beat from the open, the final one from the end."""
    window = found.window
    metadata: Json = {}
    if now_ms >= window.opens_at_ms:
        metadata["priceToBeat"] = number(window.strike)
    if now_ms >= window.closes_at_ms:
        metadata["finalPrice"] = number(window.final)
    own = market(found, now_ms)
    body: Json = {
        "id": found.event_id,
        "ticker": window.slug,
        "slug": window.slug,
        "title": window.question,
        "resolutionSource": own["resolutionSource"],
        "startDate": own["startDate"],
        "creationDate": own["startDate"],
        "endDate": own["endDate"],
        "startTime": own["eventStartTime"],
        "active": True,
        "closed": own["closed"],
        "archived": False,
        "restricted": True,
        "enableOrderBook": True,
        "negRisk": window.neg_risk,
        "markets": [own],
        "series": [series(found)],
        "seriesSlug": window.series_slug,
        "tags": [{"id": "102127", "label": "Up or Down", "slug": "up-or-down"}],
    }
    if metadata:
        body["eventMetadata"] = metadata
    if found.resolved_ms is not None:
        body["closedTime"] = own["closedTime"]
    return body


def series(found: Market) -> Json:
    """Return the series a market belongs to."""
    window = found.window
    name = _NAMES.get(window.asset, window.asset.upper())
    return {
        "id": window.series_id,
        "ticker": window.series_slug,
        "slug": window.series_slug,
        "title": f"{name} Up or Down {window.duration}",
        "seriesType": "single",
        "recurrence": _RECURRENCE.get(window.duration, "daily"),
        "active": True,
        "closed": False,
        "archived": False,
    }


def new_market(found: Market) -> Json:
    """Return the market channel's new_market frame."""
    window = found.window
    tokens = [window.up_token, window.down_token]
    return {
        "event_type": "new_market",
        "id": found.market_id,
        "question": window.question,
        "market": window.condition_id,
        "slug": window.slug,
        "assets_ids": tokens,
        "outcomes": [outcome(is_up=True), outcome(is_up=False)],
        "event_message": {"id": found.event_id, "slug": window.slug, "title": window.question},
        "timestamp": str(window.listed_at_ms),
        "tags": ["crypto", "up-or-down"],
        "condition_id": window.condition_id,
        "active": True,
        "clob_token_ids": tokens,
        "order_price_min_tick_size": f"{window.tick.normalize():f}",
        "taker_base_fee": LEGACY_FEE_BPS,
        "fees_enabled": window.fee_rate > 0,
        "fee_schedule": {
            "exponent": str(window.fee_exponent),
            "rate": f"{window.fee_rate.normalize():f}",
            "taker_only": window.fee_taker_only,
            "rebate_rate": "0.2",
        },
    }
