"""The market and user channels of the fake CLOB.

No sequence numbers and no replay: a snapshot at subscribing, then changes. Text PING is answered with text PONG. A
reader too slow for its queue is cut off.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, TypeAlias

from aiohttp import WSMsgType, web

from services.simulator import wire
from services.simulator.faults import Armed, Faults, played
from services.simulator.gamma_wire import new_market
from services.simulator.matching import changed_levels
from services.simulator.orders import Market, Order, Trade
from services.simulator.sink import OrderEventKind
from services.simulator.timetable import Timetable
from services.simulator.venue import Venue, to_ms
from shared.runtime.clock import Clock

QUEUE_FRAMES_MAX: Final = 5_000
OnText: TypeAlias = "Callable[[Connection, str], bool]"
"""What a channel does with a client's text; False ends the connection."""
INVALID: Final = "INVALID OPERATION"


@dataclass(eq=False, slots=True)
class Connection:
    """One client; what it is sent waits in a bounded queue."""

    cut: Callable[[], None]
    name: str = ""  # of a market channel: its place in the order of coming
    frames: asyncio.Queue[str] = field(default_factory=lambda: asyncio.Queue(QUEUE_FRAMES_MAX))
    assets: set[str] = field(default_factory=set)
    custom: bool = False
    owner: str = ""  # API key of a user channel
    markets: set[str] = field(default_factory=set)  # of a user channel; empty = all
    held: list[str] = field(default_factory=list)  # events of a user channel that will be sent out of order

    def send(self, texts: Iterable[str]) -> None:
        """Queue frames; a client whose queue is full is cut off."""
        try:
            for text in texts:
                self.frames.put_nowait(text)
        except asyncio.QueueFull:
            self.cut()

    def release(self) -> None:
        """Queue the events that were held, the newest first."""
        held, self.held = self.held[::-1], []
        self.send(held)


class Streams:
    """All open connections; the exchange tells it what happens."""

    def __init__(self, faults: Faults, clock: Clock, timetable: Timetable) -> None:
        self._faults, self._clock, self._timetable = faults, clock, timetable
        self._market: set[Connection] = set()
        self._user: set[Connection] = set()
        self._serials = count(1)
        self._best: dict[str, tuple[int | None, int | None]] = {}

    def listed(self, market: Market) -> None:
        """Tell every client with custom features of a new market, its own or not."""
        self._publish(market, "new_market", new_market(market), custom_only=True, everyone=True)

    def book_changed(self, market: Market, bids: dict[int, int], asks: dict[int, int]) -> None:
        """Send the changed levels of both tokens, and the best prices where they moved."""
        if not self._watched(market):
            return
        bids_now, asks_now = market.book.levels(is_up=True)
        changed_bids, changed_asks = changed_levels(bids, bids_now), changed_levels(asks, asks_now)
        if not changed_bids and not changed_asks:
            return
        self._publish(
            market, "price_change", wire.price_changes(market, {"BUY": changed_bids, "SELL": changed_asks})
        )
        best = market.book.best(is_up=True)
        if self._best.get(market.condition_id) != best:
            self._best[market.condition_id] = best
            for is_up in (True, False):
                self._publish(
                    market, "best_bid_ask", wire.best_bid_ask(market, is_up=is_up), custom_only=True
                )

    def traded(self, trade: Trade) -> None:
        """Send the last trade and both books anew."""
        market = trade.market
        if not self._watched(market):
            return
        self._publish(market, "last_trade_price", wire.last_trade_price(trade))
        for is_up in (True, False):
            self._publish(market, "book", {**wire.book(market, is_up=is_up), "event_type": "book"})

    def tick_changed(self, market: Market, old: int) -> None:
        """Send the new tick of both tokens."""
        for is_up in (True, False):
            self._publish(market, "tick_size_change", wire.tick_size_change(market, old, is_up=is_up))

    def resolved(self, market: Market) -> None:
        """Tell clients with custom features who won."""
        self._publish(market, "market_resolved", wire.market_resolved(market), custom_only=True)

    def order_changed(self, order: Order, kind: OrderEventKind, status: str) -> None:
        """Send an order event to its owner."""
        body = wire.order_event(order, kind, status, to_ms(self._clock.now()))
        facts = {"event": "order", "status": status, "wallet": order.maker.lower(), "side": order.side}
        self._tell(order.owner, order.market, body, facts)

    def trade_changed(self, trade: Trade) -> None:
        """Send a trade event to the owner of each side."""
        for owner, leg in {leg.owner: leg for leg in trade.own_legs()}.items():
            facts = {
                "event": "trade",
                "status": trade.status,
                "wallet": leg.address.lower(),
                "side": leg.side,
            }
            self._tell(owner, trade.market, wire.trade_event(trade, owner), facts)

    def open_market(self, connection: Connection) -> None:
        """Take in a market connection."""
        connection.name = connection.name or str(next(self._serials))
        self._market.add(connection)

    def open_user(self, connection: Connection) -> None:
        """Take in a user connection."""
        self._user.add(connection)

    def close(self, connection: Connection) -> None:
        """Let a connection go."""
        self._market.discard(connection)
        self._user.discard(connection)

    def _watched(self, market: Market) -> bool:
        tokens = (market.window.up_token, market.window.down_token)
        return any(token in connection.assets for connection in self._market for token in tokens)

    def _publish(
        self,
        market: Market,
        event: str,
        body: wire.Json,
        *,
        custom_only: bool = False,
        everyone: bool = False,
    ) -> None:
        tokens = {market.window.up_token, market.window.down_token}
        readers = [
            connection
            for connection in self._market
            if (everyone or not tokens.isdisjoint(connection.assets))
            and (connection.custom or not custom_only)
        ]
        if readers:
            text = wire.compact(body)
            for connection in readers:
                self.show(connection, text, event=event, market=market.window.slug)

    def show(self, connection: Connection, text: str, **facts: str) -> None:
        """Send a frame to one reader of the market channel as the faults have it; one may cut the line."""
        facts = {"channel": "market", "connection": connection.name, **facts}
        if self._faults and self._faults.take("line", **facts) is not None:
            connection.cut()
        else:
            connection.send(self._faults.sent(text, **facts))

    def _tell(self, owner: str, market: Market, body: wire.Json, facts: Mapping[str, str]) -> None:
        readers = [
            connection
            for connection in self._user
            if connection.owner == owner
            and (not connection.markets or market.condition_id in connection.markets)
        ]
        text = wire.compact(body)
        for connection in readers:
            facts = {"channel": "user", "market": market.window.slug, **facts}
            struck = self._faults.take("frame", **facts) if self._faults else None
            self._send(connection, text, struck)

    def _send(self, connection: Connection, text: str, struck: Armed | None) -> None:
        """Send a user's event as the fault has it; what is held for the next one follows it, the newest first."""
        if struck is not None and struck.kind.name in ("delay_event", "reorder_events"):
            due_ms = to_ms(self._clock.now()) + int(struck.seconds * 1000)
            if struck.kind.name == "delay_event":
                self._timetable.at(due_ms, lambda _when: connection.send((text,)))
                return
            connection.held.append(text)
            self._timetable.at(due_ms, lambda _when: connection.release())
            return
        connection.send((text,) if struck is None else played(struck, text))
        connection.release()


