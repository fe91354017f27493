"""PURE: what the venue sends → our values; orders, trades, balances and everything they share.

An unknown value of an enumeration is refused by name, an unknown field ignored, a number that is none is Malformed.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import ValidationError

from shared.domain.books import Book, Level
from shared.domain.fees import taker_fee
from shared.domain.ids import ConditionId, OrderId, TokenId, TradeId
from shared.domain.money import MICRO, ONE, ZERO, down, from_micro
from shared.domain.orders import OrderSide, OrderType
from shared.domain.trades import FillState, VenueTrade
from shared.domain.windows import FeeSchedule
from shared.venue.accounts import Activity, HeldPosition, OrderReading, OrderStatus
from shared.venue.refusals import Malformed, UnknownStatus
from shared.venue.wire import (
    Wire,
    WireActivity,
    WireBalance,
    WireBook,
    WireMakerOrder,
    WireOrder,
    WirePosition,
    WireTrade,
)

WireT = TypeVar("WireT", bound=Wire)
FeeOf = Callable[[TokenId], FeeSchedule | None]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORD_CHARACTERS = 40
_NUMBER = re.compile(r"[0-9]{1,18}")
_MILLIS_FROM = 100_000_000_000
"""A time above this cannot be seconds: it would lie in the year 5138."""
_STATUS_WORDS: Mapping[str, OrderStatus] = MappingProxyType({status.value: status for status in OrderStatus})
_FILL_STATES: Mapping[str, FillState] = MappingProxyType(
    {**{state.value: state for state in FillState}, "MATCHED_NOT_BROADCASTED": FillState.MATCHED}
)


def read(model: type[WireT], data: object) -> WireT:
    """Return ``data`` as a wire model.

    Raises:
        Malformed: naming the first field that is wrong, never the whole payload.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Malformed(f"{model.__name__}: {where}: {first['msg']}", field=where) from None


def read_json(model: type[WireT], text: str | bytes) -> WireT:
    """Return JSON text as a wire model; raises Malformed."""
    return read(model, parse_json(text))


def parse_json(text: str | bytes) -> Any:
    """Return parsed JSON, fractions as Decimal; raises Malformed."""
    try:
        return json.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError):  # ArithmeticError: a number beyond even Decimal
        raise Malformed("not JSON") from None


def word_of(value: object) -> str:
    """Return what a frame says in a place where a word is expected, short enough to be shown."""
    return (
        value[:_WORD_CHARACTERS] if isinstance(value, str) else f"{value}" if isinstance(value, int) else "?"
    )


def at_millis(value: int) -> datetime:
    """Return a moment given in milliseconds since the epoch, to the millisecond.

    Raises:
        Malformed: beyond what a calendar holds.
    """
    try:
        return _EPOCH + timedelta(milliseconds=value)
    except OverflowError:
        raise Malformed(f"not a time: {value}") from None


