"""A small world and a signer for the tests of the fake venue: one window, hand-made books, time moved by hand."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data

from services.simulator.accounts import COLLATERAL, Wallet
from services.simulator.exchange import Exchange
from services.simulator.faults import Faults
from services.simulator.orders import Answer, Market, Order, Trade
from services.simulator.orders_intake import Caller, Rules
from services.simulator.settlement import Chain
from services.simulator.timetable import Timetable
from services.simulator.world import FeedTick, Ladder, SimWindow

PRIVATE_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"  # Anvil's first, public
OWNER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
WALLET = "0xBc0fF067b7740Eff76C1ca93c875Ba6B890d6B50"  # OWNER's deposit wallet
API_KEY = "11111111-2222-4333-8444-555555555555"
START_MS = 1_791_241_200_000
UP, DOWN = str(7 << 200 | 5 << 60), str(9 << 200 | 6 << 60)
ZERO32 = "0x" + "00" * 32
STANDARD = "0xE111180000d2663C0091e4f400237545B87B996B"

WINDOW = SimWindow(
    slug=f"btc-updown-15m-{START_MS // 1000 + 60}",
    asset="btc",
    duration="15m",
    series_id="10192",
    series_slug="btc-up-or-down-15m",
    listed_at_ms=START_MS,
    opens_at_ms=START_MS + 60_000,
    closes_at_ms=START_MS + 120_000,
    resolves_at_ms=START_MS + 124_000,
    condition_id="0x" + "c1" * 32,
    question_id="0x" + "d2" * 32,
    up_token=UP,
    down_token=DOWN,
    tick=Decimal("0.01"),
    min_size=Decimal(5),
    fee_rate=Decimal("0.07"),
    fee_exponent=1,
    fee_taker_only=True,
    fee_type="crypto_fees_v2",
    lookback_s=4,
    strike=Decimal("61000.5"),
    final=Decimal("61010.25"),
    winner="UP",
    question="Bitcoin Up or Down",
)


def ladder(at_ms: int, bids: str, asks: str) -> Ladder:
    """ "0.50x100 0.49x50" -> levels, best first."""

    def levels(text: str) -> tuple[tuple[Decimal, Decimal], ...]:
        return tuple((Decimal(p), Decimal(s)) for p, s in (level.split("x") for level in text.split()))

    return Ladder(at_ms, levels(bids), levels(asks))


FIRST = ladder(START_MS, "0.50x100 0.49x200", "0.52x100 0.53x200")


class SmallWorld:
    """One window, the frames given."""

    def __init__(self, frames: Sequence[Ladder] = (FIRST,), window: SimWindow = WINDOW) -> None:
        self.window, self.frames = window, frames

    def windows_until(self, at_ms: int) -> Sequence[SimWindow]:
        return [self.window] if self.window.listed_at_ms <= at_ms else []

    def ladders(self, _window: SimWindow) -> Iterator[Ladder]:
        return iter(self.frames)

    def feed(self, _asset: str, _from_ms: int) -> Iterator[FeedTick]:
        return iter(())

    def banner(self) -> Sequence[str]:
        return ["a small world"]


class Heard:
    """A sink that writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def listed(self, market: Market) -> None:
        self.events.append(("listed", market.window.slug))

    def book_changed(self, market: Market, bids: dict[int, int], asks: dict[int, int]) -> None:
        pass

    def traded(self, trade: Trade) -> None:
        pass

    def tick_changed(self, market: Market, old: int) -> None:
        self.events.append(("tick", f"{old}->{market.tick}"))

    def resolved(self, market: Market) -> None:
        self.events.append(("resolved", market.window.slug))

    def order_changed(self, _order: Order, kind: str, status: str) -> None:
        self.events.append((kind, status))

    def trade_changed(self, trade: Trade) -> None:
        self.events.append(("TRADE", trade.status))