def stream_routes(venue: Venue, streams: Streams) -> list[web.RouteDef]:
    """Return the routes of both channels."""

    async def market_channel(request: web.Request) -> web.WebSocketResponse:
        return await _serve(
            request, streams, lambda connection, text: _on_market(venue, streams, connection, text)
        )

    async def user_channel(request: web.Request) -> web.WebSocketResponse:
        return await _serve(
            request, streams, lambda connection, text: _on_user(venue, streams, connection, text)
        )

    return [web.get("/ws/market", market_channel), web.get("/ws/user", user_channel)]


async def _serve(request: web.Request, streams: Streams, on_text: OnText) -> web.WebSocketResponse:
    """Run one connection until the client leaves, is refused or falls too far behind."""
    # Compression would cost this process more than the loopback costs without.
    socket = web.WebSocketResponse(max_msg_size=1 << 20, compress=False)
    await socket.prepare(request)
    assert request.transport is not None
    connection = Connection(request.transport.abort)
    try:
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(_write(socket, connection))
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    break
                if message.data == "PING":
                    connection.send(("PONG",))
                elif not on_text(connection, message.data):
                    break
            writer.cancel()
    finally:
        streams.close(connection)
        await socket.close()
    return socket


async def _write(socket: web.WebSocketResponse, connection: Connection) -> None:
    while True:
        text = await connection.frames.get()
        try:
            await socket.send_str(text)
        except ConnectionError:
            return


def _on_market(venue: Venue, streams: Streams, connection: Connection, text: str) -> bool:
    """Subscribe or unsubscribe; a first frame said twice, or only known assets, are an invalid operation."""
    body = _object(text)
    assets = [str(asset) for asset in body.get("assets_ids") or []]
    operation = body.get("operation")
    connection.custom = bool(body.get("custom_feature_enabled", connection.custom))
    if operation == "unsubscribe":
        connection.assets.difference_update(assets)
        return True
    fresh = [asset for asset in assets if asset not in connection.assets]
    first = body.get("type") == "market" and not connection.assets
    if not fresh or (operation != "subscribe" and not first):
        connection.send((INVALID,))
        return True
    streams.open_market(connection)
    connection.assets.update(fresh)
    known = [found for asset in fresh if (found := venue.exchange.listing.by_token.get(asset)) is not None]
    if body.get("initial_dump", True):
        books = [{**wire.book(market, is_up=is_up), "event_type": "book"} for market, is_up in known]
        streams.show(connection, wire.compact(books), event="book")
    return True


def _on_user(venue: Venue, streams: Streams, connection: Connection, text: str) -> bool:
    """Log in, then follow markets; wrong credentials end the connection without a word."""
    body = _object(text)
    if not connection.owner:
        auth = body.get("auth") or {}
        found = venue.keys.known(
            str(auth.get("apiKey")), str(auth.get("secret")), str(auth.get("passphrase"))
        )
        if found is None:
            return False
        connection.owner = found.key
        streams.open_user(connection)
    markets = {str(market) for market in body.get("markets") or []}
    if body.get("operation") == "unsubscribe":
        connection.markets -= markets
    else:
        connection.markets |= markets
    return True


def _object(text: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
