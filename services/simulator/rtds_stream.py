"""RTDS, the venue's older feed of reference prices, with its habits.

Followed: recorded frames of April and September 2026; real-time-data-client issues 26, 36 and 42. Always played: an
empty greeting; no answer to PING but an empty text; the history of Chainlink's prices under the topic of Binance's;
silence for a Binance subscription with a filter, and for a filter that is not compact JSON; an array with one unknown
topic refused as a whole. Its freezes and bursts are faults (``held_frames``, ``silent_socket``, ``drop_event``).
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from aiohttp import WSMsgType, web

from services.simulator.feed_socket import (
    CLOSE_TIMEOUT_S,
    FeedSocket,
    Source,
    chained,
    compact,
    feed_app,
    json_object,
    only,
    served,
)
from services.simulator.world import FeedFaults, FeedName, FeedTick, World
from shared.runtime.clock import Clock

BINANCE: Final = "crypto_prices"
TOPICS: Final[Mapping[str, FeedName]] = {
    BINANCE: "binance_trade",
    "crypto_prices_chainlink": "chainlink",
    "crypto_prices_twap_thirty": "chainlink_twap",
    "crypto_prices_twap_sixty": "chainlink_twap",
}
LOOKBACKS_S: Final = {"crypto_prices_twap_thirty": 30, "crypto_prices_twap_sixty": 60}
SNAPSHOT_MS: Final = 60_000
BINANCE_EVERY: Final = 10  # of ten trades a second one is shown
PING_S, MISSED_MAX, UNEXPECTED = 30.0, 3, 1011
_SCALE: Final = 10**18


def rtds_app(world: World, clock: Clock, faults: FeedFaults) -> web.Application:
    """Return RTDS, serving ``/``: Chainlink's prices and averages, and Binance's, to anybody."""
    source = Source(world, clock, faults)

    async def serve(request: web.Request) -> web.StreamResponse:
        response = web.WebSocketResponse(autoping=False, timeout=CLOSE_TIMEOUT_S)

        async def talk(socket: FeedSocket) -> None:
            await socket.send("")
            client = _Client(source, socket)
            async for message in response:
                await socket.answer(message)
                if message.type is WSMsgType.TEXT:
                    await client.hear(message.data)

        await served(request, response, source, talk, every_s=PING_S, missed_max=MISSED_MAX, code=UNEXPECTED)
        return response

    return feed_app({"/": serve}, 1001)


class _Client:
    """One client's subscriptions."""

    def __init__(self, source: Source, socket: FeedSocket) -> None:
        self._source = source
        self._socket = socket

    async def hear(self, text: str) -> None:
        """Answer one frame."""
        if text == "PING":
            await self._socket.send("")
            return
        frame = json_object(text)
        wanted = frame.get("subscriptions")
        if frame.get("action") != "subscribe" or not isinstance(wanted, list):
            return
        for each in wanted:
            if not isinstance(each, dict) or each.get("topic") not in TOPICS:
                topic = each.get("topic") if isinstance(each, dict) else None
                message = f"leger GetTopics error: rpc error: code = NotFound desc = topic: {topic} not found"
                await self._socket.send(compact({"body": {"message": message}, "statusCode": 401}))
                return
        for each in wanted:
            await self._subscribe(str(each["topic"]), str(each.get("filters") or ""))

    async def _subscribe(self, topic: str, filters: str) -> None:
        windows = self._source.world.windows_until(self._source.now_ms())
        lookbacks = {window.asset: window.lookback_s for window in windows}
        for asset in _filtered(topic, filters, sorted(lookbacks)):
            name = f"{topic}:{asset}"
            is_made = topic not in LOOKBACKS_S or lookbacks[asset] == LOOKBACKS_S[topic]
            if is_made and name not in self._socket.followed:
                await self._start(name, topic, asset)

    async def _start(self, name: str, topic: str, asset: str) -> None:
        """Send the last minute, then every price at its time."""
        now_ms = self._source.now_ms()
        ticks = only(self._source.world.feed(asset, now_ms - SNAPSHOT_MS), TOPICS[topic])
        if topic == BINANCE:
            ticks = _every(ticks, BINANCE_EVERY)
        past: list[FeedTick] = []
        following: list[FeedTick] = []
        for tick in ticks:
            if tick.at_ms > now_ms:
                following.append(tick)
                break
            past.append(tick)
        await self._socket.send(compact(_history(topic, asset, past, now_ms)))
        self._socket.follow(
            name,
            chained(following, ticks),
            fault_name=f"rtds.{topic}",
            frame=lambda tick: compact(_update(topic, tick)),
        )


def _filtered(topic: str, filters: str, assets: list[str]) -> list[str]:
    """Return the assets a filter lets through: none where the real server stays silent."""
    if not filters:
        return assets
    if topic == BINANCE:
        return []
    return [
        asset for asset in assets if filters == json.dumps({"symbol": f"{asset}/usd"}, separators=(",", ":"))
    ]


def _history(topic: str, asset: str, past: list[FeedTick], now_ms: int) -> dict[str, Any]:
    payload: dict[str, Any] = {"symbol": _symbol(topic, asset)}
    if topic in LOOKBACKS_S:
        payload["window_s"] = LOOKBACKS_S[topic]
    payload["data"] = [_point(topic, tick, exact=topic in LOOKBACKS_S) for tick in past]
    # The habit: Chainlink's history says it is Binance's.
    label = BINANCE if topic == "crypto_prices_chainlink" else topic
    return {"topic": label, "type": "subscribe", "timestamp": now_ms, "payload": payload}


def _update(topic: str, tick: FeedTick) -> dict[str, Any]:
    payload = {"symbol": _symbol(topic, tick.asset), **_point(topic, tick, exact=True)}
    if topic in LOOKBACKS_S:
        payload["window_s"] = LOOKBACKS_S[topic]
    return {
        "connection_id": "sim",
        "topic": topic,
        "type": "update",
        "timestamp": tick.at_ms,
        "payload": payload,
    }


def _point(topic: str, tick: FeedTick, *, exact: bool) -> dict[str, Any]:
    point: dict[str, Any] = {"timestamp": tick.observed_ms, "value": float(tick.price)}
    if exact:
        scaled = f"{tick.price:.8f}" if topic == BINANCE else str(int(tick.price * _SCALE))
        point["full_accuracy_value"] = scaled
    return point


def _symbol(topic: str, asset: str) -> str:
    return f"{asset}usdt" if topic == BINANCE else f"{asset}/usd"


def _every(ticks: Iterator[FeedTick], step: int) -> Iterator[FeedTick]:
    return (tick for place, tick in enumerate(ticks) if place % step == 0)
