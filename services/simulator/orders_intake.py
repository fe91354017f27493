"""Reading a posted order and refusing it, in the venue's order of checks. PURE.

The order of the checks is documented nowhere; this one is what the error answers seen in the wild allow: payload,
owner and signer, signature and domain, duplicate, market, expiration, tick, size, amount, balance, post-only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, cast, get_args

from eth_utils.address import to_checksum_address

from services.simulator.accounts import COLLATERAL, Wallet
from services.simulator.matching import MICRO, FeeRounding, Taker, taker_fee
from services.simulator.orders import IMMEDIATE, Answer, Market, Order, OrderType
from services.simulator.refusal_texts import BANNED, CLOSED_ONLY, DUPLICATED, NOT_READY, POST_ONLY_CROSSES
from services.simulator.signatures import (
    DOMAIN_NEG_RISK,
    DOMAIN_STANDARD,
    DOMAIN_V3,
    SignedFields,
    domain_for,
    is_address,
    order_id,
    order_signer,
)

MIN_MARKETABLE: Final = MICRO
LOT: Final = 10_000
"""Sizes have two decimals."""
AMOUNT_DECIMALS: Final[Mapping[int, int]] = {
    100_000: 3,
    10_000: 4,
    5_000: 5,
    2_500: 6,
    1_000: 5,
    100: 6,
}
"""Decimals of the computed amount by tick in micro-dollars; sizes always have two."""

_UINT256: Final = 1 << 256
_EXISTING_ONLY: Final = (0, 1, 2)
_DEPOSIT_WALLET: Final = 3


class Refused(Exception):
    """The venue says no with an HTTP status and a text; nothing was placed."""

    def __init__(self, http: int, text: str) -> None:
        super().__init__(text)
        self.http, self.text = http, text

    def answer(self) -> Answer:
        """Return the HTTP answer."""
        return Answer(self.http, {"error": self.text})


@dataclass(frozen=True, slots=True)
class Posted:
    """A well-formed posted order, before anything was checked."""

    fields: SignedFields
    signature: str
    order_type: OrderType
    owner: str
    post_only: bool
    expires_s: int


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent the request, by the L2 headers."""

    address: str
    api_key: str


@dataclass(frozen=True, slots=True)
class Rules:
    """The venue's settings that intake and matching need."""

    fee_rounding: FeeRounding = "half_even"
    short_micro: int = 1
    taker_hold_ms: int = 150
    mined_ms: int = 2_000
    confirmed_ms: int = 4_000
    balance_lag_ms: int = 5_000
    heartbeat_limit_ms: int = 10_000
    gtd_ahead_s: int = 180
    """A GTD order's expiration must lie at least three minutes ahead (guide and SDK)."""
    gtd_early_s: int = 60
    """The venue ends a GTD order one minute before the stated second."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the checks look things up in."""

    market_of: Callable[[str], tuple[Market, bool] | None]
    wallet_of: Callable[[str], Wallet | None]
    seen_before: Callable[[str], bool]
    rules: Rules


def parse(payload: object) -> Posted:
    """Return the posted order; raise Refused 400 for a body that is no order."""
    try:
        return _parse(cast("Mapping[str, Any]", payload))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise Refused(400, "Invalid order payload") from error


def take_in(posted: Posted, caller: Caller, desk: Desk, now_ms: int, done: Callable[[Answer], None]) -> Order:
    """Return the order, checked but for what only matching can tell; raise Refused with the venue's text."""
    fields = posted.fields
    wallet = _known_wallet(posted, caller, desk)
    _check_restriction(wallet, fields.side)
    found = desk.market_of(str(fields.token_id))
    identity = _check_signature(posted, wallet, found[0] if found else None)
    if desk.seen_before(identity):
        raise Refused(400, DUPLICATED.format(id=identity))
    if found is None:
        raise Refused(400, NOT_READY)
    market, is_up = found
    if not market.accepts(now_ms):
        raise Refused(400, NOT_READY)
    _check_expiration(posted, now_ms, desk.rules)
    order = _order(posted, identity, market, is_up=is_up, now_ms=now_ms, done=done)
    _check_amounts(order, fields)
    _check_balance(order, fields, wallet, desk.rules)
    if order.post_only and market.book.crosses(is_up=is_up, side=order.side, price=order.price):
        raise Refused(400, POST_ONLY_CROSSES)
    return order


