"""The venue's refusals of an order, by a short name: status and text as its error pages and captures have them.

``{id}`` is the order's id, ``{address}`` the trading wallet. PURE.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

NOT_FILLED_FOK: Final = "order couldn't be fully filled. FOK orders are fully filled or killed."
NOT_FILLED_FAK: Final = (
    "no orders found to match with FAK order. FAK orders are partially filled or killed if no match is found."
)
NOT_READY: Final = "the market is not yet ready to process new orders"
POST_ONLY_CROSSES: Final = "invalid post-only order: order crosses book"
MATCH_DELAYED: Final = "order match delayed due to market conditions"
DUPLICATED: Final = "order {id} is invalid. Duplicated."
BANNED: Final = "'{address}' address banned"
CLOSED_ONLY: Final = "'{address}' address in closed only mode"
TRADING_DISABLED: Final = "Trading is currently disabled"
CANCEL_ONLY: Final = "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed."
POST_ONLY_MODE: Final = "post-only mode: only post-only orders and cancels are allowed"

_SHORT: Final = "not enough balance / allowance: the balance is not enough -> "

REFUSALS: Final[Mapping[str, tuple[int, str]]] = MappingProxyType(
    {
        "payload": (400, "Invalid order payload"),
        "owner": (400, "the order owner has to be the owner of the API KEY"),
        "signer": (400, "the order signer address has to be the address of the API KEY"),
        "maker": (400, "maker address not allowed, please use the deposit wallet flow"),
        "banned": (400, BANNED),
        "closed_only": (400, CLOSED_ONLY),
        "post_only_crosses": (400, POST_ONLY_CROSSES),
        "off_tick": (400, "order {id} is invalid. Price (0.515) breaks minimum tick size rule: 0.01"),
        "too_small": (400, "order {id} is invalid. Size (4) lower than the minimum: 5"),
        "duplicated": (400, DUPLICATED),
        "crosses": (400, "order {id} crosses the book"),
        "balance": (400, f"{_SHORT}balance: 8100, order amount: 5140070"),
        "allowance": (
            400,
            "not enough balance / allowance: the allowance is not enough -> allowance: 0, order amount: 5140070",
        ),
        "balance_locked": (
            400,
            f"{_SHORT}balance: 9000000, order amount: 5140070, sum of matched orders: 5200000",
        ),
        "expiration": (400, "invalid expiration"),
        "nonce": (400, "invalid nonce"),
        "signature": (400, "invalid signature"),
        "version": (400, "order_version_mismatch"),
        "cancelled_on_chain": (400, "order canceled in the CTF exchange contract"),
        "match_delayed": (400, MATCH_DELAYED),
        "fok_not_filled": (400, NOT_FILLED_FOK),
        "fak_not_filled": (400, NOT_FILLED_FAK),
        "not_ready": (400, NOT_READY),
        "timed_out": (400, "order timed out"),
        "marketable_too_small": (400, "invalid amount for a marketable BUY order ($0.01), min size: $1"),
        "context_canceled": (400, "context canceled"),
        "unauthorized": (401, "Unauthorized/Invalid api key"),
        "insert": (500, "could not insert order"),
        "no_match": (500, "there are no matching orders"),
        "fok_killed": (500, "FOK orders are filled or killed"),
        "rounding": (500, "the trade contains rounding issues"),
        "discrepancy": (
            500,
            "the price of the taker's order has a discrepancy greater than allowed with the worst maker order",
        ),
        "disabled": (503, TRADING_DISABLED),
        "trading_is_disabled": (503, "trading is disabled"),
        "cancel_only": (503, CANCEL_ONLY),
        "post_only": (503, POST_ONLY_MODE),
    }
)
KILLED: Final = frozenset({"fok_not_filled", "fak_not_filled", "match_delayed"})
"""Said of an order that was taken in and then killed: its id is used up."""
