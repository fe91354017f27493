"""The fake venue's engine: markets that come and go, orders taken in, held, matched, cancelled. PURE.

Everything happens synchronously at a moment the caller brings; what happens later is planned in the timetable.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Literal

from services.simulator.accounts import COLLATERAL, Wallet
from services.simulator.faults import Armed, Faults
from services.simulator.heartbeats import Heartbeats
from services.simulator.listing import Listing
from services.simulator.matching import MICRO, Fill, Resting, cash_of
from services.simulator.orders import IMMEDIATE, Answer, Market, Order, Trade
from services.simulator.orders_intake import (
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
from services.simulator.refusal_texts import (
    KILLED,
    MATCH_DELAYED,
    NOT_FILLED_FAK,
    NOT_FILLED_FOK,
    NOT_READY,
    REFUSALS,
)
from services.simulator.settlement import Chain, Settlement
from services.simulator.signatures import domain_for
from services.simulator.signatures import order_id as order_id_of
from services.simulator.sink import OrderEventKind, Sink
from services.simulator.timetable import Timetable
from services.simulator.world import World

Mode = Literal["normal", "restarting", "post_only", "cancel_only", "disabled"]


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
        self._sink, self._faults = sink, faults
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
        refusal = self._faults.take("intake", **_facts(order)) if self._faults else None
        if refusal is not None and refusal.options["text"] not in KILLED:
            done(_named_refusal(order, refusal))
            return
        self.orders[order.order_id] = order
        if refusal is not None:
            self._kill(order, REFUSALS[refusal.options["text"]][1])
            return
        asset = COLLATERAL if order.side == "BUY" else order.token
        needed = required(order, posted.fields, self.rules)
        self.wallets[order.maker].reserve(order.order_id, asset, needed)
        fault = self._faults.take("match", **_facts(order)) if self._faults else None
        if fault is not None and self._disturbed(order, fault, now_ms):
            return
        if _crosses(order) and self.rules.taker_hold_ms > 0:
            self.timetable.at(now_ms + self.rules.taker_hold_ms, lambda when: self._match(order, when))
        else:
            self._match(order, now_ms)

    def identity(self, payload: object) -> str:
        """Return the id of a posted order, placed or not; raise Refused for a body that is no order."""
        fields = parse(payload).fields
        found = self.listing.by_token.get(str(fields.token_id))
        return order_id_of(
            fields, domain_for(fields.token_id, neg_risk=found is not None and found[0].window.neg_risk)
        )

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
        market.remember_price(now_ms // 1000)
        for resting, shares in met:
            self._filled_by_market(resting, shares, now_ms)
        self._sink.book_changed(market, *before)
        self._refine_tick(market)

    def change_tick(self, market: Market, tick: int) -> None:
        """Make a market's tick another one, and say so."""
        old, market.tick = market.tick, tick
        self._sink.tick_changed(market, old)

    def change_mode(self, mode: Mode) -> None:
        """Restrict trading, or let it go on."""
        self.mode = mode

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

    def _disturbed(self, order: Order, fault: Armed, now_ms: int) -> bool:
        """Let a fault decide what becomes of an order just taken in; False lets it go the usual way."""
        due_ms = now_ms + int(fault.seconds * 1000)
        match fault.kind.name:
            case "partly_filled":
                order.depth_share = Decimal(fault.options["share"])
                return False
            case "delayed":
                self._answered(order, "DELAYED")
                dies = fault.options["result"] == "killed"
                self.timetable.at(
                    due_ms,
                    lambda when: self._kill(order, MATCH_DELAYED) if dies else self._match(order, when),
                )
            case "resting":
                self._rest_aside(order)
                if order.order_type in IMMEDIATE:
                    self.timetable.at(due_ms, lambda _when: self._cancel_if_live(order, "CANCELED"))
            case _:
                self._rest_aside(order)
                self.timetable.at(due_ms, lambda when: self._fill_late(order, when))
        return True

    def _answered(self, order: Order, status: str) -> None:
        """Answer an order before it is matched; whatever becomes of it later is answered to nobody."""
        order.status = status
        order.done(_placed(order, status.lower()))
        order.done = lambda _answer: None
        self._sink.order_changed(order, "PLACEMENT", status)

    def _rest_aside(self, order: Order) -> None:
        """Let an order rest where no maker meets it; what was reserved for it stays reserved."""
        self._live[order.order_id] = order
        self._answered(order, "LIVE")
        self._plan_expiry(order)

    def _fill_late(self, order: Order, now_ms: int) -> None:
        """Fill an order that rested aside: from the book if it meets anyone there, else by a passing taker."""
        if order.order_id not in self._live:
            return
        if _crosses(order) and order.market.accepts(now_ms):
            del self._live[order.order_id]
            self._match(order, now_ms)
        else:
            self._after_trades([self.settlement.trade_as_maker(order, order.left, now_ms)])

    def _match(self, order: Order, now_ms: int) -> None:
        """Match an order with the book as it is now, answer it, and let what may rest rest."""
        market = order.market
        taker = taker_of(order)
        fills, whole = market.book.plan(taker, short_micro=self.rules.short_micro)
        self.wallets[order.maker].reserve(order.order_id, "", 0)
        refused = self._refusal(order, fills, whole=whole and order.depth_share == 1, now_ms=now_ms)
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
            self._rest(order)
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

    def _rest(self, order: Order) -> None:
        order.status = "LIVE"
        self._live[order.order_id] = order
        self._hold(order)
        order.market.book.rest(
            order.order_id, is_up=order.is_up, side=order.side, price=order.price, shares=order.left
        )
        self._plan_expiry(order)

    def _plan_expiry(self, order: Order) -> None:
        if order.order_type == "GTD":
            self.timetable.at(
                (order.expires_s - self.rules.gtd_early_s) * 1000,
                lambda _when: self._cancel_if_live(order, "CANCELED_EXPIRED_ORDER"),
            )

    def _cancel_if_live(self, order: Order, status: str) -> None:
        if order.order_id in self._live:
            self.cancel(order.order_id, order.owner, status=status)

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
        self.wallets[order.maker].reserve(order.order_id, "", 0)
        self._sink.order_changed(order, "CANCELLATION", f"CANCELED_{text}")
        order.done(Answer(400, {"error": text}))

    def _refine_tick(self, market: Market) -> None:
        """Drop the tick from 0.01 to 0.001 once the price passed about 0.96 or 0.04 (observed, undocumented)."""
        bid, ask = market.book.best(is_up=True)
        passed = (bid is not None and bid > 960_000) or (ask is not None and ask < 40_000)  # noqa: PLR2004
        if passed and market.tick == 10_000:  # noqa: PLR2004 - the tick of 0.01
            self.change_tick(market, 1_000)


