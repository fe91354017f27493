"""The Book of one account in one mode, as facts, and everything that follows from them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType

from shared.domain.breaker import BreakerState, KillSwitch, TripReason
from shared.domain.controls import Controls, parse_controls
from shared.domain.escalation import Stage
from shared.domain.ledger import Bucket, Buckets, OrderEffect, targets
from shared.domain.modes import Mode
from shared.domain.money import ZERO, down
from shared.domain.orders import POSSIBLY_LIVE, OrderState, Purpose
from shared.domain.positions import INACTIVE, ExitReason, PositionState
from shared.domain.redemptions import RedemptionState
from shared.domain.settlement import Payouts
from shared.domain.signals import SignalState
from shared.domain.trades import FillState
from shared.domain.windows import Side, WindowState

FillKey = tuple[str, str, str]
"""Order, venue trade, token."""
SETTLED = frozenset({PositionState.SETTLEMENT, PositionState.REDEEMING, PositionState.CLOSED})


class Refused(Exception):
    """The function raises: the call was no lawful fact or command. ``code`` is the SQLSTATE."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class ModelWindow:
    """One market; time is a fact given from outside."""

    instrument: str
    begun: bool = True
    over: bool = False
    state: WindowState = WindowState.OPEN
    payouts: Payouts | None = None


@dataclass(frozen=True, slots=True)
class ModelSignal:
    """One wish."""

    window_id: str
    strategy_id: str
    side: Side
    price: Decimal
    max_slippage: Decimal
    max_position_usdc: Decimal
    expired: bool = False
    state: SignalState = SignalState.NEW
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What the answer to the POST claimed (E8)."""

    shares: Decimal
    usdc: Decimal
    fee_usdc: Decimal
    trade_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelOrder:
    """One order. ``shares`` is what an exit offers, ``reserved_usdc`` what an entry sets aside."""

    position_id: str
    purpose: Purpose
    reserved_usdc: Decimal = ZERO
    shares: Decimal = ZERO
    state: OrderState = OrderState.SUBMITTING
    report: Report | None = None


@dataclass(frozen=True, slots=True)
class ModelFill:
    """One venue trade of one order."""

    shares: Decimal
    usdc: Decimal
    fee_usdc: Decimal
    state: FillState


@dataclass(frozen=True, slots=True)
class ModelPosition:
    """One position; what it holds follows from its orders."""

    window_id: str
    strategy_id: str
    signal_id: str
    side: Side
    state: PositionState = PositionState.OPENING
    exit_reason: ExitReason | None = None
    payout: Decimal | None = None
    paid_usdc: Decimal | None = None
    """Cash that was proved, of all redemptions; None before the first."""
    orphaned_for: timedelta | None = None
    """How long the venue has shown less of its token than the Book holds; None where it shows enough."""
    paid_shares: Decimal = ZERO
    """Shares whose payout is decided and over: paid, or worth nothing."""


@dataclass(frozen=True, slots=True)
class ModelRedemption:
    """One attempt to turn a window's tokens into cash."""

    window_id: str
    expected_usdc: Decimal
    state: RedemptionState = RedemptionState.CLAIMED


@dataclass(frozen=True, slots=True)
class Gate:
    """What stops entries."""

    breaker: BreakerState = BreakerState.CLOSED
    reason: TripReason | None = None
    ever: frozenset[TripReason] = frozenset()
    """Every reason that is in the history."""
    halted: bool = False
    open_for: timedelta = timedelta()
    """How long the breaker has been open."""
    escalated: frozenset[Stage] = frozenset()
    """What this trip has already led to (R2)."""


@dataclass(frozen=True, slots=True)
class ModelBook:
    """All facts of one account and mode."""

    mode: Mode
    gate: Gate = field(default_factory=Gate)
    controls: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    windows: Mapping[str, ModelWindow] = field(default_factory=lambda: MappingProxyType({}))
    signals: Mapping[str, ModelSignal] = field(default_factory=lambda: MappingProxyType({}))
    orders: Mapping[str, ModelOrder] = field(default_factory=lambda: MappingProxyType({}))
    fills: Mapping[FillKey, ModelFill] = field(default_factory=lambda: MappingProxyType({}))
    positions: Mapping[str, ModelPosition] = field(default_factory=lambda: MappingProxyType({}))
    redemptions: Mapping[str, ModelRedemption] = field(default_factory=lambda: MappingProxyType({}))
    externals: Mapping[str, tuple[str, Decimal]] = field(default_factory=lambda: MappingProxyType({}))
    stopped: frozenset[tuple[str, Decimal]] = frozenset()
    """Strategies that lost their limit in this session or day, each with the limit it lost (R8)."""
    verified: bool = False
    """The verifier has confirmed the positions within 10 s (D20)."""
    unwanted: frozenset[str] = frozenset()
    """Orders somebody asked to cancel."""

    @property
    def in_force(self) -> Controls:
        """The controls as they are now."""
        return parse_controls(self.controls)

    @property
    def kill_switch(self) -> KillSwitch:
        return self.in_force.kill_switch

    def with_order(self, order_id: str, order: ModelOrder) -> "ModelBook":
        return replace(self, orders={**self.orders, order_id: order})

    def with_position(self, position_id: str, position: ModelPosition) -> "ModelBook":
        return replace(self, positions={**self.positions, position_id: position})

    def with_signal(self, signal_id: str, signal: ModelSignal) -> "ModelBook":
        return replace(self, signals={**self.signals, signal_id: signal})

    def with_redemption(self, redemption_id: str, redemption: ModelRedemption) -> "ModelBook":
        return replace(self, redemptions={**self.redemptions, redemption_id: redemption})