def at_moment(value: str | int | datetime | None) -> datetime | None:
    """Return a moment the venue gives as seconds, milliseconds or ISO text, whichever it is today; None for none.

    Raises:
        Malformed: neither.
    """
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return value
    if isinstance(value, int) or _NUMBER.fullmatch(value):
        number = int(value)
        return at_millis(number if number > _MILLIS_FROM else number * 1000)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise Malformed(f"not a time: {value!r}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def levels(side: Sequence[tuple[Decimal, Decimal]], *, best_is_highest: bool) -> tuple[Level, ...]:
    """Return price levels best first, empty ones left out.

    Raises:
        Malformed: a price outside (0, 1) or a negative size.
    """
    for price, size in side:
        if not ZERO < price < ONE or size < 0:
            raise Malformed(f"not a level: {size} at {price}")
    found = [Level(price, size) for price, size in side if size > 0]
    return tuple(sorted(found, key=lambda level: level.price, reverse=best_is_highest))


def parse_book(data: object, received_at: datetime) -> Book:
    """Return a REST book; the venue lists the best level last, we sort anyway."""
    wire = read(WireBook, data)
    return Book(
        token_id=TokenId(wire.asset_id),
        bids=levels([(level.price, level.size) for level in wire.bids], best_is_highest=True),
        asks=levels([(level.price, level.size) for level in wire.asks], best_is_highest=False),
        source_at=at_millis(wire.timestamp),
        received_at=received_at,
    )


def parse_order_status(text: str) -> OrderStatus:
    """Return an order's status; ``CANCELED_<reason>`` and ``UNMATCHED_<reason>`` are open-ended, the rest is not.

    Raises:
        UnknownStatus: a word that is not on our list.
    """
    word = text.upper().removeprefix("ORDER_STATUS_")
    if word in _STATUS_WORDS:
        return _STATUS_WORDS[word]
    if word == "CANCELED_EXPIRED_ORDER":
        return OrderStatus.EXPIRED
    for prefix in (OrderStatus.CANCELED, OrderStatus.UNMATCHED):
        if word.startswith(f"{prefix}_"):
            return prefix
    raise UnknownStatus(f"order status {text!r} is not known", status=text)


def parse_order(data: object) -> OrderReading:
    """Return an order as ``/data/order`` or ``/data/orders`` shows it."""
    wire = read(WireOrder, data)
    return OrderReading(
        order_id=OrderId(wire.id),
        status=parse_order_status(wire.status),
        status_text=wire.status,
        condition_id=ConditionId(wire.market),
        token_id=TokenId(wire.asset_id),
        side=OrderSide(wire.side),
        price=wire.price,
        shares=wire.original_size,
        matched_shares=wire.size_matched or ZERO,
        trade_ids=tuple(TradeId(trade) for trade in wire.associate_trades or ()),
        created_at=at_moment(wire.created_at),
        order_type=OrderType(wire.order_type) if wire.order_type in set(OrderType) else None,
    )


def parse_fill_state(text: str) -> FillState:
    """Return a trade's state: REST prefixes it, the stream does not.

    Raises:
        UnknownStatus: a word that is not on our list.
    """
    state = _FILL_STATES.get(text.upper().removeprefix("TRADE_STATUS_"))
    if state is None:
        raise UnknownStatus(f"trade status {text!r} is not known", status=text)
    return state


def parse_trade(data: object, *, api_key: str, fee_of: FeeOf) -> tuple[VenueTrade, ...]:
    """Return our side of a trade: as taker the whole of it, as maker each order of ours in it.

    The top-level fields describe the taker. ``fee_of`` gives the market's schedule; None makes the fee 0.
    """
    wire = read(WireTrade, data)
    state = parse_fill_state(wire.status)
    matched_at = at_moment(wire.match_time or wire.matchtime) or (
        at_millis(wire.timestamp) if wire.timestamp is not None else None
    )
    if matched_at is None:
        raise Malformed(f"trade {wire.id} has no time")
    ours: list[VenueTrade] = []
    if wire.trader_side == "TAKER" or (wire.trader_side is None and wire.owner == api_key):
        ours.append(_taker_side(wire, state, matched_at, fee_of(TokenId(wire.asset_id))))
    ours += [
        _maker_side(wire, maker, state, matched_at) for maker in wire.maker_orders if maker.owner == api_key
    ]
    return tuple(ours)


def _taker_side(
    wire: WireTrade, state: FillState, matched_at: datetime, schedule: FeeSchedule | None
) -> VenueTrade:
    parts = _taker_parts(wire)
    # The exchange floors the cash of each match to a millionth (seen in every captured fill).
    usdc = sum((down(shares * price) for shares, price in parts), ZERO)
    fees = [taker_fee(shares, price, schedule) for shares, price in parts] if schedule else []
    return VenueTrade(
        order_id=OrderId(wire.taker_order_id),
        trade_id=TradeId(wire.id),
        token_id=TokenId(wire.asset_id),
        side=OrderSide(wire.side),
        shares=_positive(wire.size, "size"),
        price=wire.price if len(parts) == 1 else (usdc / wire.size).quantize(MICRO),
        usdc=usdc,
        fee_usdc=sum(fees, ZERO),
        state=state,
        matched_at=matched_at,
        is_taker=True,
        transaction_hash=wire.transaction_hash or "",
    )


def _taker_parts(wire: WireTrade) -> list[tuple[Decimal, Decimal]]:
    """Return (shares, price) as the taker got them, maker by maker where the makers' parts add up to the trade.

    A maker of the other token (minting or merging) trades at one minus our price.
    """
    makers = wire.maker_orders
    if len({maker.price for maker in makers}) < 2 or sum(m.matched_amount for m in makers) != wire.size:  # noqa: PLR2004
        return [(_positive(wire.size, "size"), _price(wire.price))]
    return [
        (maker.matched_amount, _price(maker.price if maker.asset_id == wire.asset_id else ONE - maker.price))
        for maker in makers
    ]


def _maker_side(wire: WireTrade, maker: WireMakerOrder, state: FillState, matched_at: datetime) -> VenueTrade:
    opposite = OrderSide.SELL if wire.side == "BUY" else OrderSide.BUY
    same_token = maker.asset_id == wire.asset_id
    side = OrderSide(maker.side) if maker.side else (opposite if same_token else OrderSide(wire.side))
    shares, price = _positive(maker.matched_amount, "matched_amount"), _price(maker.price)
    return VenueTrade(
        order_id=OrderId(maker.order_id),
        trade_id=TradeId(wire.id),
        token_id=TokenId(maker.asset_id),
        side=side,
        shares=shares,
        price=price,
        usdc=down(shares * price),
        fee_usdc=ZERO,  # makers pay nothing
        state=state,
        matched_at=matched_at,
        is_taker=False,
        transaction_hash=wire.transaction_hash or "",
    )


def parse_balance(data: object) -> Decimal:
    """Return a balance in whole units; the venue gives millionths as text."""
    return from_micro(read(WireBalance, data).balance)


def parse_position(data: object) -> HeldPosition:
    """Return a row of the Data API's positions."""
    wire = read(WirePosition, data)
    return HeldPosition(
        condition_id=ConditionId(wire.condition_id),
        token_id=TokenId(wire.token_id),
        shares=wire.current_size,
        status=wire.status,
        redeemable=wire.redeemable,
    )


def parse_activity(data: object) -> Activity:
    """Return a row of the Data API's activity."""
    wire = read(WireActivity, data)
    return Activity(
        kind=wire.type,
        at=at_millis(wire.timestamp * 1000),
        usdc=wire.usdc_size or ZERO,
        shares=wire.size or ZERO,
        condition_id=ConditionId(wire.condition_id) if wire.condition_id else None,
        transaction_hash=wire.transaction_hash or "",
    )


def _positive(value: Decimal, name: str) -> Decimal:
    if value <= 0:
        raise Malformed(f"{name} of a trade is {value}")
    return value


def _price(value: Decimal) -> Decimal:
    if not ZERO < value < ONE:
        raise Malformed(f"price of a trade is {value}")
    return value


def json_list(data: object, key: str) -> Sequence[Any]:
    """Return the list under ``key`` of an object; Malformed when there is none."""
    found = data.get(key) if isinstance(data, Mapping) else None
    if not isinstance(found, list):
        raise Malformed(f"the answer has no list {key!r}")
    return found
