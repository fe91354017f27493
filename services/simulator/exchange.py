"""The fake venue's engine: markets that come and go, orders taken in, held, matched, cancelled. PURE.

Everything happens synchronously at a moment the caller brings; what happens later is planned in the timetable.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Literal, Protocol

from services.simulator.accounts import COLLATERAL, Wallet
from services.simulator.faults import Faults
from services.simulator.heartbeats import Heartbeats
from services.simulator.listing import Listing
from services.simulator.matching import MICRO, Fill, Resting, cash_of
from services.simulator.orders import IMMEDIATE, Answer, Market, Order, Trade
from services.simulator.orders_intake import (
    NOT_FILLED_FAK,
    NOT_FILLED_FOK,
    NOT_READY,
    Caller,
    Desk,
    Refused,
    Rules,
    fee_of,
    not_enough,
    parse,
    required,
    take_in,
    taker_of,
)
from services.simulator.settlement import Chain, Settlement
from services.simulator.timetable import Timetable
from services.simulator.world import World

OrderEventKind = Literal["PLACEMENT", "UPDATE", "CANCELLATION"]
Mode = Literal["normal", "restarting", "post_only", "cancel_only", "disabled"]
GTD_EARLY_S = 60
"""The venue ends a GTD order one minute before the stated second."""


class Sink(Protocol):
    """Who must hear what happens: the streams."""

    def listed(self, market: Market) -> None:
        """Hear that a market is listed."""
        ...

    def book_changed(self, market: Market, bids: dict[int, int], asks: dict[int, int]) -> None:
        """Hear that the UP book changed; bids and asks are as they were before."""
        ...

    def traded(self, trade: Trade) -> None:
        """Hear that a trade ate from the book."""
        ...

    def tick_changed(self, market: Market, old: int) -> None:
        """Hear that the tick became finer."""
        ...

    def resolved(self, market: Market) -> None:
        """Hear that the market is resolved."""
        ...

    def order_changed(self, order: Order, kind: OrderEventKind, status: str) -> None:
        """Hear that an order was placed, filled in part or whole, or cancelled."""
        ...

    def trade_changed(self, trade: Trade) -> None:
        """Hear that a trade has a new status."""
        ...


class Exchange:
    """Markets, orders and wallets of the fake venue."""

    def __init__(
        self, world: World, *, rules: Rules, timetable: Timetable, faults: Faults, chain: Chain, sink: Sink
    ) -> None:
        self.orders: dict[str, Order] = {}
        self.posts: Counter[str] = Counter()  # how often each well-signed order was posted, refused or not
        self.mode: Mode = "normal"
        self.rules, self.timetable = rules, timetable
        self.listing = Listing(world, timetable, faults, self)
        self.settlement = Settlement(rules, timetable=timetable, faults=faults, chain=chain, sink=sink)
        self.heartbeats = Heartbeats(timetable, rules.heartbeat_limit_ms, chain.trade_id, self.cancel_all)
        self._sink = sink
        self._live: dict[str, Order] = {}

    @property
    def wallets(self) -> dict[str, Wallet]:
        """Wallets by checksummed address."""
        return self.settlement.wallets

    def open_wallet(self, address: str, owner: str, signature_type: int) -> Wallet:
        """Return the wallet of an address, made if it is new."""
        return self.wallets.setdefault(address, Wallet(address, owner, signature_type))

    def place(self, payload: object, caller: Caller, now_ms: int, done: Callable[[Answer], None]) -> None:
        """Take in one posted order; ``done`` is called once, now or when it was matched."""
        try:
            posted = parse(payload)
            order = take_in(posted, caller, self._desk(), now_ms, done)
        except Refused as refused:
            done(refused.answer())
            return
        self.orders[order.order_id] = order
        asset = COLLATERAL if order.side == "BUY" else order.token
        needed = required(order, posted.fields, self.rules)
        self.wallets[order.maker].reserve(order.order_id, asset, needed)
        crosses = order.market.book.crosses(is_up=order.is_up, side=order.side, price=order.price)
        if crosses and self.rules.taker_hold_ms > 0:
            self.timetable.at(now_ms + self.rules.taker_hold_ms, lambda when: self._match(order, when))
        else:
            self._match(order, now_ms)

    def cancel(self, order_id: str, owner: str, *, status: str = "CANCELED") -> str | None:
        """Cancel a resting order; return the venue's reason where it cannot be done, else None."""
        order = self.orders.get(order_id)
        if order is None or order.owner != owner:
            return "Order not found or already canceled"
        if order_id in self._live:
            order.status = status
            self._leave_book(order)
            self._sink.order_changed(order, "CANCELLATION", status)
            return None
        if order.status == "DELAYED":
            return "order can't be canceled while it is delayed"
        if order.status == "MATCHED":
            return "Order already matched"
        return "Order already canceled"

    def cancel_all(self, owner: str) -> None:
        """Cancel every resting order of an API key."""
        for order in list(self.live_orders(owner)):
            self.cancel(order.order_id, owner)

    def live_orders(self, owner: str | None = None) -> Iterator[Order]:
        """Yield resting orders, oldest first."""
        return (order for order in self._live.values() if owner is None or order.owner == owner)

    def frame(self, market: Market, bids: dict[int, int], asks: dict[int, int], now_ms: int) -> None:
        """Take a recorded frame: users' resting orders it crosses trade first."""
        before = market.book.levels(is_up=True)
        met = market.book.replace(bids, asks)
        market.book_ms = now_ms
        for resting, shares in met:
            self._filled_by_market(resting, shares, now_ms)
        self._sink.book_changed(market, *before)
        self._refine_tick(market)

    def listed(self, market: Market) -> None:
        """Pass on that a market is on the books."""
        self._sink.listed(market)

    def resolve(self, market: Market, now_ms: int) -> None:
        """End a market: resting orders are cancelled, the book is empty, tokens can be redeemed."""
        for order in [order for order in self._live.values() if order.market is market]:
            self.cancel(order.order_id, order.owner, status="CANCELED_MARKET_RESOLVED")
        before = market.book.levels(is_up=True)
        market.book.replace({}, {})
        market.book_ms = market.resolved_ms = now_ms
        self._sink.book_changed(market, *before)
        self._sink.resolved(market)

    def _desk(self) -> Desk:
        def seen_before(order_id: str) -> bool:
            self.posts[order_id] += 1
            return order_id in self.orders

        return Desk(self.listing.by_token.get, self.wallets.get, seen_before, self.rules)

    def _match(self, order: Order, now_ms: int) -> None:
        """Match an order with the book as it is now, answer it, and let what may rest rest."""
        market = order.market
        taker = taker_of(order)
        fills, whole = market.book.plan(taker, short_micro=self.rules.short_micro)
        self.wallets[order.maker].reserve(order.order_id, "", 0)
        refused = self._refusal(order, fills, whole=whole, now_ms=now_ms)
        if refused is not None:
            self._kill(order, refused)
            return
        before = market.book.levels(is_up=True)
        makers = [self._live[fill.resting] if fill.resting else None for fill in fills]
        market.book.take(taker, fills)
        trades = [
            self.settlement.trade(order, fill, maker, now_ms)
            for fill, maker in zip(fills, makers, strict=True)
        ]
        resting = order.order_type not in IMMEDIATE and order.left > 0
        if resting:
            self._rest(order, now_ms)
        else:
            order.status = "MATCHED"
        order.done(_placed(order))
        kind: OrderEventKind = "PLACEMENT" if order.order_type not in IMMEDIATE else "UPDATE"
        self._sink.order_changed(order, kind, order.status)
        if trades or resting:
            market.book_ms = now_ms
        self._after_trades(trades)
        if trades or resting:
            self._sink.book_changed(market, *before)

    def _after_trades(self, trades: list[Trade]) -> None:
        for trade in trades:
            maker = trade.maker.order
            if maker is not None:
                self._maker_met(maker)
            taker = trade.taker
            trade.market.last_price = {taker.is_up: taker.price, not taker.is_up: MICRO - taker.price}
            trade.market.last_side = taker.side
            self._sink.trade_changed(trade)
            self._sink.traded(trade)

    def _filled_by_market(self, resting: Resting, shares: int, now_ms: int) -> None:
        maker = self._live[resting.order_id]
        self._after_trades([self.settlement.trade_as_maker(maker, shares, now_ms)])

    def _maker_met(self, maker: Order) -> None:
        """Let a resting order that traded go on: less is reserved, and at nothing left it is done."""
        if maker.left == 0:
            maker.status = "MATCHED"
            self._live.pop(maker.order_id, None)
        self._hold(maker)
        self._sink.order_changed(maker, "UPDATE", maker.status)

    def _rest(self, order: Order, now_ms: int) -> None:
        order.status = "LIVE"
        self._live[order.order_id] = order
        self._hold(order)
        order.market.book.rest(
            order.order_id, is_up=order.is_up, side=order.side, price=order.price, shares=order.left
        )
        if order.order_type == "GTD":
            ends_ms = max(now_ms, (order.expires_s - GTD_EARLY_S) * 1000)
            self.timetable.at(
                ends_ms,
                lambda _when: self._expire(order),
            )

    def _expire(self, order: Order) -> None:
        if order.order_id in self._live:
            self.cancel(order.order_id, order.owner, status="CANCELED_EXPIRED_ORDER")

    def _hold(self, order: Order) -> None:
        """Reserve what a resting order still needs: rounded up, so that it can always be filled."""
        left = order.left if order.order_id in self._live else 0
        asset = COLLATERAL if order.side == "BUY" else order.token
        amount = cash_of(order.price, left) + (1 if left else 0) if order.side == "BUY" else left
        self.wallets[order.maker].reserve(order.order_id, asset, amount)

    def _leave_book(self, order: Order) -> None:
        before = order.market.book.levels(is_up=True)
        del self._live[order.order_id]
        order.market.book.resting.pop(order.order_id, None)
        self.wallets[order.maker].reserve(order.order_id, "", 0)
        self._sink.book_changed(order.market, *before)

    def _refusal(self, order: Order, fills: list[Fill], *, whole: bool, now_ms: int) -> str | None:
        """Return why a held order is refused now, None where it may trade or rest."""
        if not order.market.accepts(now_ms):
            return NOT_READY
        if order.order_type == "FOK" and not whole:
            return NOT_FILLED_FOK
        if order.order_type == "FAK" and not fills:
            return NOT_FILLED_FAK
        if order.side == "SELL":
            return None
        # A price that improved during the hold means a bigger fee: cash must never go below zero.
        spent = sum(fill.cash + fee_of(order, fill.price, fill.shares, self.rules) for fill in fills)
        free = self.wallets[order.maker].spendable(COLLATERAL)
        return None if spent <= free else not_enough(free, spent)

    def _kill(self, order: Order, text: str) -> None:
        order.status = "CANCELED"
        self._sink.order_changed(order, "CANCELLATION", f"CANCELED_{text}")
        order.done(Answer(400, {"error": text}))

    def _refine_tick(self, market: Market) -> None:
        """Drop the tick from 0.01 to 0.001 once the price passed about 0.96 or 0.04 (observed, undocumented)."""
        bid, ask = market.book.best(is_up=True)
        passed = (bid is not None and bid > 960_000) or (ask is not None and ask < 40_000)  # noqa: PLR2004
        if passed and market.tick == 10_000:  # noqa: PLR2004 - the tick of 0.01
            old, market.tick = market.tick, 1_000
            self._sink.tick_changed(market, old)


def _placed(order: Order) -> Answer:
    """Return the answer to an order that was taken: what it gave and got at once, without the fee."""
    gave, got = (order.cash, order.matched) if order.side == "BUY" else (order.matched, order.cash)
    matched = order.matched > 0
    body: dict[str, Any] = {
        "errorMsg": "",
        "orderID": order.order_id,
        "takingAmount": _text(got) if matched else "",
        "makingAmount": _text(gave) if matched else "",
        "status": "matched" if matched else "live",
        "transactionsHashes": [],  # settlement is asynchronous: the hashes come later
        "tradeIDs": [trade.trade_id for trade in order.trades],
        "success": True,
    }
    return Answer(200, body)


def _text(micro: int) -> str:
    return f"{(Decimal(micro) / MICRO).normalize():f}"