def trades_of(book: ModelBook, order_id: str) -> dict[str, ModelFill]:
    """Return an order's trades by the venue's id."""
    return {trade: fill for (order, trade, _), fill in book.fills.items() if order == order_id}


def is_explained(book: ModelBook, order_id: str) -> bool:
    """Return whether the trades account for what the answer claimed: all it named, or as many shares (E8)."""
    report, trades = book.orders[order_id].report, trades_of(book, order_id)
    if report is None:
        return bool(trades)
    if report.trade_ids:
        return set(report.trade_ids) <= trades.keys()
    return sum((fill.shares for fill in trades.values()), ZERO) >= report.shares


def effect(book: ModelBook, order_id: str) -> OrderEffect:
    """Return what an order has moved: trades where they explain it, what the answer claimed where they do not yet.

    A match that failed on chain never happened, whichever of the two it was known by.
    """
    order, trades = book.orders[order_id], trades_of(book, order_id).values()
    held = [fill for fill in trades if fill.state is not FillState.FAILED]
    failed = [fill for fill in trades if fill.state is FillState.FAILED]
    shares = sum((fill.shares for fill in held), ZERO)
    usdc = sum((fill.usdc for fill in held), ZERO)
    fee = sum((fill.fee_usdc for fill in held), ZERO)
    if order.report is not None and not is_explained(book, order_id):
        claimed = order.report.shares - sum((fill.shares for fill in failed), ZERO)
        if claimed > shares:
            shares = claimed
            usdc = max(order.report.usdc - sum((fill.usdc for fill in failed), ZERO), usdc)
            fee = max(order.report.fee_usdc - sum((fill.fee_usdc for fill in failed), ZERO), fee)
    live = order.state in POSSIBLY_LIVE
    return OrderEffect(order.purpose is Purpose.ENTRY, live, order.reserved_usdc, shares, usdc, fee)


def effects(book: ModelBook, position_id: str) -> tuple[OrderEffect, ...]:
    """Return what each order of a position has moved."""
    return tuple(
        effect(book, name) for name, order in book.orders.items() if order.position_id == position_id
    )


def shares_held(book: ModelBook, position_id: str) -> Decimal:
    """Return bought less sold."""
    return sum((each.shares if each.is_buy else -each.shares for each in effects(book, position_id)), ZERO)


def shares_bought(book: ModelBook, position_id: str) -> Decimal:
    """Return all shares bought."""
    return sum((each.shares for each in effects(book, position_id) if each.is_buy), ZERO)


def booking(book: ModelBook, position_id: str) -> Buckets:
    """Return what the ledger must carry for a position."""
    position = book.positions[position_id]
    return targets(
        effects(book, position_id),
        payout=position.payout if position.state in SETTLED else None,
        paid_usdc=position.paid_usdc or ZERO,
        paid_shares=position.paid_shares,
    )


def shares_owed(book: ModelBook, position_id: str) -> Decimal:
    """Return shares held that no payout has paid yet."""
    return max(shares_held(book, position_id) - book.positions[position_id].paid_shares, ZERO)


def value_at_payout(book: ModelBook, position_id: str) -> Decimal:
    """Return what a settled position is owed, floored as the venue pays."""
    payout = book.positions[position_id].payout
    return ZERO if payout is None else down(shares_owed(book, position_id) * payout)


def paid(book: ModelBook, position_id: str, usdc: Decimal) -> "ModelBook":
    """Return the Book with cash proved for all that a position was owed."""
    position = book.positions[position_id]
    done = replace(
        position,
        paid_usdc=(position.paid_usdc or ZERO) + usdc,
        paid_shares=position.paid_shares + shares_owed(book, position_id),
    )
    return book.with_position(position_id, done)


def balances(book: ModelBook) -> dict[Bucket, Decimal]:
    """Return every bucket of the account: its positions' bookings and what came and went outside trading."""
    total = dict.fromkeys(Bucket, ZERO)
    for position_id in book.positions:
        for bucket, amount in booking(book, position_id).by_bucket().items():
            total[bucket] += amount
    for kind, amount in book.externals.values():
        total[Bucket.CASH] += amount
        total[Bucket.FEES if kind == "FEE_ROUNDING" else Bucket.EXTERNAL] -= amount
    return total


def is_active(book: ModelBook, position_id: str) -> bool:
    """Return whether a position counts as open."""
    return book.positions[position_id].state not in INACTIVE


def open_count(book: ModelBook) -> int:
    """Return how many positions are open."""
    return sum(is_active(book, position_id) for position_id in book.positions)


def exposure(book: ModelBook, instrument: str | None = None) -> Decimal:
    """Return cost of what is held and reserved, in all or in one instrument."""
    return sum(
        (
            booking(book, name).reserved + booking(book, name).positions
            for name, position in book.positions.items()
            if instrument in {None, book.windows[position.window_id].instrument}
        ),
        ZERO,
    )


def realized(book: ModelBook) -> Decimal:
    """Return the session's realised profit after fees."""
    return -sum((booking(book, name).pnl + booking(book, name).fees for name in book.positions), ZERO)


def is_entered(book: ModelBook, window_id: str, strategy_id: str) -> bool:
    """Return whether a strategy has used its one entry of a window: until it is proved that nothing was bought (B9)."""
    return any(
        position.window_id == window_id
        and position.strategy_id == strategy_id
        and position.state is not PositionState.VOID
        for position in book.positions.values()
    )


def slots_used(book: ModelBook, window_id: str) -> int:
    """Return the entry orders a window has seen, adopted ones too; refusals are not refunded (B10)."""
    return sum(position.window_id == window_id for position in book.positions.values())