def required(order: Order, fields: SignedFields, rules: Rules) -> int:
    """Return what an order needs of the asset it gives, micro-units: a taker BUY its fee on top."""
    if order.side == "SELL":
        return fields.maker_amount
    if order.order_type not in IMMEDIATE and not _crosses(order):
        return fields.maker_amount
    fills, _whole = order.market.book.plan(taker_of(order), short_micro=rules.short_micro)
    spent = sum(fill.cash + fee_of(order, fill.price, fill.shares, rules) for fill in fills)
    return max(spent, fields.maker_amount + fee_of(order, order.price, order.shares, rules))


def fee_of(order: Order, price: int, shares: int, rules: Rules) -> int:
    """Return the taker's fee for one fill of an order, micro-USDC."""
    window = order.market.window
    return taker_fee(
        price, shares, rate=window.fee_rate, exponent=window.fee_exponent, rounding=rules.fee_rounding
    )


def not_enough(balance: int, needed: int) -> str:
    """Return the venue's text for a balance that is too small."""
    return (
        "not enough balance / allowance: the balance is not enough -> "
        f"balance: {balance}, order amount: {needed}"
    )


def taker_of(order: Order) -> Taker:
    """Return what of an order is still to be matched, or the part of it that finds anyone."""
    shares, budget = int(order.left * order.depth_share), int(order.budget * order.depth_share)
    return Taker(
        is_up=order.is_up,
        side=order.side,
        limit=order.price,
        shares=0 if order.budget else shares if order.depth_share == 1 else shares // LOT * LOT,
        budget=budget,
    )


def _parse(payload: Mapping[str, Any]) -> Posted:
    raw = payload["order"]
    side, order_type = raw["side"], payload["orderType"]
    addresses = [raw["maker"], raw["signer"]]
    words = [raw["metadata"], raw["builder"]]
    numbers = [int(raw[key]) for key in ("salt", "tokenId", "makerAmount", "takerAmount", "timestamp")]
    well_formed = (
        side in ("BUY", "SELL")
        and order_type in get_args(OrderType)
        and all(is_address(address) for address in addresses)
        and all(len(bytes.fromhex(word[2:])) == 32 and word.startswith("0x") for word in words)  # noqa: PLR2004
        and all(0 <= number < _UINT256 for number in numbers)
        and isinstance(raw["salt"], int)
        and raw["signatureType"] in (0, 1, 2, 3)
        and min(numbers[2:4]) > 0
        and isinstance(raw["signature"], str)
        and isinstance(payload.get("postOnly", False), bool)
    )
    if not well_formed or (payload.get("postOnly", False) and order_type in IMMEDIATE):
        raise ValueError(payload)
    maker, signer = (to_checksum_address(address) for address in addresses)
    salt, token_id, maker_amount, taker_amount, timestamp = numbers
    fields = SignedFields(
        salt,
        maker,
        signer,
        token_id,
        maker_amount,
        taker_amount,
        side,
        raw["signatureType"],
        timestamp,
        *words,
    )
    return Posted(
        fields,
        raw["signature"],
        order_type,
        str(payload["owner"]),
        payload.get("postOnly", False),
        int(raw.get("expiration", "0")),
    )


def _known_wallet(posted: Posted, caller: Caller, desk: Desk) -> Wallet:
    """Return the wallet that trades; the API key must be the caller's and speak for the signer."""
    fields = posted.fields
    if posted.owner != caller.api_key:
        raise Refused(400, "the order owner has to be the owner of the API KEY")
    wallet = desk.wallet_of(fields.maker)
    kind = fields.signature_type
    if kind in _EXISTING_ONLY and (wallet is None or wallet.signature_type != kind):
        raise Refused(400, "maker address not allowed, please use the deposit wallet flow")
    signer_of_key = wallet.owner if wallet is not None and kind == _DEPOSIT_WALLET else fields.signer
    if wallet is None or wallet.signature_type != kind or signer_of_key != caller.address:
        raise Refused(400, "the order signer address has to be the address of the API KEY")
    if kind == _DEPOSIT_WALLET and fields.signer != fields.maker:
        raise Refused(400, "the order signer address has to be the address of the API KEY")
    return wallet


def _check_signature(posted: Posted, wallet: Wallet, market: Market | None) -> str:
    """Return the order id; a signature for another domain is told apart from a wrong one."""
    fields = posted.fields
    domain = domain_for(fields.token_id, neg_risk=market is not None and market.window.neg_risk)
    if order_signer(fields, domain, posted.signature) == wallet.owner:
        return order_id(fields, domain)
    for other in (DOMAIN_STANDARD, DOMAIN_NEG_RISK, DOMAIN_V3):
        if other != domain and order_signer(fields, other, posted.signature) == wallet.owner:
            raise Refused(400, "order_version_mismatch")
    raise Refused(400, "invalid signature")