class StillClock:
    """A clock the test moves."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now_ms = now_ms

    def now(self) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=self.now_ms)

    def monotonic(self) -> float:
        return self.now_ms / 1000

    def boottime(self) -> float:
        return self.now_ms / 1000


class Floor:
    """The engine with one funded deposit wallet, and a hand that moves time."""

    def __init__(self, world: SmallWorld | None = None, rules: Rules | None = None, usdc: int = 100) -> None:
        self.faults, self.timetable, self.heard = Faults(), Timetable(), Heard()
        self.exchange = Exchange(
            world or SmallWorld(),
            rules=rules or Rules(taker_hold_ms=0),
            timetable=self.timetable,
            faults=self.faults,
            chain=Chain(random.Random(1)),
            sink=self.heard,
        )
        self.now_ms = START_MS
        self.exchange.listing.look(START_MS)
        self.wallet = self.fund(WALLET, OWNER, usdc)

    @property
    def market(self) -> Market:
        return next(iter(self.exchange.listing.markets.values()))

    def fund(self, address: str, owner: str, usdc: int, signature_type: int = 3) -> Wallet:
        wallet = self.exchange.open_wallet(address, owner, signature_type)
        wallet.deposit(usdc * 1_000_000)
        wallet.refresh(COLLATERAL)
        return wallet

    def give(self, token: str, shares: str) -> None:
        self.wallet.tokens[token] = self.wallet.tokens.get(token, 0) + int(Decimal(shares) * 1_000_000)
        self.wallet.refresh(token)

    def pass_ms(self, milliseconds: int) -> None:
        """Let time pass in small steps; one big step would be a stall, and the venue skips frames then."""
        end_ms = self.now_ms + milliseconds
        while self.now_ms < end_ms:
            self.now_ms = min(self.now_ms + 100, end_ms)
            self.timetable.run_until(self.now_ms)

    def post(self, **changes: Any) -> Answer:
        return self.post_body(body(**changes))

    def post_body(self, payload: object, caller: Caller | None = None) -> Answer:
        answers = self.post_held(payload, caller)
        assert len(answers) == 1
        return answers[0]

    def post_held(self, payload: object, caller: Caller | None = None) -> list[Answer]:
        answers: list[Answer] = []
        self.exchange.place(payload, caller or Caller(OWNER, API_KEY), self.now_ms, answers.append)
        return answers


def body(**changes: Any) -> dict[str, Any]:
    """A posted, properly signed order: BUY 5.20 dollars of UP at 0.52, FAK; ``changes`` are made before signing."""
    outer = {key: changes.pop(key) for key in ("orderType", "owner", "postOnly") if key in changes}
    domain = changes.pop("domain", ("2", STANDARD))
    signature = changes.pop("signature", None)
    order: dict[str, Any] = {
        "builder": ZERO32,
        "expiration": "0",
        "maker": WALLET,
        "makerAmount": "5200000",
        "metadata": ZERO32,
        "salt": 479_249_096_354,
        "side": "BUY",
        "signatureType": 3,
        "signer": WALLET,
        "takerAmount": "10000000",
        "timestamp": str(START_MS),
        "tokenId": UP,
        **changes,
    }
    order["signature"] = signature or sign(tuple(sorted(order.items())), domain)
    return {"deferExec": False, "order": order, "orderType": "FAK", "owner": API_KEY, **outer}


ORDER_FIELDS = [
    {"name": name, "type": kind}
    for name, kind in (
        ("salt", "uint256"),
        ("maker", "address"),
        ("signer", "address"),
        ("tokenId", "uint256"),
        ("makerAmount", "uint256"),
        ("takerAmount", "uint256"),
        ("side", "uint8"),
        ("signatureType", "uint8"),
        ("timestamp", "uint256"),
        ("metadata", "bytes32"),
        ("builder", "bytes32"),
    )
]
DOMAIN_FIELDS = [
    {"name": name, "type": kind}
    for name, kind in (
        ("name", "string"),
        ("version", "string"),
        ("chainId", "uint256"),
        ("verifyingContract", "address"),
    )
]
WRAPPER_FIELDS = [
    {"name": name, "type": kind}
    for name, kind in (
        ("contents", "Order"),
        ("name", "string"),
        ("version", "string"),
        ("chainId", "uint256"),
        ("verifyingContract", "address"),
        ("salt", "bytes32"),
    )
]
ORDER_TYPE = "Order(" + ",".join(f"{field['type']} {field['name']}" for field in ORDER_FIELDS) + ")"


@cache
def sign(items: tuple[tuple[str, Any], ...], domain: tuple[str, str], key: str = PRIVATE_KEY) -> str:
    """Sign with eth_account's own typed data, another implementation than the one under test."""
    order = dict(items)
    message = {
        field["name"]: order[field["name"]]
        if field["type"] in ("address", "bytes32")
        else int({"BUY": 0, "SELL": 1}.get(order[field["name"]], order[field["name"]]))
        for field in ORDER_FIELDS
    }
    full: dict[str, Any] = {
        "types": {"EIP712Domain": DOMAIN_FIELDS, "Order": ORDER_FIELDS},
        "primaryType": "Order",
        "domain": {
            "name": "Polymarket CTF Exchange",
            "version": domain[0],
            "chainId": 137,
            "verifyingContract": domain[1],
        },
        "message": message,
    }
    plain = encode_typed_data(full_message=full)
    if order["signatureType"] != 3:
        return "0x" + Account.sign_message(plain, key).signature.hex()
    wrapped = {
        **full,
        "types": {**full["types"], "TypedDataSign": WRAPPER_FIELDS},
        "primaryType": "TypedDataSign",
        "message": {
            "contents": message,
            "name": "DepositWallet",
            "version": "1",
            "chainId": 137,
            "verifyingContract": order["signer"],
            "salt": bytes(32),
        },
    }
    signature = Account.sign_message(encode_typed_data(full_message=wrapped), key).signature
    trailer = plain.header + plain.body + ORDER_TYPE.encode() + len(ORDER_TYPE).to_bytes(2, "big")
    return "0x" + (signature + trailer).hex()


def resolved_soon(window: SimWindow = WINDOW, **changes: Any) -> SimWindow:
    """The window, with changes."""
    return replace(window, **changes)