def _facts(order: Order) -> dict[str, str]:
    return {
        "wallet": order.maker.lower(),
        "side": order.side,
        "order_type": order.order_type,
        "market": order.market.window.slug,
    }


def _crosses(order: Order) -> bool:
    return order.market.book.crosses(is_up=order.is_up, side=order.side, price=order.price)


def _named_refusal(order: Order, fault: Armed) -> Answer:
    http, text = REFUSALS[fault.options["text"]]
    return Answer(http, {"error": text.format(id=order.order_id, address=order.maker)})


def _placed(order: Order, unmatched: str = "live") -> Answer:
    """Return the answer to an order that was taken: what it gave and got at once, without the fee."""
    gave, got = (order.cash, order.matched) if order.side == "BUY" else (order.matched, order.cash)
    matched = order.matched > 0
    body: dict[str, Any] = {
        "errorMsg": "",
        "orderID": order.order_id,
        "takingAmount": _text(got) if matched else "",
        "makingAmount": _text(gave) if matched else "",
        "status": "matched" if matched else unmatched,
        "transactionsHashes": [],  # settlement is asynchronous: the hashes come later
        "tradeIDs": [trade.trade_id for trade in order.trades],
        "success": True,
    }
    return Answer(200, body)


def _text(micro: int) -> str:
    return f"{(Decimal(micro) / MICRO).normalize():f}"
