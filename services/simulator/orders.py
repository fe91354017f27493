"""What the venue remembers of a market, an order and a trade. PURE. Amounts are micro-units, times Unix ms."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from services.simulator.matching import MICRO, MirroredBook, Side
from services.simulator.world import SimWindow

OrderType = Literal["GTC", "GTD", "FOK", "FAK"]
TradeStatus = Literal["MATCHED", "MINED", "CONFIRMED", "RETRYING", "FAILED"]
IMMEDIATE: frozenset[OrderType] = frozenset({"FOK", "FAK"})


@dataclass(slots=True)
class Market:
    """One window as the venue trades it."""

    window: SimWindow
    market_id: str
    event_id: str
    tick: int
    book: MirroredBook = field(default_factory=MirroredBook)
    book_ms: int = 0
    last_price: dict[bool, int] = field(default_factory=dict)  # by is_up
    last_side: Side | None = None
    history: list[tuple[int, int]] = field(
        default_factory=list
    )  # (Unix second, middle of the UP book), one a second
    resolved_ms: int | None = None

    @property
    def condition_id(self) -> str:
        """Condition id, 0x and 64 hex digits."""
        return self.window.condition_id

    def token(self, *, is_up: bool) -> str:
        """Token id of an outcome."""
        return self.window.up_token if is_up else self.window.down_token

    def payout(self, *, is_up: bool) -> int:
        """Return micro-USDC per share of a resolved market."""
        return MICRO if (self.window.winner == "UP") == is_up else 0

    def remember_price(self, now_s: int) -> None:
        """Keep the middle of the book, once a second."""
        bid, ask = self.book.best(is_up=True)
        if bid is not None and ask is not None and (not self.history or self.history[-1][0] < now_s):
            self.history.append((now_s, (bid + ask) // 2))

    def accepts(self, now_ms: int) -> bool:
        """Return whether orders are taken now."""
        return self.window.listed_at_ms <= now_ms < self.window.closes_at_ms


@dataclass(frozen=True, slots=True)
class Answer:
    """What the venue answers to one posted order."""

    http: int
    body: dict[str, object]


@dataclass(slots=True)
class Order:
    """One order the venue has taken in; its id is never free again."""

    order_id: str
    market: Market
    is_up: bool
    side: Side
    order_type: OrderType
    price: int
    shares: int  # asked for; for a FOK/FAK BUY what the limit price would give
    budget: int  # FOK/FAK BUY: collateral to spend, else 0
    maker: str
    owner: str  # API key
    post_only: bool
    expires_s: int
    created_ms: int
    done: Callable[[Answer], None]
    depth_share: Decimal = Decimal(1)
    """Which part of it meets anyone; a fault may lower it."""
    status: str = "DELAYED"
    matched: int = 0
    cash: int = 0
    fee: int = 0
    trades: list["Trade"] = field(default_factory=list)

    @property
    def token(self) -> str:
        """Token id."""
        return self.market.token(is_up=self.is_up)

    @property
    def left(self) -> int:
        """Shares not matched yet."""
        return max(0, self.shares - self.matched)


@dataclass(frozen=True, slots=True)
class Leg:
    """One side of a trade. ``order`` is None for a maker or taker of the recorded market."""

    order: Order | None
    order_id: str
    owner: str
    address: str
    is_up: bool
    side: Side
    price: int
    cash: int
    fee: int

    @property
    def net_cash(self) -> int:
        """Signed change of the wallet's cash: a BUY pays its fee on top, a SELL out of the proceeds."""
        return -(self.cash + self.fee) if self.side == "BUY" else self.cash - self.fee


@dataclass(slots=True)
class Trade:
    """One match of one taker with one maker."""

    trade_id: str
    market: Market
    shares: int
    taker: Leg
    maker: Leg
    matched_ms: int
    updated_ms: int
    status: TradeStatus = "MATCHED"
    transaction_hash: str = ""

    def own_legs(self) -> list[Leg]:
        """Return the legs of simulated users."""
        return [leg for leg in (self.taker, self.maker) if leg.order is not None]


@dataclass(frozen=True, slots=True)
class Redemption:
    """Resolved tokens paid out to a wallet."""

    wallet: str
    market: Market
    burnt: dict[str, int]
    paid: int
    at_ms: int
    transaction_hash: str
