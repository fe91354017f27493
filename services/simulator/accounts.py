"""Balances of simulated wallets: on chain, on the way, reserved, and as the venue's cache sees them. PURE.

All amounts are micro-units. A match moves nothing on chain: it puts a movement on the way. Mining it moves cash and
tokens; failing it forgets it. Tokens are sellable only when mined, and only as far as the cached view shows them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

COLLATERAL: Final = "COLLATERAL"
"""The asset key of pUSD; every other key is a token id."""

Restriction = Literal["", "closed_only", "banned"]
"""What the venue forbids an account: nothing, to open positions, or everything."""
MovementState = Literal["MATCHED", "MINED"]


@dataclass(frozen=True, slots=True)
class Movement:
    """What one trade does to one wallet: signed changes of cash and of one token."""

    cash: int
    token: str
    shares: int


@dataclass(slots=True)
class Wallet:
    """One simulated user's wallet. ``owner`` is the key that signs for it; an EOA owns itself."""

    address: str
    owner: str
    signature_type: int
    approved: bool = True  # exchanges and adapters may move its assets
    restriction: Restriction = ""
    deposited: int = 0
    cash: int = 0
    tokens: dict[str, int] = field(default_factory=dict)
    on_the_way: dict[str, Movement] = field(default_factory=dict)  # by trade id
    locked: dict[str, Movement] = field(default_factory=dict)  # failed trades the venue has not let go of
    reserved: dict[str, tuple[str, int]] = field(default_factory=dict)  # order id -> (asset, amount)
    seen: dict[str, int] = field(default_factory=dict)  # the venue's cached view, by asset
    past: list[tuple[int, dict[str, int]]] = field(default_factory=list)  # what was seen, by moment

    def deposit(self, amount: int) -> None:
        """Add cash from outside; the venue's view learns of it with the next refresh."""
        self.deposited += amount
        self.cash += amount

    def match(self, trade_id: str, movement: Movement) -> None:
        """Put a trade on the way."""
        self.on_the_way[trade_id] = movement

    def can_pay(self, trade_id: str) -> bool:
        """Return whether a trade on the way would go through: what it takes is still on chain."""
        movement = self.on_the_way[trade_id]
        return self.cash + movement.cash >= 0 and self.balance(movement.token) + movement.shares >= 0

    def mine(self, trade_id: str) -> None:
        """Move what a trade moves; the venue sees its own trades at once."""
        movement = self.on_the_way.pop(trade_id)
        self.cash += movement.cash
        self.tokens[movement.token] = self.tokens.get(movement.token, 0) + movement.shares
        self.seen[COLLATERAL] = self.seen.get(COLLATERAL, 0) + movement.cash
        self.seen[movement.token] = self.seen.get(movement.token, 0) + movement.shares

    def has_kept(self, movement: Movement) -> bool:
        """Return whether what a mined trade brought is still there, and promised to no other."""
        asset = COLLATERAL if movement.cash > 0 else movement.token
        return self.balance(asset) - self.matched(asset) >= max(movement.cash, movement.shares)

    def unmine(self, trade_id: str, movement: Movement) -> None:
        """Put a mined trade on the way again, as a reorganised chain does."""
        self.on_the_way[trade_id] = movement
        for key, amount in ((COLLATERAL, movement.cash), (movement.token, movement.shares)):
            self.seen[key] = self.seen.get(key, 0) - amount
        self.cash -= movement.cash
        self.tokens[movement.token] = self.tokens.get(movement.token, 0) - movement.shares

    def lock(self, trade_id: str) -> None:
        """Go on counting against the wallet what a failed trade would have taken."""
        self.locked[trade_id] = self.on_the_way[trade_id]

    def fail(self, trade_id: str) -> None:
        """Forget a trade that never reached the chain."""
        del self.on_the_way[trade_id]

    def reserve(self, order_id: str, asset: str, amount: int) -> None:
        """Hold an amount for a resting or held order; zero or less lets go."""
        if amount > 0:
            self.reserved[order_id] = (asset, amount)
        else:
            self.reserved.pop(order_id, None)

    def redeem(self, payouts: Mapping[str, int], shares: Mapping[str, int]) -> tuple[int, dict[str, int]]:
        """Burn mined ``shares`` at ``payouts`` (micro-USDC per share); return cash paid and what was burnt."""
        burnt = {token: amount for token, amount in shares.items() if amount > 0}
        for token, amount in burnt.items():
            self.tokens[token] -= amount
            if not self.tokens[token]:
                del self.tokens[token]
        paid = sum(shares * payouts[token] // 1_000_000 for token, shares in burnt.items())
        self.cash += paid
        return paid, burnt

    def refresh(self, asset: str) -> None:
        """Let the venue's view of an asset catch up with the chain."""
        self.seen[asset] = self.balance(asset)

    def remember(self, now_ms: int) -> None:
        """Keep what is seen now, for an answer that lags behind."""
        self.past.append((now_ms, dict(self.seen)))

    def seen_at(self, asset: str, at_ms: int) -> int:
        """Return what was seen of an asset at a moment; before the first that is kept, what was seen then."""
        kept = [seen for moment, seen in self.past if moment <= at_ms] or [seen for _, seen in self.past[:1]]
        return kept[-1].get(asset, 0) if kept else 0

    def balance(self, asset: str) -> int:
        """Return what is on chain."""
        return self.cash if asset == COLLATERAL else self.tokens.get(asset, 0)

    def active(self, asset: str, *, but: str = "") -> int:
        """Return what resting orders hold of an asset, without one order."""
        return sum(
            amount for order_id, (held, amount) in self.reserved.items() if held == asset and order_id != but
        )

    def matched(self, asset: str) -> int:
        """Return what matched, unmined trades will take of an asset, and what failed ones are still held for."""
        counted = (*self.on_the_way.values(), *self.locked.values())
        if asset == COLLATERAL:
            return sum(-movement.cash for movement in counted if movement.cash < 0)
        return sum(
            -movement.shares for movement in counted if movement.token == asset and movement.shares < 0
        )

    def unmined(self, token: str) -> int:
        """Return shares bought and not yet mined."""
        return sum(
            movement.shares
            for movement in self.on_the_way.values()
            if movement.token == token and movement.shares > 0
        )

    def pending_cash(self) -> int:
        """Return the signed change of cash of everything on the way."""
        return sum(movement.cash for movement in self.on_the_way.values())

    def spendable(self, asset: str, *, but: str = "") -> int:
        """Return what a new order may use: the cached view without matched and active amounts."""
        return self.seen.get(asset, 0) - self.matched(asset) - self.active(asset, but=but)
