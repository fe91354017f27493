"""The chain behind the fake venue: trades become MINED and CONFIRMED (or FAILED), resolved tokens become cash. PURE.

The clock of settlement is the timetable; every move of money happens here and nowhere else.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from services.simulator.accounts import COLLATERAL, Movement, Wallet
from services.simulator.faults import Faults
from services.simulator.matching import MICRO, Fill, Side, cash_of, to_up
from services.simulator.orders import Leg, Market, Order, Redemption, Trade, TradeStatus
from services.simulator.orders_intake import Rules, fee_of
from services.simulator.timetable import Timetable

_RECORDED_MAKER = "0x000000000000000000000000000000000000dEaD"


class TradeSink(Protocol):
    """Who must hear of a trade's life."""

    def trade_changed(self, trade: Trade) -> None:
        """Hear that a trade has a new status."""
        ...


class Reverted(Exception):
    """The call would revert on chain; nothing moved."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Draws what only a chain and its database would: ids and hashes, from one seed."""

    chance: random.Random

    def trade_id(self) -> str:
        """Return a fresh UUID."""
        return str(UUID(int=self.chance.getrandbits(128), version=4))

    def transaction_hash(self) -> str:
        """Return a fresh transaction hash."""
        return "0x" + self.chance.randbytes(32).hex()