def _check_restriction(wallet: Wallet, side: str) -> None:
    """Refuse all orders of a banned account, and what would add to the position of a closed-only one."""
    if wallet.restriction == "banned":
        raise Refused(400, BANNED.format(address=wallet.address))
    if wallet.restriction == "closed_only" and side == "BUY":
        raise Refused(400, CLOSED_ONLY.format(address=wallet.address))


def _check_expiration(posted: Posted, now_ms: int, rules: Rules) -> None:
    if posted.order_type == "GTD":
        if posted.expires_s < now_ms // 1000 + rules.gtd_ahead_s:
            raise Refused(400, "invalid expiration")
    elif posted.expires_s != 0:
        raise Refused(400, "invalid expiration")


def _order(
    posted: Posted, identity: str, market: Market, *, is_up: bool, now_ms: int, done: Callable[[Answer], None]
) -> Order:
    fields = posted.fields
    buying = fields.side == "BUY"
    cash, shares = (
        (fields.maker_amount, fields.taker_amount) if buying else (fields.taker_amount, fields.maker_amount)
    )
    return Order(
        order_id=identity,
        market=market,
        is_up=is_up,
        side=fields.side,
        order_type=posted.order_type,
        price=_limit_price(identity, cash, shares, market.tick),
        shares=shares,
        budget=cash if buying and posted.order_type in IMMEDIATE else 0,
        maker=fields.maker,
        owner=posted.owner,
        post_only=posted.post_only,
        expires_s=posted.expires_s,
        created_ms=now_ms,
        done=done,
    )


def _limit_price(identity: str, cash: int, shares: int, tick: int) -> int:
    """Return the price on the tick grid that the rounded amounts mean; off the grid is refused."""
    exact = Decimal(cash) * MICRO / shares
    price = int((exact / tick).to_integral_value()) * tick
    if abs(exact - price) > Decimal(tick) / 20 or not tick <= price <= MICRO - tick:
        shown = (exact / MICRO).quantize(Decimal("0.000001")).normalize()
        raise Refused(
            400,
            f"order {identity} is invalid. Price ({shown:f}) breaks minimum tick size rule: "
            f"{(Decimal(tick) / MICRO).normalize():f}",
        )
    return price


def _check_amounts(order: Order, fields: SignedFields) -> None:
    """Refuse what breaks the minimum size, the accuracy of amounts or the dollar of a marketable order."""
    decimals = AMOUNT_DECIMALS[order.market.tick]
    if order.order_type in IMMEDIATE:
        if fields.maker_amount % 10_000 or fields.taker_amount % 10 ** (6 - decimals):
            raise Refused(
                400,
                f"invalid amounts, the market {order.side.lower()} orders maker amount supports a max accuracy of "
                f"2 decimals, taker amount a max of {decimals} decimals",
            )
    else:
        smallest = int(order.market.window.min_size * MICRO)
        size = (Decimal(order.shares) / MICRO).normalize()
        if order.shares < smallest or order.shares % 10_000:
            raise Refused(
                400,
                f"order {order.order_id} is invalid. Size ({size:f}) lower than the minimum: "
                f"{order.market.window.min_size.normalize():f}",
            )
    worth = fields.maker_amount if order.side == "BUY" else fields.taker_amount
    if worth < MIN_MARKETABLE and (order.order_type in IMMEDIATE or _crosses(order)):
        shown = (Decimal(worth) / MICRO).quantize(Decimal("0.01"))
        raise Refused(400, f"invalid amount for a marketable {order.side} order (${shown}), min size: $1")


def _check_balance(order: Order, fields: SignedFields, wallet: Wallet, rules: Rules) -> None:
    asset = COLLATERAL if order.side == "BUY" else order.token
    needed = required(order, fields, rules)
    if not wallet.approved:
        text = "not enough balance / allowance: the allowance is not enough -> allowance: 0, order amount: "
        raise Refused(400, f"{text}{needed}")
    if wallet.spendable(asset) >= needed:
        return
    text = not_enough(wallet.seen.get(asset, 0), needed)
    matched, active = wallet.matched(asset), wallet.active(asset)
    if matched:
        text += f", sum of matched orders: {matched}"
    if active:
        text += f", sum of active orders: {active}"
    raise Refused(400, text)


def _crosses(order: Order) -> bool:
    return order.market.book.crosses(is_up=order.is_up, side=order.side, price=order.price)
