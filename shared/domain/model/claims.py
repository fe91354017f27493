"""Claims: an intention is taken whole, or refused by the first rule that says no, and nothing moved (D15, D18)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

from shared.domain.breaker import BLINDING, BreakerState, KillSwitch
from shared.domain.controls import allows
from shared.domain.ledger import Bucket
from shared.domain.model.book import (
    ModelBook,
    ModelOrder,
    ModelPosition,
    ModelRedemption,
    balances,
    effect,
    exposure,
    is_active,
    is_entered,
    open_count,
    realized,
    slots_used,
    value_at_payout,
)
from shared.domain.model.steps import move_order, move_position
from shared.domain.modes import RANK
from shared.domain.money import ZERO
from shared.domain.orders import POSSIBLY_LIVE, OrderEvent, OrderState, Purpose
from shared.domain.positions import TRIGGERED, ExitReason, PositionEvent, PositionState
from shared.domain.redemptions import RedemptionState
from shared.domain.refusals import Refusal
from shared.domain.signals import SignalState
from shared.domain.trades import SETTLED_ON_CHAIN, FillState
from shared.domain.windows import WindowState

SLOTS = 2
CEILING_USDC = Decimal(1000)
CEILING_COUNT = 50
UNFINISHED = frozenset({RedemptionState.CLAIMED, RedemptionState.SUBMITTED, RedemptionState.UNKNOWN})
_R = Refusal


@dataclass(frozen=True, slots=True)
class EntryOrder:
    """An entry as the claim is asked for it."""

    order_id: str
    position_id: str
    limit_price: Decimal
    maker_amount: Decimal
    """Dollars."""
    taker_amount: Decimal
    """Shares."""
    reserved_usdc: Decimal
    cap_usdc: Decimal


def claim_entry(
    book: ModelBook, signal_id: str, order: EntryOrder, *, bar: str | None = None
) -> tuple[ModelBook, str | None]:
    """Return the Book with the entry in it, or with the refusal on its signal, and the refusal's name.

    ``bar`` is why this session may claim nothing at all: then even the signal stays as it is.
    """
    if bar is not None:
        return book, bar
    refusal = next(_broken(book, signal_id, order), None)
    signal = book.signals[signal_id]
    if refusal is not None:
        if signal.state is not SignalState.NEW:
            return book, refusal
        if refusal is _R.SIGNAL_EXPIRED:
            return book.with_signal(signal_id, replace(signal, state=SignalState.EXPIRED)), refusal
        refused = replace(signal, state=SignalState.REFUSED, refusal=refusal)
        return book.with_signal(signal_id, refused), refusal
    book = book.with_signal(signal_id, replace(signal, state=SignalState.ORDERED))
    position = ModelPosition(signal.window_id, signal.strategy_id, signal_id, signal.side)
    entry = ModelOrder(order.position_id, Purpose.ENTRY, reserved_usdc=order.reserved_usdc)
    return book.with_position(order.position_id, position).with_order(order.order_id, entry), None


def _broken(book: ModelBook, signal_id: str, order: EntryOrder) -> Iterator[Refusal]:
    """Yield the broken rules in the claim's order."""
    yield from _broken_gate(book)
    if is_stopped(book, book.signals[signal_id].strategy_id):
        yield _R.STRATEGY_STOPPED
    yield from _broken_window(book, signal_id, order)
    if order.reserved_usdc < order.maker_amount:
        yield _R.INSUFFICIENT_CAPITAL
    signal = book.signals[signal_id]
    if is_entered(book, signal.window_id, signal.strategy_id):
        yield _R.ALREADY_ENTERED
    if slots_used(book, signal.window_id) >= SLOTS:
        yield _R.ORDER_CAP
    if any(
        position.window_id == signal.window_id and is_active(book, name)
        for name, position in book.positions.items()
    ):
        yield _R.POSITION_EXISTS
    yield from _broken_limits(book, signal_id, order)
    if balances(book)[Bucket.CASH] < order.reserved_usdc:
        yield _R.INSUFFICIENT_CAPITAL


def _broken_gate(book: ModelBook) -> Iterator[Refusal]:
    """Yield what a person or the machine has stopped."""
    if book.gate.breaker is BreakerState.OPEN:
        yield _R.BREAKER_OPEN
    if book.kill_switch is not KillSwitch.OFF:
        yield _R.KILL_SWITCH
    if book.gate.halted:
        yield _R.HALTED
    if RANK[book.mode] > RANK[book.in_force.trading_mode]:
        yield _R.MODE_NOT_ALLOWED


def is_stopped(book: ModelBook, strategy_id: str) -> bool:
    """Return whether a strategy has lost the limit now in force: a higher one, set since, lets it go on (R8)."""
    limit = book.in_force.max_strategy_loss_usdc
    return any(name == strategy_id and lost >= limit for name, lost in book.stopped)


def _broken_window(book: ModelBook, signal_id: str, order: EntryOrder) -> Iterator[Refusal]:
    """Yield what is out of time, not allowed, or in doubt."""
    signal = book.signals[signal_id]
    window = book.windows[signal.window_id]
    if signal.state is not SignalState.NEW:
        yield _R.SIGNAL_NOT_NEW
    if signal.expired:
        yield _R.SIGNAL_EXPIRED
    if not window.begun:
        yield _R.FUTURE_WINDOW
    if window.state is not WindowState.OPEN:
        yield _R.WINDOW_NOT_OPEN
    if window.over:
        yield _R.WINDOW_CLOSING
    if not allows(book.in_force.allowed_instruments, window.instrument):
        yield _R.INSTRUMENT_NOT_ALLOWED
    if not allows(book.in_force.allowed_strategies, signal.strategy_id):
        yield _R.STRATEGY_NOT_ALLOWED
    if is_in_doubt(book, signal.window_id):
        yield _R.WINDOW_BLOCKED
    rounding = Decimal("0.0001")
    if order.limit_price > signal.price + signal.max_slippage or order.maker_amount > order.limit_price * (
        order.taker_amount + rounding
    ):
        yield _R.PRICE_MOVED