class Settlement:
    """All wallets, trades and redemptions of the fake chain."""

    def __init__(
        self, rules: Rules, *, timetable: Timetable, faults: Faults, chain: Chain, sink: TradeSink
    ) -> None:
        self.wallets: dict[str, Wallet] = {}
        self.trades: dict[str, Trade] = {}
        self.redemptions: list[Redemption] = []
        self._rules, self._timetable, self._faults = rules, timetable, faults
        self._chain, self._sink = chain, sink

    def trade(self, taker: Order, fill: Fill, maker: Order | None, now_ms: int) -> Trade:
        """Record one fill of a taker and put its money on the way."""
        fee = fee_of(taker, fill.price, fill.shares, self._rules)
        market = taker.market
        maker_side, maker_price = to_up(taker.side, fill.price, is_up=taker.is_up)
        maker_leg = (
            _leg(maker, maker_price if maker.is_up else MICRO - maker_price, fill.shares, fee=0)
            if maker is not None
            else self._recorded_leg(maker_side, maker_price, fill.shares, market.tick)
        )
        taker_leg = _leg(taker, fill.price, fill.shares, fee=fee)
        return self._record(market, fill.shares, taker_leg, maker_leg, now_ms)

    def trade_as_maker(self, maker: Order, shares: int, now_ms: int) -> Trade:
        """Record that the recorded market traded with a user's resting order, at the order's price."""
        up_side, up_price = to_up(maker.side, maker.price, is_up=maker.is_up)
        taker = self._recorded_leg(up_side, up_price, shares, maker.market.tick)
        return self._record(maker.market, shares, taker, _leg(maker, maker.price, shares, fee=0), now_ms)

    def redeem(self, wallet: Wallet, market: Market, now_ms: int, transaction_hash: str) -> int:
        """Pay out all mined tokens of a market; return the micro-USDC, 0 for an emptied position.

        Raise Reverted while the market is unresolved or the adapter is not approved.
        """
        held = {market.token(is_up=up): wallet.tokens.get(market.token(is_up=up), 0) for up in (True, False)}
        return self._redeem(wallet, market, held, now_ms, transaction_hash)

    def redeem_outcome(
        self, wallet: Wallet, market: Market, outcome: tuple[bool, int], now_ms: int, transaction_hash: str
    ) -> int:
        """Pay out some shares of one outcome (is it Up, micro-shares), as Protocol V2 does; raise Reverted."""
        is_up, shares = outcome
        return self._redeem(wallet, market, {market.token(is_up=is_up): shares}, now_ms, transaction_hash)

    def _redeem(
        self, wallet: Wallet, market: Market, shares: Mapping[str, int], now_ms: int, transaction_hash: str
    ) -> int:
        if market.resolved_ms is None:
            raise Reverted("result for condition not received yet")
        if not wallet.approved:
            raise Reverted("ERC1155: need operator approval for 3rd party transfers")
        payouts = {market.token(is_up=up): market.payout(is_up=up) for up in (True, False)}
        paid, burnt = wallet.redeem(payouts, shares)
        if burnt:
            self.redemptions.append(Redemption(wallet.address, market, burnt, paid, now_ms, transaction_hash))
            for asset in (COLLATERAL, *burnt):
                self.refresh_later(wallet, asset, now_ms)
        return paid

    def refresh_later(self, wallet: Wallet, asset: str, now_ms: int) -> None:
        """Let the venue's cached view see a change from outside only after its delay."""

        def see(when_ms: int) -> None:
            wallet.refresh(asset)
            wallet.remember(when_ms)

        self._timetable.at(now_ms + self._rules.balance_lag_ms, see)

    def transaction_hash(self) -> str:
        """Return a fresh transaction hash."""
        return self._chain.transaction_hash()

    def fresh_id(self) -> str:
        """Return a fresh UUID."""
        return self._chain.trade_id()

    def _record(self, market: Market, shares: int, taker: Leg, maker: Leg, now_ms: int) -> Trade:
        trade = Trade(
            trade_id=self._chain.trade_id(),
            market=market,
            shares=shares,
            taker=taker,
            maker=maker,
            matched_ms=now_ms,
            updated_ms=now_ms,
        )
        self.trades[trade.trade_id] = trade
        for key, leg, order in _own(trade):
            self.wallets[leg.address].match(key, _movement(trade, leg))
            order.matched += shares
            order.cash += leg.cash
            order.fee += leg.fee
            order.trades.append(trade)
        self._plan(trade, now_ms)
        return trade

    def _plan(self, trade: Trade, now_ms: int) -> None:
        fault = self._faults.take(
            "settlement",
            wallet={leg.address.lower() for leg in trade.own_legs()},
            side={leg.side for leg in trade.own_legs()},
            market=trade.market.window.slug,
        )
        mining_ms, at = self._rules.mined_ms, self._timetable.at
        mined, confirmed = now_ms + mining_ms, now_ms + self._rules.confirmed_ms
        match fault.kind.name if fault is not None else "":
            case "match_then_failed":
                at(mined, lambda when: self._fail(trade, when))
                return
            case "phantom_lock":
                assert fault is not None
                released = mined + int(fault.seconds * 1000)
                at(mined, lambda when: self._fail_locked(trade, when))
                at(
                    released,
                    lambda _when: self._for_wallets(trade, lambda wallet, key: wallet.locked.pop(key)),
                )
                return
            case "match_then_retrying":
                at(mined, lambda when: self._set(trade, "RETRYING", when))
                mined, confirmed = mined + mining_ms, confirmed + mining_ms
            case "mined_then_reorganised":
                assert fault is not None
                last = fault.options["result"]
                at(mined, lambda when: self._mine(trade, when))
                at(mined + max(mining_ms, 1), lambda when: self._reorganise(trade, last, when))
                return
        at(mined, lambda when: self._mine(trade, when))
        at(confirmed, lambda when: self._confirm(trade, when))

    def _reorganise(self, trade: Trade, last: str, when_ms: int) -> None:
        """Take a mined trade back and try it again, or let it fail; what was spent meanwhile cannot be taken back."""
        if trade.status != "MINED":
            return
        moved = [(self.wallets[leg.address], key, _movement(trade, leg)) for key, leg, _order in _own(trade)]
        if not all(wallet.has_kept(movement) for wallet, _key, movement in moved):
            self._set(trade, "CONFIRMED", when_ms)
            return
        for wallet, key, movement in moved:
            wallet.unmine(key, movement)
        self._remember(trade, when_ms)
        self._set(trade, "RETRYING", when_ms)
        again_ms = when_ms + max(self._rules.mined_ms, 1)
        if last == "failed":
            self._timetable.at(again_ms, lambda when: self._fail(trade, when))
            return
        self._timetable.at(again_ms, lambda when: self._mine(trade, when))
        confirmed_ms = when_ms + max(self._rules.confirmed_ms, 1)
        self._timetable.at(confirmed_ms, lambda when: self._confirm(trade, when))

    def _mine(self, trade: Trade, when_ms: int) -> None:
        if not all(self.wallets[leg.address].can_pay(key) for key, leg, _order in _own(trade)):
            self._fail(trade, when_ms)  # the transaction reverts: what it would move has left
            return
        trade.transaction_hash = self._chain.transaction_hash()
        self._for_wallets(trade, Wallet.mine)
        self._remember(trade, when_ms)
        self._set(trade, "MINED", when_ms)

    def _fail(self, trade: Trade, when_ms: int) -> None:
        self._for_wallets(trade, Wallet.fail)
        self._set(trade, "FAILED", when_ms)

    def _confirm(self, trade: Trade, when_ms: int) -> None:
        if trade.status == "MINED":
            self._set(trade, "CONFIRMED", when_ms)

    def _fail_locked(self, trade: Trade, when_ms: int) -> None:
        self._for_wallets(trade, Wallet.lock)
        self._fail(trade, when_ms)

    def _for_wallets(self, trade: Trade, move: Callable[[Wallet, str], object]) -> None:
        for key, leg, _order in _own(trade):
            move(self.wallets[leg.address], key)

    def _remember(self, trade: Trade, when_ms: int) -> None:
        for leg in trade.own_legs():
            self.wallets[leg.address].remember(when_ms)

    def _set(self, trade: Trade, status: TradeStatus, when_ms: int) -> None:
        trade.status, trade.updated_ms = status, when_ms
        self._sink.trade_changed(trade)

    def _recorded_leg(self, opposite_up_side: Side, up_price: int, shares: int, tick: int) -> Leg:
        """Return a stranger's leg against a side in UP terms; every other price level trades the other token.

        A BUY UP meets a SELL UP, or a BUY DOWN (the two are minted from one dollar); a SELL UP a BUY UP, or a
        SELL DOWN (merged). Both occur in real books, so both occur here.
        """
        mirrored = up_price // tick % 2 == 1
        side: Side = opposite_up_side if mirrored else ("SELL" if opposite_up_side == "BUY" else "BUY")
        price = MICRO - up_price if mirrored else up_price
        return Leg(
            order=None,
            order_id=self._chain.transaction_hash(),
            owner="",
            address=_RECORDED_MAKER,
            is_up=not mirrored,
            side=side,
            price=price,
            cash=cash_of(price, shares),
            fee=0,
        )


def _leg(order: Order, price: int, shares: int, *, fee: int) -> Leg:
    return Leg(
        order=order,
        order_id=order.order_id,
        owner=order.owner,
        address=order.maker,
        is_up=order.is_up,
        side=order.side,
        price=price,
        cash=cash_of(price, shares),
        fee=fee,
    )


def _own(trade: Trade) -> Iterator[tuple[str, Leg, Order]]:
    """Yield the legs of simulated users, each with its name in its wallet and its order."""
    for role, leg in (("taker", trade.taker), ("maker", trade.maker)):
        if leg.order is not None:
            yield f"{trade.trade_id}:{role}", leg, leg.order


def _movement(trade: Trade, leg: Leg) -> Movement:
    moved = trade.shares if leg.side == "BUY" else -trade.shares
    return Movement(leg.net_cash, trade.market.token(is_up=leg.is_up), moved)
