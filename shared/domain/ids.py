"""Names of things: one NewType per kind, and how a name is made from facts.

Ids are functions of what they name, never of chance: the same intent made again, anywhere, has the same id (D3).
"""

import hashlib
from typing import NewType

AccountId = NewType("AccountId", str)
StrategyId = NewType("StrategyId", str)
InstanceId = NewType("InstanceId", str)
"""A strategy at one code hash with one set of parameters."""
WindowId = NewType("WindowId", str)
"""The venue's market slug, for example ``btc-updown-15m-1791241200``."""
Instrument = NewType("Instrument", str)
"""Upper-case symbol: BTC, ETH, SOL, XRP."""
ConditionId = NewType("ConditionId", str)
TokenId = NewType("TokenId", str)
"""Decimal string of a 256-bit integer."""
SignalId = NewType("SignalId", str)
OrderId = NewType("OrderId", str)
"""The venue's order id: 0x and the 64 hex digits of the order's EIP-712 hash, known before it is sent."""
PositionId = NewType("PositionId", str)
TradeId = NewType("TradeId", str)
RedemptionId = NewType("RedemptionId", str)
Epoch = NewType("Epoch", int)

SALT_BITS = 53
"""The venue reads the salt as a JSON number, so it must survive a double."""


def digest(*parts: str) -> str:
    """Return 64 hex digits that name these parts; the separator cannot occur inside a part's length prefix."""
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()


def signal_id(
    account: AccountId, mode: str, strategy: StrategyId, window: WindowId, *, ordinal: int
) -> SignalId:
    """Return the id of the ``ordinal``-th signal of a strategy in a window: two engines make one signal (T5)."""
    return SignalId("sig-" + digest(account, mode, strategy, window, str(ordinal))[:24])


def position_id(signal: SignalId) -> PositionId:
    """Return the id of the position an entry for ``signal`` would open."""
    return PositionId("pos-" + digest("position", signal)[:24])


def redemption_id(account: AccountId, mode: str, window: WindowId, *, attempt: int) -> RedemptionId:
    """Return the id of the ``attempt``-th redemption of a window's tokens."""
    return RedemptionId("red-" + digest("redemption", account, mode, window, str(attempt))[:24])


def order_salt(intent: str) -> int:
    """Return the order's salt, a function of its intent: a signal id, or a position id and exit attempt (D3)."""
    return int(digest("salt", intent), 16) % (1 << SALT_BITS)
