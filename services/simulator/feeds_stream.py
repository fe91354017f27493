"""The price feeds on their own wire protocols: PolyBolt (the venue's reference prices) and Binance spot.

Followed: docs.polymarket.com realtime-data and wss://ws-live-v2.polymarket.com/asyncapi.json as used by
polymarket-client 0.14.0; developers.binance.com web-socket-streams. Left out on purpose: equity channels, the limit
of 64 subscriptions (no world has as many feeds) and Binance's depth streams; its 24-hour cut is a fault, `day_cut`.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any, Final, TypeAlias

from aiohttp import WSMessage, WSMsgType, web

from services.simulator.feed_socket import (
    CLOSE_TIMEOUT_S,
    DRAINING,
    FeedSocket,
    Pace,
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

CredentialsOk: TypeAlias = Callable[[str, str, str], bool]
"""(api key, secret, passphrase) -> whether the venue issued them."""

CHANNELS: Final[Mapping[str, FeedName]] = {"price.crypto": "chainlink", "price.crypto.twap": "chainlink_twap"}
SNAPSHOT_MS: Final = 120_000
POLYBOLT_PING_S, POLYBOLT_MISSED_MAX = 25.0, 2
AUTH_FRAMES_MAX, FRAMES_PER_S, FRAME_BYTES_MAX = 8, 20, 64 * 1024
AUTH_FAILED, PONG_TIMEOUT = 4001, 4002

BINANCE_FEEDS: Final[Mapping[str, FeedName]] = {
    "trade": "binance_trade",
    "aggTrade": "binance_trade",
    "bookTicker": "binance_book",
}
# A ping every 20 s, one minute to answer; five messages a second from the client.
BINANCE_PING_S, BINANCE_MISSED_MAX, BINANCE_FRAMES_PER_S = 20.0, 3, 5
POLICY = 1008


def polybolt_app(
    world: World,
    clock: Clock,
    credentials_ok: CredentialsOk,
    faults: FeedFaults,
    *,
    ping_every_s: float = POLYBOLT_PING_S,
) -> web.Application:
    """Return PolyBolt, serving ``/ws``: authenticated Chainlink prices and their settling average."""
    source = Source(world, clock, faults)

    async def serve(request: web.Request) -> web.StreamResponse:
        response = web.WebSocketResponse(
            autoping=False, timeout=CLOSE_TIMEOUT_S, max_msg_size=FRAME_BYTES_MAX
        )

        async def talk(socket: FeedSocket) -> None:
            client = _PolyBoltClient(source, socket, credentials_ok)
            async for message in response:
                await socket.answer(message)
                if message.type is WSMsgType.TEXT:
                    await client.hear(message.data)

        await served(
            request,
            response,
            source,
            talk,
            every_s=ping_every_s,
            missed_max=POLYBOLT_MISSED_MAX,
            code=PONG_TIMEOUT,
        )
        return response

    return feed_app({"/ws": serve}, DRAINING)


def binance_app(
    world: World, clock: Clock, faults: FeedFaults, *, ping_every_s: float = BINANCE_PING_S
) -> web.Application:
    """Return Binance spot market data: ``/stream?streams=a/b`` combined, ``/ws/a`` raw."""
    source = Source(world, clock, faults)

    async def serve(request: web.Request) -> web.StreamResponse:
        response = web.WebSocketResponse(autoping=False, timeout=CLOSE_TIMEOUT_S)
        asked = request.query.get("streams") or request.match_info.get("streams", "")

        async def talk(socket: FeedSocket) -> None:
            client = _BinanceClient(source, socket, combined="streams" not in request.match_info)
            client.subscribe(filter(None, asked.split("/")))
            async for message in response:
                await socket.answer(message)
                if message.type is WSMsgType.TEXT and not await client.hear(message):
                    return

        await served(
            request, response, source, talk, every_s=ping_every_s, missed_max=BINANCE_MISSED_MAX, code=POLICY
        )
        return response

    return feed_app({"/stream": serve, "/ws/{streams:.+}": serve}, 1001)


class _PolyBoltClient:
    """One client's conversation: auth first, then subscriptions, every answer with the client's own rid."""

    def __init__(self, source: Source, socket: FeedSocket, credentials_ok: CredentialsOk) -> None:
        self._source = source
        self._socket = socket
        self._credentials_ok = credentials_ok
        self._authorized = False
        self._auth_frames = 0
        self._pace = Pace(source.clock, FRAMES_PER_S)
        # Consecutive per connection and channel, whatever the symbol.
        self._serials = {channel: count(1) for channel in CHANNELS}

    async def hear(self, text: str) -> None:
        """Answer one frame."""
        frame = json_object(text)
        rid = frame.get("rid")
        match frame.get("op"):
            case "ping":
                await self._say({"op": "pong"}, rid)
            case "auth":
                await self._authorize(frame.get("auth"), rid)
            case "subscribe" | "unsubscribe" as op if isinstance(frame.get("subscriptions"), list):
                if self._pace.exceeded():
                    await self._say({"op": "error", "code": "rate_limited"}, rid)
                    return
                for wanted in frame["subscriptions"]:
                    await self._change(op, wanted if isinstance(wanted, dict) else {}, rid)
            case _:
                await self._say({"op": "error", "code": "bad_op"}, rid)

    async def _authorize(self, auth: Any, rid: Any) -> None:
        self._auth_frames += 1
        if self._auth_frames > AUTH_FRAMES_MAX:
            await self._say({"op": "error", "code": "auth_attempts"}, rid)
            await self._socket.close(AUTH_FAILED, "auth failed")
            return
        fields = auth if isinstance(auth, dict) else {}
        given = [str(fields.get(name, "")) for name in ("apiKey", "secret", "passphrase")]
        if not self._credentials_ok(*given):
            await self._say({"op": "error", "code": "auth_invalid"}, rid)
            await self._socket.close(AUTH_FAILED, "auth failed")
            return
        self._authorized = True
        await self._say({"op": "authed"}, rid)

    async def _change(self, op: str, wanted: dict[str, Any], rid: Any) -> None:
        channel, chosen = str(wanted.get("channel", "")), wanted.get("filter")
        chosen = chosen if isinstance(chosen, dict) else {}
        name = f"{channel}:{chosen.get('symbol')}:{chosen.get('window_seconds', '')}"
        refused = self._refusal(channel, chosen) if op == "subscribe" else None
        if refused is not None:
            await self._say({"op": "error", "code": refused, "channel": channel}, rid)
            return
        if op == "unsubscribe":
            self._socket.leave(name)
            await self._say({"op": "unsubscribed", "channel": channel}, rid)
            return
        # A provider that is not served falls back in silence; the acknowledgement names the one that is.
        await self._say({"op": "subscribed", "channel": channel, "provider": "chainlink"}, rid)
        if name not in self._socket.followed:
            await self._start(name, channel, str(chosen["symbol"]).removesuffix("usd"))

    def _refusal(self, channel: str, chosen: dict[str, Any]) -> str | None:
        if not self._authorized:
            return "auth_required"
        if channel not in CHANNELS:
            return "bad_channel"
        asset = str(chosen.get("symbol", "")).removesuffix("usd")
        lookbacks = {
            window.lookback_s
            for window in self._source.world.windows_until(self._source.now_ms())
            if f"{window.asset}usd" == chosen.get("symbol") and window.asset == asset
        }
        if not lookbacks or (
            channel == "price.crypto.twap" and chosen.get("window_seconds") not in lookbacks
        ):
            return "bad_filter"
        return None

    async def _start(self, name: str, channel: str, asset: str) -> None:
        """Send the last two minutes and then every price at its time."""
        now_ms = self._source.now_ms()
        ticks = only(self._source.world.feed(asset, now_ms - SNAPSHOT_MS), CHANNELS[channel])
        points: list[dict[str, Any]] = []
        following: list[FeedTick] = []
        for tick in ticks:
            if tick.at_ms > now_ms:
                following.append(tick)
                break
            points.append(_point(tick))
        payload = {"symbol": f"{asset}usd", "source": "chainlink", "data": points}
        if following and "window_seconds" in following[0].extra:
            payload["window_seconds"] = following[0].extra["window_seconds"]
        snapshot = {"v": 1, "channel": channel, "seq": next(self._serials[channel]), "ts": now_ms}
        await self._socket.send(compact({**snapshot, "snapshot": True, "payload": payload}))
        self._socket.follow(
            name,
            chained(following, ticks),
            fault_name=f"polybolt.{channel}",
            frame=lambda tick: self._update(channel, tick),
        )

    def _update(self, channel: str, tick: FeedTick) -> str:
        payload = {"symbol": f"{tick.asset}usd", **_point(tick), "source": "chainlink", **tick.extra}
        frame = {"v": 1, "channel": channel, "seq": next(self._serials[channel]), "ts": tick.at_ms}
        return compact({**frame, "payload": payload})

    async def _say(self, answer: dict[str, Any], rid: Any) -> None:
        await self._socket.send(compact(answer if rid is None else {**answer, "rid": rid}))


class _BinanceClient:
    """One client's streams; combined sockets wrap each frame with the stream's name."""

    def __init__(self, source: Source, socket: FeedSocket, *, combined: bool) -> None:
        self._source = source
        self._socket = socket
        self._combined = combined
        self._pace = Pace(source.clock, BINANCE_FRAMES_PER_S)

    def subscribe(self, streams: Iterator[str]) -> None:
        """Follow each stream; one that does not exist is accepted and stays silent, as at Binance."""
        assets = {window.asset for window in self._source.world.windows_until(self._source.now_ms())}
        for stream in streams:
            symbol, _, kind = stream.partition("@")
            asset = symbol.removesuffix("usdt")
            if kind not in BINANCE_FEEDS or asset not in assets or stream in self._socket.followed:
                continue
            ticks = only(self._source.world.feed(asset, self._source.now_ms()), BINANCE_FEEDS[kind])
            self._socket.follow(
                stream, ticks, fault_name=f"binance.{kind}", frame=self._framing(stream, symbol.upper(), kind)
            )

    async def hear(self, message: WSMessage) -> bool:
        """Answer one frame; False when the client broke a rule and was cut off."""
        frame = json_object(message.data)
        params = frame.get("params")
        if self._pace.exceeded() or "method" not in frame:  # a text "PING" ends here, too
            await self._socket.close(POLICY, "disconnected")
            return False
        result: Any = None
        names = [str(name) for name in params] if isinstance(params, list) else []
        match frame["method"]:
            case "SUBSCRIBE":
                self.subscribe(iter(names))
            case "UNSUBSCRIBE":
                for name in names:
                    self._socket.leave(name)
            case "LIST_SUBSCRIPTIONS":
                result = self._socket.followed
            case _:
                refused = {"code": 2, "msg": "Invalid request: unknown method"}
                return await self._socket.send(compact({"error": refused, "id": frame.get("id")}))
        return await self._socket.send(compact({"result": result, "id": frame.get("id")}))

    def _framing(self, stream: str, symbol: str, kind: str) -> Callable[[FeedTick], str]:
        def frame(tick: FeedTick) -> str:
            data = _BINANCE_PAYLOADS[kind](symbol, tick)
            return compact({"stream": stream, "data": data} if self._combined else data)

        return frame


def _trade(symbol: str, tick: FeedTick) -> dict[str, Any]:
    """Return a `trade` event; ``m`` is true when the buyer was the maker."""
    event = {
        "e": "trade",
        "E": tick.observed_ms,
        "s": symbol,
        "t": tick.extra["trade_id"],
        "p": str(tick.price),
    }
    maker = tick.extra["buyer_is_maker"]
    return {**event, "q": str(tick.extra["quantity"]), "T": tick.observed_ms, "m": maker, "M": True}


def _aggregate_trade(symbol: str, tick: FeedTick) -> dict[str, Any]:
    """Return an `aggTrade` event of one trade."""
    serial = tick.extra["trade_id"]
    trade = _trade(symbol, tick)
    del trade["t"]
    return {**trade, "e": "aggTrade", "a": serial, "f": serial, "l": serial}


def _book_ticker(symbol: str, tick: FeedTick) -> dict[str, Any]:
    """Return a `bookTicker`, which carries no time, only its rising update id."""
    best = {
        "b": tick.extra["bid"],
        "B": tick.extra["bid_size"],
        "a": tick.extra["ask"],
        "A": tick.extra["ask_size"],
    }
    return {"u": tick.extra["update_id"], "s": symbol, **{key: str(value) for key, value in best.items()}}


_BINANCE_PAYLOADS: Final[Mapping[str, Callable[[str, FeedTick], dict[str, Any]]]] = {
    "trade": _trade,
    "aggTrade": _aggregate_trade,
    "bookTicker": _book_ticker,
}


def _point(tick: FeedTick) -> dict[str, Any]:
    return {
        "timestamp": tick.observed_ms,
        "value": float(tick.price),
        "full_accuracy_value": f"{tick.price:.8f}",
    }