def _broken_limits(book: ModelBook, signal_id: str, order: EntryOrder) -> Iterator[Refusal]:
    """Yield the limits this order would break."""
    signal, controls = book.signals[signal_id], book.in_force
    cap = min(controls.max_position_usdc, signal.max_position_usdc, order.cap_usdc)
    if order.reserved_usdc > cap:
        yield _R.POSITION_CAP
    if -realized(book) >= controls.max_session_loss_usdc:
        yield _R.SESSION_LOSS
    if open_count(book) >= min(controls.max_open_positions, CEILING_COUNT):
        yield _R.MAX_OPEN_POSITIONS
    after = exposure(book) + order.reserved_usdc
    if after > min(controls.max_exposure_usdc, CEILING_USDC):
        yield _R.MAX_EXPOSURE
    if after > controls.max_session_loss_usdc:
        yield _R.SESSION_DEPLOYED
    instrument = book.windows[signal.window_id].instrument
    if exposure(book, instrument) + order.reserved_usdc > min(controls.max_instrument_usdc, CEILING_USDC):
        yield _R.MAX_INSTRUMENT


def is_in_doubt(book: ModelBook, window_id: str) -> bool:
    """Return whether an order of the window is Unknown (E5)."""
    return any(
        order.state is OrderState.UNKNOWN and book.positions[order.position_id].window_id == window_id
        for order in book.orders.values()
    )


def sellable(book: ModelBook, position_id: str) -> Decimal:
    """Return mined shares less what was sold or may be selling (E19)."""
    mine = {name: order for name, order in book.orders.items() if order.position_id == position_id}
    mined = sum(
        (
            fill.shares
            for (name, _, _), fill in book.fills.items()
            if name in mine and mine[name].purpose is Purpose.ENTRY and fill.state in SETTLED_ON_CHAIN
        ),
        ZERO,
    )
    for name, order in mine.items():
        if order.purpose is Purpose.EXIT:
            sold = effect(book, name).shares
            mined -= max(order.shares, sold) if order.state in POSSIBLY_LIVE else sold
    return mined


def claim_exit(
    book: ModelBook, position_id: str, order_id: str, shares: Decimal, *, bar: str | None = None
) -> tuple[ModelBook, str | None]:
    """Return the Book with the exit order in it, or why not: one exit at a time, of shares that are ours on chain."""
    refusal = bar or _broken_exit(book, position_id, shares)
    if refusal is not None:
        return book, refusal
    book = book.with_order(order_id, ModelOrder(position_id, Purpose.EXIT, shares=shares))
    return move_position(book, position_id, PositionEvent.EXIT_CLAIMED), None


def _broken_exit(book: ModelBook, position_id: str, shares: Decimal) -> str | None:
    """Return the first rule that keeps an exit back (D20)."""
    position = book.positions[position_id]
    forced = position.exit_reason in {ExitReason.FLATTEN, ExitReason.EMERGENCY} and book.kill_switch in {
        KillSwitch.FLATTEN,
        KillSwitch.EMERGENCY,
    }
    blind = book.gate.reason in BLINDING or is_in_doubt(book, position.window_id) or not book.verified
    selling = any(
        order.position_id == position_id and order.purpose is Purpose.EXIT and order.state in POSSIBLY_LIVE
        for order in book.orders.values()
    )
    rules = (
        (position.state not in TRIGGERED, "POSITION_NOT_TRIGGERED"),
        (book.windows[position.window_id].over, "WINDOW_CLOSING"),
        (selling, "EXIT_IN_FLIGHT"),
        (book.gate.breaker is BreakerState.OPEN and not forced and blind, "BREAKER_OPEN"),
        (sellable(book, position_id) < shares, "NOT_SELLABLE"),
    )
    return next((name for broken, name in rules if broken), None)


def claim_cancel(book: ModelBook, order_id: str, *, bar: str | None = None) -> tuple[ModelBook, str | None]:
    """Return the Book with the cancel written before it is sent, or why not (E16)."""
    if bar == "NOT_LEADER":
        return book, bar
    moved = move_order(book, order_id, OrderEvent.CANCEL_SENT)
    return (book, "NOT_CANCELLABLE") if moved is None else (moved, None)


def claim_redeem(
    book: ModelBook, window_id: str, redemption_id: str, *, bar: str | None = None
) -> tuple[ModelBook, str | None]:
    """Return the Book with a redemption of the window's tokens in it, or why not: one at a time, of mined tokens."""
    if bar is not None:
        return book, bar
    there = {name for name, position in book.positions.items() if position.window_id == window_id}
    due = sorted(name for name in there if book.positions[name].state is PositionState.SETTLEMENT)
    if not due:
        return book, "NOTHING_TO_REDEEM"
    unmined = any(
        fill.state in {FillState.MATCHED, FillState.RETRYING}
        for (order_id, _, _), fill in book.fills.items()
        if book.orders[order_id].position_id in there
    )
    if unmined:
        return book, "NOT_MINED"
    busy = any(each.window_id == window_id and each.state in UNFINISHED for each in book.redemptions.values())
    if busy or redemption_id in book.redemptions:
        return book, "REDEMPTION_IN_FLIGHT"
    expected = sum((value_at_payout(book, name) for name in due), ZERO)
    book = book.with_redemption(redemption_id, ModelRedemption(window_id, expected))
    for name in due:
        book = move_position(book, name, PositionEvent.REDEEM_CLAIMED)
    return book, None
